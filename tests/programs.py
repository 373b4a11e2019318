"""Random integer programs and inputs, and a vectorised second derivation of their arithmetic."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from sast_deploy.fixedpoint import Arithmetic, QFormat
from sast_deploy.program import Conv2d, Dense, Program, Readout, SumPool, frozen_ints
from sast_deploy.simulate.record import SpikeRecord, Trace

RULES = Arithmetic(QFormat(8, 4), 4, "saturate", "toward-zero", "half-up", ">=", "subtract")


def dense(rng, inputs, outputs, *, exponent=0, decay=2048, weight=7, vth=(8, 40)):
    return Dense(
        frozen_ints(rng.integers(-weight, weight + 1, (outputs, inputs))),
        frozen_ints(rng.integers(-3, 4, outputs)),
        frozen_ints(rng.integers(*vth, outputs)),
        exponent,
        decay,
    )


def conv(rng, inputs, outputs, *, kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1):
    return Conv2d(
        frozen_ints(rng.integers(-7, 8, (outputs, inputs // groups, *kernel))),
        frozen_ints(rng.integers(-3, 4, outputs)),
        frozen_ints(rng.integers(8, 40, outputs)),
        0,
        2048,
        stride,
        padding,
        dilation,
        groups,
    )


def readout(rng, inputs, classes, exponent=0):
    return Readout(
        frozen_ints(rng.integers(-7, 8, (classes, inputs))),
        frozen_ints(rng.integers(-9, 10, classes)),
        exponent,
    )


def fc_program(rng, rules=RULES, shape=(2, 5, 4), hidden=(9, 6), classes=3, steps=6, exponent=0, decay=2048):
    inputs = int(np.prod(shape))
    first = dense(rng, inputs, hidden[0], exponent=exponent, decay=decay)
    second = dense(rng, hidden[0], hidden[1], decay=decay)
    layers = (first, second, readout(rng, hidden[1], classes, exponent))
    return Program("fc", shape, 4, steps, tuple(map(str, range(classes))), rules, layers)


def conv_program(rng, rules=RULES, steps=4):
    """Every layer kind: strided, grouped and dilated convolutions, pools with a remainder, dense, readout."""
    layers = (
        conv(rng, 2, 4, kernel=(3, 2), stride=(2, 1), padding=(1, 0)),
        SumPool((2, 2)),
        conv(rng, 4, 6, dilation=(1, 2), padding=(1, 2), groups=2),
        SumPool((2, 1)),
        dense(rng, 6 * 1 * 3, 5),
        readout(rng, 5, 3),
    )
    return Program("conv", (2, 9, 8), 3, steps, ("a", "b", "c"), rules, layers)


def random_frames(rng, program, samples, density=0.4):
    shape = (samples, program.steps, *program.input_shape)
    counts = rng.integers(1, program.input_max + 1, shape)
    return (counts * (rng.random(shape) < density)).astype(np.uint8)


def vectorised(program: Program, frames: np.ndarray) -> SpikeRecord:
    """The same arithmetic derived anew: float64 tensor products (exact below 2**53) and numpy rounding."""
    rules = program.arithmetic
    states: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    traces: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    logits = np.zeros((len(frames), len(program.classes)), dtype=np.int64)
    for t in range(program.steps):
        x = frames[:, t].astype(np.float64)
        for index, layer in enumerate(program.layers):
            total = _product(layer, x)
            if isinstance(layer, SumPool):
                x = total
                continue
            current = _scaled(total, layer.weight_exp, rules.shift_rounding)
            wide = [1, -1] + [1] * (total.ndim - 2)
            current = current + layer.bias.reshape(wide)
            if isinstance(layer, Readout):
                logits += current.astype(np.int64)
                continue
            u, s = states.get(index, (np.zeros_like(current), np.zeros_like(current)))
            vth = layer.vth.reshape(wide)
            kept = u if rules.reset == "subtract" else u * (1 - s)
            kept = _rounded(kept * (4096 - layer.v_decay), 4096, rules.leak_rounding)
            u = kept + current - (vth * s if rules.reset == "subtract" else 0)
            u = _fitted(u, rules)
            s = (u >= vth if rules.comparison == ">=" else u > vth).astype(np.float64)
            states[index] = (u, s)
            traces.setdefault(index, []).append((u, s))
            x = s
    return _record(traces, logits)


def _product(layer, x):
    if isinstance(layer, Conv2d):
        tensors = torch.from_numpy(x), torch.tensor(layer.weight, dtype=torch.float64)
        geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return functional.conv2d(tensors[0], tensors[1], None, *geometry).numpy()
    if isinstance(layer, SumPool):
        area = layer.kernel[0] * layer.kernel[1]
        return np.rint(functional.avg_pool2d(torch.from_numpy(x), layer.kernel).numpy() * area)
    return x.reshape(len(x), -1) @ layer.weight.T.astype(np.float64)


def _rounded(value, divisor, rounding):
    exact = value / divisor  # a power of two: exact in float64
    if rounding == "toward-zero":
        return np.trunc(exact)
    if rounding == "floor":
        return np.floor(exact)
    return np.floor(exact + 0.5) if rounding == "half-up" else np.rint(exact)


def _scaled(total, exponent, rounding):
    return total * 2.0**exponent if exponent >= 0 else _rounded(total, 2.0**-exponent, rounding)


def _fitted(u, rules):
    low, high, span = rules.state.low, rules.state.high, 2.0**rules.state.bits
    return np.clip(u, low, high) if rules.overflow == "saturate" else np.mod(u - low, span) + low


def _record(traces, logits):
    found = []
    for steps in traces.values():
        u, s = (np.stack([step[k].reshape(len(logits), -1) for step in steps], axis=1) for k in (0, 1))
        found.append(Trace(u.astype(np.int32), s.astype(np.uint8)))
    counts = tuple(trace.spikes.sum(axis=1, dtype=np.int32) for trace in found)
    return SpikeRecord(counts, logits, tuple(found))
