"""What a float network is made of, layer by layer: what `inspect` says of a network that was imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sast_deploy.compiler.floatnet import FloatNetwork, FloatSpiking
from sast_deploy.exchange.network import KINDS
from sast_deploy.program.program import Shape

Range = tuple[float, float]  # the smallest and the largest


@dataclass(frozen=True)
class FloatLayerFacts:
    """One layer; None where it has no such thing.

    kind: "dense", "conv2d", "pool", "upsample" or "readout". shape: of its output. weights: their number,
    recurrent ones too. leak, current_leak: alpha and kappa. threshold: theta. delay: the longest, in steps.
    """

    kind: str
    shape: Shape
    weights: int
    leak: Range | None
    current_leak: Range | None
    threshold: Range | None
    delay: int | None
    recurrent: bool


def float_layers(network: FloatNetwork) -> tuple[FloatLayerFacts, ...]:
    """Facts of every layer."""
    facts = []
    for layer, shape in zip(network.layers, network.shapes()[1:], strict=True):
        held: dict[str, Any] = dict(vars(layer))
        leak = network.leak(layer) if isinstance(layer, FloatSpiking) else held.get("leak")
        kind = next(name for name, each in KINDS.items() if type(layer) is each)
        weights = sum(np.size(held[name]) for name in ("weight", "recurrent") if held.get(name) is not None)
        delay = held.get("delay")
        facts.append(FloatLayerFacts(
            kind, shape, weights, _range(leak), _range(held.get("current_leak")),
            _range(held.get("threshold")),
            None if delay is None else int(delay.max()), held.get("recurrent") is not None,
        ))  # fmt: skip
    return tuple(facts)


def _range(values: Any) -> Range | None:
    """The shortest decimals that are those float32."""
    if values is None:
        return None
    low, high = (float(str(np.float32(each))) for each in (values.min(), values.max()))
    return low, high
