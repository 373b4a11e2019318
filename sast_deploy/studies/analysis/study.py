"""The named parts of an analysis, run on one trained network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.calibration.data import training_parts
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.data.cache import notice
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.program.record import evenly_spread
from sast_deploy.studies import ANALYSES, TRAINERS_OWN
from sast_deploy.studies.analysis.contraction import contraction
from sast_deploy.studies.analysis.corruption import Corruption
from sast_deploy.studies.analysis.drop import event_drop, unclipped
from sast_deploy.studies.analysis.duel import accuracies
from sast_deploy.studies.analysis.margins import margins
from sast_deploy.studies.analysis.noise import weight_noise
from sast_deploy.studies.analysis.pairs import check_pairs
from sast_deploy.studies.analysis.predictions import Predictions, predict, show
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.stream import open_stream
from sast_deploy.studies.analysis.thresholds import tune_thresholds
from sast_deploy.training.checkpoint import Checkpoint

_TAKES = "the surrogate and the validation part of our own trainer"


def parts_of(trained: Checkpoint | ImportedNetwork, asked: Collection[str] | None) -> tuple[str, ...]:
    """The parts asked for, None: all that can be done, in the order of ANALYSES.

    Raises UsageError: an unknown part, or one that an imported network has not what it takes for.
    """
    possible = tuple(
        each for each in ANALYSES if isinstance(trained, Checkpoint) or each not in TRAINERS_OWN
    )
    if asked is None:
        if len(possible) < len(ANALYSES):
            notice(f"{trained.name}: {', '.join(possible)}; {' and '.join(TRAINERS_OWN)} take {_TAKES}")
        return possible
    unknown = sorted(set(asked) - set(ANALYSES))
    if unknown or not asked:
        raise UsageError(
            f"part {', '.join(unknown) or '(none)'}", where="analysis", expected=", ".join(ANALYSES)
        )
    if impossible := [each for each in ANALYSES if each in set(asked) - set(possible)]:
        raise UsageError(
            f"{' and '.join(impossible)} of an imported network: this takes {_TAKES}",
            where=trained.name, expected=f"some of {','.join(possible)}",
        )  # fmt: skip
    return tuple(each for each in ANALYSES if each in asked)


def analyse(
    trained: Checkpoint | ImportedNetwork,
    data: FrameSet,
    parts: Collection[str] | None = None,
    *,
    counts: FrameSplit | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Run the parts and return their results as plain values, one entry per part, in the order of ANALYSES.

    Args:
        trained: what `train`, `finetune` or `import` wrote; an imported network has hard spikes only.
        data: frames as the network was trained on.
        parts: "drop", "noise" and "margins" measure the test split; "contraction" passes the trainer's
            validation part through the network; "thresholds" chooses on that and measures the test split.
            The last two are for our own checkpoints. None: all that can be done.
        counts: the test split with unclipped counts, for "drop"; default: made from the recordings.
        seed: of dropped events, noise and pairs.
        device: of a checkpoint's network; an imported one runs in NumPy.

    Raises UsageError: a part that is unknown or not for this network, frames of another shape than the
    network's. DataError: recordings that are gone or have changed. CheckpointError: unknown validation part.
    """
    chosen = parts_of(trained, parts)
    shown = partial(show, trained, device=device)

    def dropped() -> Corruption:
        return event_drop(shown(unclipped(data) if counts is None else counts), seed=seed)

    measures: dict[str, Callable[[], Any]] = {
        "drop": dropped,
        "noise": lambda: weight_noise(shown(data.test), seed=seed),
        "margins": lambda: margins(shown(data.test)),
    }
    if isinstance(trained, Checkpoint):
        measures["contraction"] = partial(_contracted, trained, data, seed, device)
        measures["thresholds"] = partial(tune_thresholds, trained, data, device=device)
    return {part: plain(measures[part]()) for part in chosen}


def _contracted(checkpoint: Checkpoint, data: FrameSet, seed: int, device: str) -> dict[str, Any]:
    indices = training_parts(checkpoint, data)[1]
    held = partial(open_stream, checkpoint, data.train, indices=indices, device=device)
    states, pairs = contraction(held()), check_pairs(held(), seed=seed)
    return {"holds": states.state_bound_holds and pairs.holds, "states": states, "pairs": pairs}


def measure(
    trained: Checkpoint | ImportedNetwork,
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
    predictions = predict(trained, data, device=device)
    about = {"dataset": data.info.dataset, "frames": data.info.frame_digest, "test": accuracies(predictions)}
    found = analyse(trained, data, parts, counts=counts, seed=seed, device=device)
    return predictions, {**about, **found}
