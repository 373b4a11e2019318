"""What calibration aims at: the trained network with its own, hard spikes, in floating point.

Everything that a FloatNetwork may have runs as compiler/floatrun.py says. What a layer's choices look at is
simpler where its neurons differ: the traces of its inputs take the mean of its leaks, and no delays. That
shows in how good a proposal is, not in what becomes of it, which is judged on the integers themselves.

Recurrent weights are refused: their integers are not chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CompileError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.compiler import floatrun
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatResampling, FloatSpiking
from sast_deploy.compiler.quantize import Float64Array

CHUNK = 1 << 23  # numbers of one layer that are held at once, a few times
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Targets:
    """spikes: uint8 (n, T, neurons) of every spiking layer, in order. logits: float64 (n, classes)."""

    spikes: tuple[npt.NDArray[np.uint8], ...]
    logits: Float64Array


def check_calibratable(network: FloatNetwork) -> None:
    """Raise CompileError for a network with recurrent weights."""
    for index, layer in enumerate(network.layers):
        if isinstance(layer, FloatDense) and layer.recurrent is not None:
            what, todo = "cannot calibrate recurrent weights", "compile it without calibration"
            raise CompileError(what, where=f"layer {index}", expected="none", todo=todo)


def leak_of(network: FloatNetwork, index: int) -> float:
    """The leak of a layer's membranes, the mean of them where they differ; 1 of a readout without one."""
    layer = network.layers[index]
    if isinstance(layer, FloatResampling) or (not isinstance(layer, FloatSpiking) and layer.leak is None):
        return 1.0
    leaks = network.leak(layer) if isinstance(layer, FloatSpiking) else np.asarray(layer.leak, np.float64)
    return float(leaks[0]) if (leaks == leaks[0]).all() else float(leaks.mean())


def filter_of(network: FloatNetwork, index: int) -> float:
    """What a step keeps of a layer's currents, the mean of it where that differs; 0 without a filter."""
    leaks = getattr(network.layers[index], "current_leak", None)
    return 0.0 if leaks is None else float(leaks.mean())


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


def run_float(network: FloatNetwork, frames: Frames | EventFrames) -> Targets:
    """Spikes and logits of frames uint8 (n, T, C, H, W)."""
    size = max(1, CHUNK // (max(int(np.prod(shape)) for shape in network.shapes()) * network.steps))
    spikes: list[list[npt.NDArray[np.uint8]]] = []
    logits = []
    for low in range(0, len(frames), size):
        found = floatrun.run_float(network, np.asarray(frames[low : low + size]), np.float32, trace=True)
        spikes.append([trace.spikes for trace in found.traces or ()])
        logits.append(found.logits.astype(np.float64))
    layers = zip(*spikes, strict=True)
    return Targets(tuple(np.concatenate(layer) for layer in layers), np.concatenate(logits))
