"""The kinds of neurons that a network may have, and which of its values each of them leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Neuron = Literal["lif", "lapicque", "if", "cuba"]
Learned = Literal["none", "layer", "neuron"]
LEARNED = ("log_theta_", "logit_alpha_")  # parameters of neurons, by what their names begin with

_FILTER, _CIRCUIT = ("current_leak",), ("resistance", "capacitance", "time_step")
_LEAK = ("alpha", "learn_alpha")
# Fields of NetworkSpec that must be at their default, and why.
FIXED: Mapping[Neuron, Mapping[str, str]] = {
    "lif": dict.fromkeys(_FILTER + _CIRCUIT, "has none"),
    "lapicque": dict.fromkeys(_FILTER, "has none") | dict.fromkeys(_LEAK, "has the leak 1 - dt / (R C)"),
    "if": dict.fromkeys(_FILTER + _CIRCUIT, "has none") | dict.fromkeys(_LEAK, "never leaks"),
    "cuba": dict.fromkeys(_CIRCUIT, "has none"),
}
