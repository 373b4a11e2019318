"""What a network runs on: samples of the test split it was made for, or frames of somebody's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.data.request import DataRequest, load_own_test_split
from sast_deploy.engines.frames import Frames, as_frames
from sast_deploy.netx.file import NetFile
from sast_deploy.program.record import evenly_spread, take
from sast_deploy.reports.run import given_frames

OWN_SPLIT, GIVEN = "test split", "frames given"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Frames with their labels.

    frames: integers (samples, time, C, H, W). labels: int64 (samples,), or None. numbers: int64 (samples,),
    of the test split. origin: OWN_SPLIT or GIVEN. facts: what a report says of them, JSON-able. ids: of the
    recordings; empty for frames given.
    """

    frames: Frames
    labels: npt.NDArray[np.int64] | None
    numbers: npt.NDArray[np.int64]
    origin: str
    facts: Mapping[str, Any]
    ids: tuple[str, ...] = ()


def net_inputs(
    net: NetFile,
    where: str,
    frames: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    data: DataRequest | None = None,
    samples: int | None = None,
    name: str = "frames",
) -> Inputs:
    """The `frames` given, else samples of the test split of `net` or of other `data`.

    samples: so many, evenly spread. where, name: of the network and of the frames, for errors and reports.

    Raises:
        UsageError: both frames and data; labels without frames. DataError: what does not fit the network.
    """
    if frames is not None and data not in (None, DataRequest()):
        raise UsageError("frames and a data set", expected="one of them")
    if frames is None:
        if labels is not None:
            raise UsageError("labels without frames", expected="both, or neither")
        return _own_split(net, where, data or DataRequest(), samples)
    array = as_frames(net.program, frames, name)
    if not len(array):
        raise DataError("no samples", where=name, expected="at least one")
    truth = None if labels is None else checked_labels(labels, len(array), len(net.program.classes))
    chosen = evenly_spread(len(array), samples)
    facts = given_frames(name, len(array))
    return Inputs(take(array, chosen), None if truth is None else truth[chosen], chosen, GIVEN, facts)


def some_of(given: Inputs, samples: int | None) -> Inputs:
    """So many of the inputs, evenly spread; None: all."""
    if samples is None or samples >= len(given.frames):
        return given
    chosen = evenly_spread(len(given.frames), samples)
    labels = None if given.labels is None else given.labels[chosen]
    ids = tuple(given.ids[number] for number in chosen) if given.ids else ()
    frames = take(given.frames, chosen)
    return replace(given, frames=frames, labels=labels, numbers=given.numbers[chosen], ids=ids)


def _own_split(net: NetFile, where: str, data: DataRequest, samples: int | None) -> Inputs:
    found, unlike = load_own_test_split(net, where, data)
    chosen = evenly_spread(len(found.test), samples)
    frames = take(found.test.frames, chosen)  # a whole split stays where it is mapped from
    facts = {**found.info.to_dict(), "test_samples": len(found.test), "unlike_training": unlike}
    ids = tuple(found.test.ids[number] for number in chosen)
    return Inputs(frames, found.test.labels[chosen], chosen, OWN_SPLIT, facts, ids)


def checked_labels(labels: npt.ArrayLike, samples: int, classes: int) -> npt.NDArray[np.int64]:
    """int64 (samples,), each a class index. Raises DataError."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.shape != (samples,):
        found = f"labels of {array.dtype} {array.shape}"
        raise DataError(found, expected=f"integers ({samples},), one for each sample")
    if len(array) and not 0 <= array.min() <= array.max() < classes:
        raise DataError(f"labels {array.min()}..{array.max()}", expected=f"0..{classes - 1}")
    return array.astype(np.int64)
