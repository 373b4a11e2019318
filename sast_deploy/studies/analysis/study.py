"""The named parts of an analysis, run on one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.calibration.data import training_parts
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.program.record import evenly_spread
from sast_deploy.studies import ANALYSES
from sast_deploy.studies.analysis.contraction import contraction
from sast_deploy.studies.analysis.corruption import Corruption
from sast_deploy.studies.analysis.drop import event_drop, unclipped
from sast_deploy.studies.analysis.duel import accuracies
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.noise import weight_noise
from sast_deploy.studies.analysis.pairs import check_pairs
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.stream import Predictions, open_stream, predict
from sast_deploy.studies.analysis.thresholds import tune_thresholds
from sast_deploy.training.checkpoint import Checkpoint


def analyse(
    checkpoint: Checkpoint,
    data: FrameSet,
    parts: Collection[str] = ANALYSES,
    *,
    counts: FrameSplit | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Run the parts and return their results as plain values, one entry per part, in the order of ANALYSES.

    Args:
        data: frames as the checkpoint was trained on.
        parts: "drop", "noise" and "margins" measure the test split; "contraction" passes the trainer's
            validation part through the network; "thresholds" chooses on that and measures the test split.
        counts: the test split with unclipped counts, for "drop"; default: made from the recordings.
        seed: of dropped events, noise and pairs.

    Raises UsageError: an unknown part, frames of another shape than the network's. DataError: recordings
    that are gone or have changed. CheckpointError: unknown validation part.
    """
    unknown = sorted(set(parts) - set(ANALYSES))
    if unknown or not parts:
        raise UsageError(
            f"part {', '.join(unknown) or '(none)'}", where="analysis", expected=", ".join(ANALYSES)
        )
    shown = partial(open_stream, checkpoint, device=device)

    def dropped() -> Corruption:
        return event_drop(shown(unclipped(data) if counts is None else counts), seed=seed)

    def contracted() -> dict[str, Any]:
        held = partial(shown, data.train, indices=training_parts(checkpoint, data)[1])
        states, pairs = contraction(held()), check_pairs(held(), seed=seed)
        return {"holds": states.state_bound_holds and pairs.holds, "states": states, "pairs": pairs}

    measures: dict[str, Callable[[], Any]] = {
        "drop": dropped,
        "noise": lambda: weight_noise(shown(data.test), seed=seed),
        "margins": lambda: margins(shown(data.test)),
        "contraction": contracted,
        "thresholds": lambda: tune_thresholds(checkpoint, data, device=device),
    }
    return {part: plain(measures[part]()) for part in ANALYSES if part in parts}


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
    counts = unclipped(data, cache_dir) if "drop" in parts else None
    if samples is not None:
        chosen = evenly_spread(len(data.test), samples)
        data, counts = replace(data, test=data.test.part(chosen)), counts and counts.part(chosen)
    predictions = predict(checkpoint, data, device=device)
    about = {"dataset": data.info.dataset, "frames": data.info.frame_digest, "test": accuracies(predictions)}
    found = analyse(checkpoint, data, parts, counts=counts, seed=seed, device=device)
    return predictions, {**about, **found}
