"""What a checkpoint and a .net file say of how they came about, and what each of those values may be.

Files have some of them only, or have had others: none has to be there, and under other names plain values may
stand. What a .net file says of frames and data is held against its program where data are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from sast_deploy.base.rules import (
    AMOUNT,
    COUNT,
    FINITE,
    FRACTION,
    SEED,
    Flag,
    Items,
    Maybe,
    Named,
    Number,
    Plain,
    Rule,
    Table,
    Text,
    known,
)

_RATES = Items(Number(0, 1), 0, 256)
_TEST: Mapping[str, Rule] = {
    "samples": COUNT, "surrogate": FRACTION, "hard": FRACTION, "integer": FRACTION,
    "integer_start": FRACTION, "surrogate_rates": _RATES, "hard_rates": _RATES,
}  # fmt: skip
_FINETUNED: Mapping[str, Rule] = {"profile_text": Text(1 << 20), "validation_integer_accuracy": FRACTION}
SEEDS = known({"train": SEED, "finetune": SEED})
METRICS = known({
    "epoch": COUNT, "epochs": COUNT, "seconds": AMOUNT, "step_ms": Maybe(AMOUNT), "peak_memory_mb": AMOUNT,
    "training_samples": COUNT, "validation_samples": COUNT, "device": Text(255),
    "validation_surrogate_accuracy": FRACTION, "validation_hard_accuracy": FRACTION,
    "validation_integer_accuracy": FRACTION, "test": known(_TEST), "finetuned": known(_FINETUNED),
    "setting": known({"validation": Number(0, 1, above=True, below=True), "seed": SEED}),
})  # fmt: skip
_SCORE = Table({"accuracy": FRACTION, "loss": FINITE}, open=True)
_STEP: Mapping[str, Rule] = {"name": Text(255), "before": _SCORE, "after": Maybe(_SCORE), "kept": Flag()}
_CALIBRATION: Mapping[str, Rule] = {
    "steps": Items(Table(_STEP, open=True), 0, 256), "fit_samples": COUNT, "choose_samples": COUNT,
    "float_accuracy": FRACTION, "seed": SEED,
    "data": Table({"dataset": Text(255), "frame_digest": Text(255)}, open=True),
}  # fmt: skip
NET_FILE = Table({
    "frames": Named(Plain()), "data": known({"provenance": Text(1 << 16), "dataset": Text(255)}),
    "checkpoint": known({"name": Text(255), "path": Text(), "digest": Text(255), "seeds": SEEDS,
                         "metrics": METRICS, "recipe": Plain()}),
    "calibration": Table(_CALIBRATION, open=True, void=True), "created": Named(Text(255)),
}, optional=("calibration",))  # fmt: skip; older files have none
