"""The named parts of an analysis, run on one checkpoint."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.calibration.data import training_parts
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.program.record import evenly_spread
from sast_deploy.studies import ANALYSES
from sast_deploy.studies.analysis.contraction import contraction
from sast_deploy.studies.analysis.drop import event_drop, unclipped
from sast_deploy.studies.analysis.duel import accuracies
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.noise import weight_noise
from sast_deploy.studies.analysis.pairs import check_pairs
from sast_deploy.studies.analysis.stream import Predictions, predict
from sast_deploy.studies.analysis.thresholds import tune_thresholds
from sast_deploy.training.checkpoint import Checkpoint


def analyse(
    checkpoint: Checkpoint,
    data: FrameSet,
    parts: Collection[str] = ANALYSES,
    *,
    counts: FrameSplit | None = None,
    cache_dir: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Run the parts and return their results as plain values, one entry per part, in the order of ANALYSES.

    Args:
        data: frames as the checkpoint was trained on.
        parts: "drop", "noise" and "margins" measure the test split; "contraction" passes the trainer's
            validation part through the network; "thresholds" chooses on that and measures the test split.
        counts: the test split with unclipped counts, for "drop"; default: made from the recordings.
        cache_dir: where those frames are kept; default as `load_frames`.
        seed: of dropped events, noise and pairs.

    Raises UsageError: an unknown part, frames of another shape than the network's. DataError: recordings
    that are gone or have changed. CheckpointError: unknown validation part.
    """
    unknown = sorted(set(parts) - set(ANALYSES))
    if unknown or not parts:
        raise UsageError(
            f"part {', '.join(unknown) or '(none)'}", where="analysis", expected=", ".join(ANALYSES)
        )
    how: dict[str, Any] = {"device": device}
    found: dict[str, Any] = {}
    if "drop" in parts:
        counts = counts if counts is not None else unclipped(data, cache_dir)
        found["drop"] = event_drop(checkpoint, counts, seed=seed, **how).to_dict()
    if "noise" in parts:
        found["noise"] = weight_noise(checkpoint, data.test, seed=seed, **how).to_dict()
    if "margins" in parts:
        found["margins"] = margins(checkpoint, data.test, **how).to_dict()
    if "contraction" in parts:
        held = training_parts(checkpoint, data)[1]
        states = contraction(checkpoint, data.train, indices=held, **how)
        pairs = check_pairs(checkpoint, data.train, indices=held, seed=seed, **how)
        holds = states.holds and pairs.holds
        found["contraction"] = {"holds": holds, "states": states.to_dict(), "pairs": pairs.to_dict()}
    if "thresholds" in parts:
        found["thresholds"] = tune_thresholds(checkpoint, data, **how).to_dict()
    return found


def measure(
    checkpoint: Checkpoint,
    data: FrameSet,
    parts: Collection[str],
    *,
    samples: int | None,
    cache_dir: Path | None,
    seed: int,
    device: str,
) -> tuple[Predictions, dict[str, Any]]:
    """What it predicts on its test split, or `samples` of it, evenly spread; and `analyse` of those."""
    counts = None
    if samples is not None:
        chosen = evenly_spread(len(data.test), samples)
        counts = unclipped(data, cache_dir).part(chosen) if "drop" in parts else None
        data = replace(data, test=data.test.part(chosen))
    predictions = predict(checkpoint, data, device=device)
    how: dict[str, Any] = {"counts": counts, "cache_dir": cache_dir, "seed": seed, "device": device}
    about = {"dataset": data.info.dataset, "frames": data.info.frame_digest, "test": accuracies(predictions)}
    return predictions, {**about, **analyse(checkpoint, data, parts, **how)}
