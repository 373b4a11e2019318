"""What the files of runs may hold: all that is read of them, typed; the rest is plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sast_deploy.base.rules import (
    AMOUNT,
    COUNT,
    FINITE,
    FRACTION,
    SEED,
    Items,
    Maybe,
    Named,
    Plain,
    Problem,
    Rule,
    Table,
    Text,
    known,
)
from sast_deploy.base.settings import ruled
from sast_deploy.data.frameset import DataInfo
from sast_deploy.data.options import FrameOptions

NAME = Text(255, "\0", blank=False)
_ACCURACY = Table({"accuracy": FRACTION}, open=True)
_RATES = Items(FRACTION, 0, 256)
_DATA = ruled(DataInfo)


@dataclass(frozen=True)
class _Run(Rule):
    """The float stage: smooth and hard rates are of the same layers."""

    check: Rule

    def __str__(self) -> str:
        return str(self.check)

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        found = list(self.check.problems(value, path))
        yield from found
        if not found and value:
            smooth, hard = (value.get(f"{key}_rates", []) for key in ("surrogate", "hard"))
            if smooth and len(smooth) != len(hard):
                expected = f"{len(smooth)}, as surrogate_rates has"
                yield Problem(f"{path}.hard_rates", f"{len(hard)} layers", expected)


_DISTURBED = Maybe(known({
    "levels": Items(Table({"amount": AMOUNT, "hard": FRACTION}, open=True), 0, 1000)
}))  # fmt: skip
_ANALYSIS: dict[str, Rule] = {
    "drop": _DISTURBED,
    "noise": _DISTURBED,
    "margins": Maybe(known({"surrogate_share": Maybe(FRACTION), "hard_share": Maybe(FRACTION)})),
    "contraction": Maybe(known({
        "states": Maybe(known({"gamma": Maybe(FINITE), "above_one": Maybe(FRACTION)}))
    })),
    "thresholds": Maybe(known({
        "test_before": Maybe(_ACCURACY), "test_after": Maybe(_ACCURACY), "tried": COUNT,
    })),
}  # fmt: skip
_PROFILE = known({
    "accuracy": Maybe(FRACTION), "synops": Maybe(AMOUNT),
    "layers": Maybe(Items(Table({"synops": AMOUNT}, open=True), 0, 1000)),
})  # fmt: skip
_CIRCUIT_LAYER = Table({
    "layer": NAME, "events": AMOUNT, "waits": Named(AMOUNT, keys=NAME),
}, open=True)  # fmt: skip
_CIRCUIT = Table({
    "samples": COUNT, **dict.fromkeys(("mean", "median", "p99", "worst"), AMOUNT),
    "lanes": Items(COUNT, 1, 1000), "layers": Items(_CIRCUIT_LAYER, 1, 1000),
}, open=True)  # fmt: skip
_ROW = Table({"name": NAME, "test": Maybe(_ACCURACY)}, open=True)
_ABLATION = known({"rows": Items(_ROW, 0, 1000)})
_TRAIN = known({key: Maybe(AMOUNT) for key in ("seconds", "step_ms", "peak_memory_mb")})
_FLOAT = _Run(Table({
    "surrogate": FRACTION, "hard": FRACTION, "gap": FINITE, "surrogate_rates": _RATES, "hard_rates": _RATES,
}, ("gap", "surrogate_rates", "hard_rates"), open=True))  # fmt: skip
CONFIG = Table({
    "data": Table({
        "name": NAME, "dataset": NAME, "options": known(ruled(FrameOptions)),
    }, ("options",), open=True),
    "network": Table({"name": NAME, "kind": NAME}, open=True),
    "recipe": Table({"name": NAME, "rho": AMOUNT, "epochs": COUNT}, ("rho", "epochs"), open=True),
    "seed": SEED, "validation": FRACTION,
}, ("validation",))  # fmt: skip
RECORD = Table({
    "name": NAME, "config": CONFIG,
    "train": Maybe(_TRAIN), "float": Maybe(_FLOAT), "profiles": Named(_PROFILE, keys=NAME),
    "circuits": Named(_CIRCUIT, keys=NAME), "analysis": known(_ANALYSIS),
    "ablations": Named(Maybe(_ABLATION), keys=NAME),
    "manifest": Table({
        "data": Maybe(Table(_DATA, set(_DATA) - {"simulated", "n_train", "n_test"}, open=True)),
    }, open=True),
}, ("circuits",), open=True)  # fmt: skip
PLAN = known({"runs": Named(CONFIG, keys=NAME)})
RUNS = Table({"version": COUNT, "runs": Items(RECORD)}, open=True)
MANIFEST = known({"config": known({})})
_STAGE = Table({"stage": NAME, "checkpoint": Maybe(Text()), "result": known({})}, ("checkpoint",), open=True)
_RESULTS: dict[str, Rule] = {
    "train": _TRAIN, "float": _FLOAT, "profile": _PROFILE, "circuit": _CIRCUIT, "ablation": _ABLATION,
}  # fmt: skip


def is_stage(values: Any) -> bool:
    """Whether a document is the record of a stage, with a result that such a stage has."""
    if not _STAGE.fits(values):
        return False
    kind, _, subject = values["stage"].partition(" ")
    result = _ANALYSIS.get(subject, Plain()) if kind == "analysis" else _RESULTS.get(kind)
    return result is not None and result.fits(values["result"])
