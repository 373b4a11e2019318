"""The way from training to the chip, rung by rung, on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sast_deploy import api
from sast_deploy.base.errors import CompileError
from sast_deploy.compiler import compile_network
from sast_deploy.data import FrameSplit
from sast_deploy.engines.registry import run_engine
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.program.profile import load_profile
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.dossier import HARD, SMOOTH, Rung
from sast_deploy.studies.trained import Trained, float_network
from sast_deploy.training.evaluate import evaluate

PROFILES = ("loihi-int8", "loihi-int4")
ELSEWHERE = "measured on other samples, so not shown"
RECORDED = "as recorded after training"


def climb(
    net: api.Net, trained: Trained | None, split: FrameSplit | None, accuracy: Accuracy | None, whole: bool
) -> tuple[Rung, ...]:
    """Rungs in order. whole: the samples are the test split that the training was tested on."""
    own = Rung(_named(net), accuracy, reported=True)
    if trained is None or split is None:
        return (*_recorded(net.file.checkpoint.get("metrics", {}), accuracy, whole), own)
    found, taken = list(_measured(trained, split)), False
    for name in PROFILES:
        same = _plain(net) and net.profile.digest == load_profile(name).digest
        found.append(own if same else _compiled(trained, split, name))
        taken = taken or same
    return tuple(found) if taken else (*found, own)


def _named(net: api.Net) -> str:
    bits = f"INT{net.program.arithmetic.weight_bits}"
    return f"{bits}, calibrated" if net.file.calibration.get("steps") else bits


def _plain(net: api.Net) -> bool:
    """Whether the compiler alone chose its integers, for a profile."""
    return bool(net.file.profile_text) and not net.file.calibration.get("steps")


def _measured(trained: Trained, split: FrameSplit) -> tuple[Rung, ...]:
    if isinstance(trained, ImportedNetwork):
        return (Rung(HARD, trained.evaluate(split).accuracy),)
    found = evaluate(trained, split)
    return (
        Rung(SMOOTH, Accuracy(found.surrogate_correct, found.samples)),
        Rung(HARD, Accuracy(found.hard_correct, found.samples)),
    )


def _compiled(trained: Trained, split: FrameSplit, name: str) -> Rung:
    profile = load_profile(name)
    bits = f"INT{profile.arithmetic.weight_bits}"
    try:
        program = compile_network(float_network(trained), profile, name).program
    except CompileError as error:
        return Rung(bits, None, f"does not compile for {name}: {error}")
    record = run_engine("fast", program, split.frames)
    correct = int((record.predictions == split.labels).sum())
    return Rung(bits, Accuracy(correct, len(split)))


def _recorded(
    metrics: Mapping[str, Any], accuracy: Accuracy | None, whole: bool
) -> tuple[Rung, ...]:
    test = metrics.get("test", {})
    samples = 0 if accuracy is None else accuracy.samples
    found = []
    for name, key in ((SMOOTH, "surrogate"), (HARD, "hard")):
        if key not in test:
            continue
        same = whole and test["samples"] == samples
        share = Accuracy(round(test[key] * samples), samples) if same else None
        found.append(Rung(name, share, RECORDED if same else ELSEWHERE, here=False))
    return tuple(found)
