"""Figures of one run that tables take means of; None where the run does not have them yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sast_deploy.studies.tables.records import Record
from sast_deploy.training.evaluate import tail_shares

Value = Callable[[Record], float | None]


def surrogate(run: Record) -> float | None:
    """Accuracy with smooth spikes."""
    return _of(run.float, "surrogate")


def hard(run: Record) -> float | None:
    """Accuracy with hard spikes, nothing else changed."""
    return _of(run.float, "hard")


def gap(run: Record) -> float | None:
    """Surrogate accuracy - hard-spike accuracy."""
    return _of(run.float, "gap")


def training(key: str) -> Value:
    """A figure of the training: "seconds", "step_ms", "peak_memory_mb"."""
    return lambda run: _of(run.train, key)


def deployed(subject: str, key: str) -> Value:
    """A figure of a compiled network: "accuracy", "synops"."""
    return lambda run: _of(run.profiles.get(subject), key)


def hidden_synops(subject: str) -> Value:
    """SynOps behind the first layer: those that training can change, the input's events being given."""

    def value(run: Record) -> float | None:
        layers = (run.profiles.get(subject) or {}).get("layers")
        return float(sum(layer["synops"] for layer in layers[1:])) if layers else None

    return value


def loss(subject: str) -> Value:
    """Hard-spike accuracy before quantization - accuracy of the integers."""

    def value(run: Record) -> float | None:
        before, after = hard(run), _of(run.profiles.get(subject), "accuracy")
        return None if before is None or after is None else before - after

    return value


def disturbed(part: str, amount: float, key: str = "hard") -> Value:
    """Accuracy under event drop or weight noise of that strength, mean over the draws."""

    def value(run: Record) -> float | None:
        levels = (run.analysis.get(part) or {}).get("levels", [])
        return next((float(level[key]) for level in levels if level["amount"] == amount), None)

    return value


def analysed(part: str, *keys: str) -> Value:
    """A figure of an analysis, as in analysed("margins", "hard_share")."""

    def value(run: Record) -> float | None:
        found: Any = run.analysis.get(part)
        for key in keys[:-1]:
            found = (found or {}).get(key)
        return _of(found, keys[-1])

    return value


def rate(layer: int, *, smooth: bool = False) -> Value:
    """Mean spikes, hard or smooth, per neuron and step of a LIF layer, on the test split."""

    def value(run: Record) -> float | None:
        rates = (run.float or {}).get("surrogate_rates" if smooth else "hard_rates", [])
        return float(rates[layer]) if layer < len(rates) else None

    return value


def tails(run: Record) -> float | None:
    """The largest share of a LIF layer's smooth activity that hard spikes do not have."""
    found = run.float or {}
    if not found.get("surrogate_rates"):
        return None
    return max(tail_shares(found["surrogate_rates"], found["hard_rates"]))


def _of(values: Any, key: str) -> float | None:
    return float(values[key]) if values and values.get(key) is not None else None
