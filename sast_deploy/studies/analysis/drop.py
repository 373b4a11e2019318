"""Event drop: a camera or a link that loses each event with probability p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.data import FrameSet, FrameSplit, load_frames
from sast_deploy.data.options import MAX_CLIP
from sast_deploy.studies.analysis.corruption import Corruption, Draws
from sast_deploy.studies.analysis.stream import first_current, open_stream
from sast_deploy.training.augment import Changes, apply_changes
from sast_deploy.training.batches import Indices
from sast_deploy.training.checkpoint import Checkpoint

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
        download=False,  # they were here a moment ago
    ).test
    probe = slice(None, None, max(1, len(counts) // 64))
    if counts.ids != data.test.ids or not np.array_equal(
        np.minimum(counts.frames[probe], data.options.clip), data.test.frames[probe]
    ):
        raise DataError("the recordings have changed", where=data.info.root, todo="run again")
    return counts


def event_drop(
    checkpoint: Checkpoint,
    counts: FrameSplit,
    *,
    probabilities: Sequence[float] = PROBABILITIES,
    draws: int = DRAWS,
    seed: int = 0,
    device: str = "auto",
) -> Corruption:
    """Accuracy where every event of `counts` (see `unclipped`) is lost, independently, with probability p.

    Per pixel and step: n' ~ Binomial(n, 1 - p), network input = min(n', clip) / clip, with the clip that the
    network was trained with (1 for binary frames). Draw i uses the same random numbers for every p: what is
    lost at 0.1 is lost at 0.2 as well, so the levels differ by p and not by luck.

    Raises UsageError: a probability outside [0, 1], no draws, frames of another shape than the network's.
    """
    if not probabilities or not all(0.0 <= p <= 1.0 for p in probabilities) or draws < 1:
        found = f"probabilities {tuple(probabilities)}, {draws} draws"
        raise UsageError(found, where="event drop", expected="each from 0 to 1, one draw or more")
    stream = open_stream(checkpoint, counts, device=device)
    clip, place = checkpoint.frames.clip, stream.feeder.device
    keys = np.random.default_rng(seed).integers(0, 2**63, (draws, len(counts.labels)), dtype=np.uint64)
    tally = Draws(probabilities, draws)

    def work(part: Indices) -> None:
        frames = np.ascontiguousarray(counts.frames[part])
        labels = torch.from_numpy(counts.labels[part]).to(place)
        for level, draw in tally.cases:
            x = apply_changes(frames, _drop(probabilities[level], keys[draw, part]), clip)
            current = first_current(stream.network, torch.from_numpy(x).to(place))
            tally.count(level, draw, stream.network, current, labels)

    stream.each_part(work, "event drop")
    return Corruption("drop", len(stream), seed, tally.levels())


def _drop(p: float, keys: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Changes:
    n = len(keys)
    return Changes(np.broadcast_to(np.array(_STAY), (n, 2, 3)).copy(), np.full(n, p), keys)
