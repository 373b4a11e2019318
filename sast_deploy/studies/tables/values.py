"""Figures of one run that tables take means of; None where the run does not have them yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sast_deploy.studies.tables.records import Record
from sast_deploy.training.evaluate import tail_shares

Value = Callable[[Record], float | None]


def figure(*path: str | int | Mapping[str, Any]) -> Value:
    """What a run holds at `path`, as in figure("float", "hard"); of a list, what a mapping is part of."""

    def value(run: Record) -> float | None:
        found: Any = vars(run)
        for key in path:
            try:
                found = _listed(found, key) if isinstance(key, Mapping) else found[key]
            except (KeyError, IndexError, TypeError):  # TypeError: in what is None
                return None
        return None if found is None else float(found)

    return value


def _listed(found: list[dict[str, Any]], part: Mapping[str, Any]) -> dict[str, Any] | None:
    return next((each for each in found if part.items() <= each.items()), None)


surrogate = figure("float", "surrogate")  # accuracy with smooth spikes
hard = figure("float", "hard")  # with hard spikes, nothing else changed
gap = figure("float", "gap")  # surrogate - hard


def hidden_synops(subject: str) -> Value:
    """SynOps behind the first layer: those that training can change, the input's events being given."""

    def value(run: Record) -> float | None:
        layers = (run.profiles.get(subject) or {}).get("layers")
        return float(sum(layer["synops"] for layer in layers[1:])) if layers else None

    return value


def loss(subject: str) -> Value:
    """Hard-spike accuracy before quantization - accuracy of the integers."""

    def value(run: Record) -> float | None:
        before, after = hard(run), figure("profiles", subject, "accuracy")(run)
        return None if before is None or after is None else before - after

    return value


def disturbed(part: str, amount: float) -> Value:
    """Hard-spike accuracy under event drop or weight noise of that strength, mean over the draws."""
    return figure("analysis", part, "levels", {"amount": amount}, "hard")


def tails(run: Record) -> float | None:
    """The largest share of a LIF layer's smooth activity that hard spikes do not have."""
    found = run.float or {}
    if not found.get("surrogate_rates"):
        return None
    return max(tail_shares(found["surrogate_rates"], found["hard_rates"]))
