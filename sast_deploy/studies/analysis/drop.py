"""Event drop: a camera or a link that loses each event with probability p."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import DataError
from sast_deploy.data import FrameSet, FrameSplit, load_frames
from sast_deploy.data.options import MAX_CLIP
from sast_deploy.studies.analysis.corruption import Corruption, cases_of, corruption
from sast_deploy.studies.analysis.subject import Subject
from sast_deploy.training.augment import Changes
from sast_deploy.training.batches import Indices

PROBABILITIES = (0.0, 0.1, 0.2, 0.3, 0.4)  # the paper's
DRAWS = 3
_STAY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # every event keeps its place


def unclipped(data: FrameSet, cache_dir: Path | None = None) -> FrameSplit:
    """The test split's frames with counts up to 255: what an event drop must start from.

    A pixel with 9 events and clip 4 shows 4 whether or not 5 of them are lost. The recordings are read
    again (once: the cache keeps these frames, too); binning, size and split stay as in `data`.

    Raises DataError: the recordings have changed since `data` was made.
    """
    if data.options.clip == MAX_CLIP:
        return data.test
    counts = load_frames(
        data.info.dataset,
        replace(data.options, encoding="count", clip=MAX_CLIP),
        data_root=Path(data.info.root),
        holdout=data.info.holdout,
        holdout_seed=data.info.holdout_seed or 0,
        cache_dir=cache_dir,
        recordings=data.info.recordings,
    ).test
    probe = slice(None, None, max(1, len(counts) // 64))
    if counts.ids != data.test.ids or not np.array_equal(
        np.minimum(np.asarray(counts.frames[probe]), data.options.clip), np.asarray(data.test.frames[probe])
    ):
        raise DataError("the recordings have changed", where=data.info.root, todo="run again")
    return counts


def event_drop(
    subject: Subject, *, probabilities: Sequence[float] = PROBABILITIES, draws: int = DRAWS, seed: int = 0
) -> Corruption:
    """Accuracy where every event of a subject's counts (see `unclipped`) is lost, independently, by chance.

    Per pixel and step: n' ~ Binomial(n, 1 - p), network input = min(n', clip) / clip, with the clip that the
    network was trained with (1 for binary frames). Draw i uses the same random numbers for every p: what is
    lost at 0.1 is lost at 0.2 as well, so the levels differ by p and not by luck.
    """
    cases = cases_of(probabilities, draws)
    keys = np.random.default_rng(seed).integers(0, 2**63, (draws, len(subject.labels)), dtype=np.uint64)

    def disturbed(part: Indices) -> Iterator[tuple[Subject, Any]]:
        for p, draw in cases:
            yield subject, subject.inputs(part, _drop(p, keys[draw, part]))

    return corruption("drop", subject, seed, cases, disturbed)


def _drop(p: float, keys: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Changes:
    n = len(keys)
    return Changes(np.broadcast_to(np.array(_STAY), (n, 2, 3)).copy(), np.full(n, p), keys)
