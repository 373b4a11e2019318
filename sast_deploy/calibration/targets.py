"""What calibration aims at: the trained network with hard spikes, in floating point.

Inputs are taken in the integer network's units (counts, spikes, sums over a pool's window), and the weights
carry the rest, so that real and integer weights of a layer see the same kind of input:

    u_t = alpha * u_{t-1} + A x_t + b - theta * s_{t-1}           reset "subtract", "after-leak"
    u_t = alpha * (u_{t-1} - theta * s_{t-1}) + A x_t + b         reset "subtract", "before-leak"
    u_t = alpha * u_{t-1} * (1 - s_{t-1}) + A x_t + b             reset "zero"
    s_t = u_t >= theta (or u_t > theta),    logits = W_out * mean_t(s_t) + b_out

What else a FloatNetwork may have is refused: recurrence, delays, current filters, leaks that differ within a
layer, a last layer that spikes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.compiler.floatnet import (
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatReadout,
    FloatResampling,
    FloatSpiking,
)
from sast_deploy.compiler.quantize import Float64Array
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, Resampling
from sast_deploy.program.sums import real_sums, resampled

CHUNK = 1 << 24  # numbers of one layer that are held at once
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Targets:
    """spikes: uint8 (n, T, neurons) of every spiking layer, in order. logits: float64 (n, classes)."""

    spikes: tuple[npt.NDArray[np.uint8], ...]
    logits: Float64Array


def check_calibratable(network: FloatNetwork) -> None:
    """Raise CompileError for a network with what calibration knows nothing of, by its name."""
    for index, layer in enumerate(network.layers):
        found = ", ".join(_unknown(network, layer))
        if found:
            what, todo = f"cannot calibrate {found}", "compile it without calibration"
            expected = "one leak a layer, and a readout"
            raise CompileError(what, where=f"layer {index}", expected=expected, todo=todo)


def _unknown(network: FloatNetwork, layer: FloatLayer) -> Iterator[str]:
    if isinstance(layer, FloatDense) and layer.recurrent is not None:
        yield "recurrent weights"
    if not isinstance(layer, FloatResampling) and layer.delay.any():
        yield "delays"
    if isinstance(layer, FloatSpiking):
        if layer.current_leak is not None and layer.current_leak.any():
            yield "a current filter"
        if len(np.unique(network.leak(layer))) > 1:
            yield "leaks that differ within a layer"
        if layer is network.layers[-1]:
            yield "a last layer that spikes"


def leak_of(network: FloatNetwork, index: int) -> float:
    """The one leak of a layer that spikes; 1 of any other: a readout sums over time."""
    layer = network.layers[index]
    return float(network.leak(layer)[0]) if isinstance(layer, FloatSpiking) else 1.0


def real_weights(network: FloatNetwork) -> list[Float64Array | None]:
    """Weights per unit of the integer inputs, for every layer; None for one without any."""
    found: list[Float64Array | None] = []
    unit = 1.0 / network.input_clip
    for layer in network.layers:
        if isinstance(layer, FloatResampling):
            unit /= layer.area
            found.append(None)
            continue
        found.append(layer.weight.astype(np.float64) * unit)
        unit = 1.0
    return found


def run_float(network: FloatNetwork, program: Program, frames: Frames | EventFrames) -> Targets:
    """Spikes and logits of frames uint8 (n, T, C, H, W). program: any of this network, for its geometry."""
    widest = max(int(np.prod(shape)) for shape in program.shapes())
    size = max(1, CHUNK // (widest * network.steps))
    chunks = (np.asarray(frames[low : low + size]) for low in range(0, len(frames), size))
    parts = [_run(network, program, chunk) for chunk in chunks]
    layers = zip(*(part.spikes for part in parts), strict=True)
    return Targets(
        tuple(np.concatenate(layer) for layer in layers), np.concatenate([part.logits for part in parts])
    )


def _run(network: FloatNetwork, program: Program, frames: Frames) -> Targets:
    x: npt.NDArray[Any] = frames
    spikes: list[npt.NDArray[np.uint8]] = []
    shapes = program.shapes()
    layers = zip(network.layers, program.layers, real_weights(network), strict=True)
    for index, (layer, integer, weight) in enumerate(layers):
        if isinstance(integer, Resampling):
            x = resampled(integer, x, program.arithmetic.shift_rounding)
        elif isinstance(layer, FloatReadout):
            mean = x.reshape(*x.shape[:2], -1).mean(axis=1, dtype=np.float64)
            return Targets(tuple(spikes), np.asarray(mean @ np.asarray(weight).T + layer.bias, np.float64))
        elif isinstance(layer, FloatSpiking) and weight is not None:
            spikes.append(_spike(network, index, layer, integer, weight, x))
            x = spikes[-1].reshape(*x.shape[:2], *shapes[index + 1])
    raise ValueError("a float network ends in a readout")


def _spike(
    network: FloatNetwork,
    index: int,
    layer: FloatSpiking,
    integer: Dense | Conv2d | Readout,
    weight: Float64Array,
    x: npt.NDArray[Any],
) -> npt.NDArray[np.uint8]:
    flat = x.reshape(-1, *x.shape[2:]).astype(np.float32)
    sums = real_sums(integer, flat, weight.astype(np.float32)).reshape(*x.shape[:2], len(weight), -1)
    current = (sums + layer.bias[:, None]).reshape(*x.shape[:2], -1)
    theta = layer.threshold.repeat(current.shape[2] // len(weight))
    u, s, alpha = np.zeros_like(current[:, 0]), np.zeros_like(current[:, 0]), leak_of(network, index)
    spikes = np.empty(current.shape, np.uint8)
    for t in range(x.shape[1]):
        if network.reset == "zero":
            u = alpha * u * (1 - s) + current[:, t]
        elif network.reset_order == "before-leak":
            u -= theta * s
            u = alpha * u + current[:, t]
        else:
            u = alpha * u + current[:, t] - theta * s
        s = (u >= theta if network.comparison == ">=" else u > theta).astype(np.float32)
        spikes[:, t] = s
    return spikes
