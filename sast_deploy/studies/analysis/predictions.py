"""Any trained network, ours or imported, shown the samples of a split; and what it predicts of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.studies.analysis.imported import show_imported
from sast_deploy.studies.analysis.stream import open_stream
from sast_deploy.studies.analysis.subject import HARD, SMOOTH, Subject
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint


def show(trained: Checkpoint | ImportedNetwork, split: FrameSplit, *, device: str = "auto") -> Subject:
    """The network and all samples of `split`. device: of a Checkpoint's; an imported one runs in NumPy.

    Raises UsageError: frames of another shape than the network's, no samples, an unknown device.
    """
    if isinstance(trained, ImportedNetwork):
        return show_imported(trained, split)
    return open_stream(trained, split, device=device)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says about each sample.

    Attributes:
        data: data set and folder of the recordings, however they became frames; the names alone are the
            same for a real recording and one simulated from the same MNIST image.
        ids: names of the samples.
        labels: (n,) int64, the true classes.
        surrogate, hard: (n,) int64, the classes predicted with smooth and with hard spikes; surrogate is None
            of an imported network.
    """

    data: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    surrogate: NDArray[np.int64] | None
    hard: NDArray[np.int64]


def predict(
    trained: Checkpoint | ImportedNetwork, data: FrameSet, *, device: str = "auto"
) -> Predictions:
    """Predictions for every test sample of `data`. Raises UsageError as `show` does."""
    split = data.test
    subject = show(trained, split, device=device)
    found: dict[str, list[NDArray[np.int64]]] = {kind: [] for kind in subject.forwards}

    def work(part: Indices) -> None:
        for kind, classes in subject.classes(subject.inputs(part)).items():
            found[kind].append(classes)

    subject.each_part(work, "predicting")
    whole = {kind: np.concatenate(rows) for kind, rows in found.items()}
    origin = f"{data.info.dataset} from {data.info.root}"
    return Predictions(origin, split.ids, split.labels, whole.get(SMOOTH), whole[HARD])
