"""Integer programs and inputs of known kinds, and a vectorised second derivation of their arithmetic.

`tests.anyprogram` makes programs of every kind at random.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool, Upsample, frozen_ints
from sast_deploy.program.record import SpikeRecord, Trace

RULES = Arithmetic(QFormat(8, 4), 4, "saturate", "toward-zero", "half-up", ">=", "subtract")
# Options of `conv`.
GEOMETRIES = [
    {"kernel": (3, 3)},
    {"kernel": (1, 4), "stride": (1, 2), "padding": (2, 0)},
    {"kernel": (3, 2), "stride": (2, 1), "padding": (0, 3), "dilation": (2, 3)},
    {"kernel": (2, 2), "groups": 2, "padding": (0, 0)},
    {"kernel": (3, 3), "stride": (3, 3), "groups": 4},
]


def dense(rng, inputs, outputs, *, exponent=0, decay=2048, weight=7, vth=(8, 40)):
    return Dense(
        frozen_ints(rng.integers(-weight, weight + 1, (outputs, inputs))),
        frozen_ints(rng.integers(-3, 4, outputs)),
        frozen_ints(rng.integers(*vth, outputs)),
        exponent,
        frozen_ints([decay]),
    )


def conv(rng, inputs, outputs, *, kernel=(3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1):
    return Conv2d(
        frozen_ints(rng.integers(-7, 8, (outputs, inputs // groups, *kernel))),
        frozen_ints(rng.integers(-3, 4, outputs)),
        frozen_ints(rng.integers(8, 40, outputs)),
        0,
        frozen_ints([2048]),
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


def rich_program(rng, rules=RULES, steps=9):
    """Current filters, delays of every kind, recurrence, an averaging pool, resets by interval."""
    first = conv(rng, 2, 4, stride=(2, 1), groups=2)
    first = replace(
        first,
        v_decay=frozen_ints(rng.integers(0, 4097, 4)),
        u_decay=frozen_ints(rng.choice([0, 1024, 3000, 4096], 4)),
        delay=frozen_ints([1]),
        reset_offset=1,
    )
    second = replace(
        dense(rng, 4 * 2 * 3, 7, exponent=1),
        u_decay=frozen_ints([2048]),
        recurrent=frozen_ints(rng.integers(-7, 8, (7, 7))),
        delay=frozen_ints(rng.integers(0, 4, (7, 24))),
    )
    third = replace(
        dense(rng, 7, 5, vth=(3, 9)),
        vth=frozen_ints([5]),
        bias=frozen_ints([1]),
        delay=frozen_ints(rng.integers(0, 3, 7)),
        reset_offset=2,
    )
    last = replace(readout(rng, 5, 3), delay=frozen_ints([2]))
    layers = (first, SumPool((2, 2), -1), second, third, last)
    return Program("rich", (2, 8, 6), 3, steps, ("a", "b", "c"), rules, layers, reset_interval=4)


def decoder_program(rng, rules=RULES, steps=4):
    """Upsamplings of frames and of spikes; in front of a convolution, of a pool and of the readout."""
    layers = (
        Upsample((1, 2)),
        conv(rng, 2, 3, stride=(2, 2)),
        Upsample((2, 3)),
        replace(conv(rng, 3, 4, kernel=(2, 3), stride=(1, 2), padding=(0, 1)), vth=frozen_ints([2, 4, 6, 8])),
        Upsample((3, 1)),
        SumPool((2, 2)),
        Upsample((1, 2)),
        readout(rng, 4 * 4 * 6, 3),
    )
    return Program("decoder", (2, 4, 4), 3, steps, ("a", "b", "c"), rules, layers)


def random_frames(rng, program, samples, density=0.4):
    shape = (samples, program.steps, *program.input_shape)
    counts = rng.integers(1, program.input_max + 1, shape)
    return (counts * (rng.random(shape) < density)).astype(np.uint8)


def vectorised(program: Program, frames: np.ndarray) -> SpikeRecord:
    """The same arithmetic derived anew, layer by layer over all steps at once: delays shift whole input
    trains, products are float64 (exact below 2**53), rounding is NumPy's.
    """
    rules = program.arithmetic
    train = frames.astype(np.float64)  # (samples, time, ...)
    traces, logits = [], None
    for layer in program.layers:
        total = _product(layer, train)
        if isinstance(layer, Upsample):
            train = total
        elif isinstance(layer, SumPool):
            train = _scaled(total, layer.exponent, rules.shift_rounding)
        elif isinstance(layer, Readout):
            per_step = _scaled(total, layer.weight_exp, rules.shift_rounding) + layer.bias
            logits = per_step.sum(axis=1).astype(np.int64)
        else:
            trace, train = _spikes(layer, total, rules, program.reset_interval)
            traces.append(trace)
    if logits is None:
        logits = train.reshape(*train.shape[:2], -1).sum(axis=1).astype(np.int64)
    counts = tuple(trace.spikes.sum(axis=1, dtype=np.int32) for trace in traces)
    return SpikeRecord(counts, logits, tuple(traces))


def _spikes(layer, total, rules, interval):
    """Membranes and spikes of all steps from the weighted sums (samples, time, ...)."""
    wide = [1, -1] + [1] * (total.ndim - 3)
    bias, vth, v_decay, u_decay = (
        np.asarray(value, dtype=np.float64).reshape(wide)
        for value in (layer.bias, layer.vth, layer.v_decay, layer.u_decay)
    )
    u, s, c = (np.zeros(total[:, 0].shape) for _ in range(3))
    membranes, spikes = [], []
    for t in range(total.shape[1]):
        if interval and t % interval == layer.reset_offset:
            u, s, c = (np.zeros_like(u) for _ in range(3))
        arriving = total[:, t]
        if getattr(layer, "recurrent", None) is not None:
            # A cleared layer has lost its remembered spikes, but not those under way to itself.
            before = spikes[-1] if spikes else np.zeros_like(u)
            arriving = arriving + before @ layer.recurrent.T.astype(np.float64)
        arriving = _scaled(arriving, layer.weight_exp, rules.shift_rounding)
        filtered = np.mod(_rounded(c * (4096 - u_decay), 4096, rules.leak_rounding) + arriving + 2**23, 2**24)
        c = np.where(u_decay == 4096, arriving, filtered - 2**23)
        kept = u if rules.reset == "subtract" else u * (1 - s)
        u = _rounded(kept * (4096 - v_decay), 4096, rules.leak_rounding) + c + bias
        u = _fitted(u - (vth * s if rules.reset == "subtract" else 0), rules)
        s = (u >= vth if rules.comparison == ">=" else u > vth).astype(np.float64)
        membranes.append(u)
        spikes.append(s)
    u, s = np.stack(membranes, axis=1), np.stack(spikes, axis=1)
    flat = (*s.shape[:2], -1)
    return Trace(u.reshape(flat).astype(np.int32), s.reshape(flat).astype(np.uint8)), s


def _delayed(train, steps):
    """The train `steps` later; what would arrive after the end is lost."""
    late = np.zeros_like(train)
    if steps < train.shape[1]:
        late[:, steps:] = train[:, : train.shape[1] - steps]
    return late


def _product(layer, train):
    if isinstance(layer, Upsample):
        maps = torch.from_numpy(train).flatten(0, 1)
        return functional.interpolate(maps, scale_factor=layer.factors).unflatten(0, train.shape[:2]).numpy()
    if isinstance(layer, SumPool):
        area = layer.kernel[0] * layer.kernel[1]
        maps = torch.from_numpy(train).flatten(0, 1)
        pooled = functional.avg_pool2d(maps, layer.kernel).unflatten(0, train.shape[:2])
        return np.rint(pooled.numpy() * area)
    if isinstance(layer, Conv2d):
        maps = torch.from_numpy(_delayed(train, int(layer.delay[0]))).flatten(0, 1)
        weight = torch.tensor(layer.weight, dtype=torch.float64)
        geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return functional.conv2d(maps, weight, None, *geometry).unflatten(0, train.shape[:2]).numpy()
    flat = train.reshape(*train.shape[:2], -1)
    weight = layer.weight.astype(np.float64)
    total = np.zeros((*train.shape[:2], len(weight)))
    for delay in np.unique(layer.delay):
        total += _delayed(flat, int(delay)) @ np.where(layer.delay == delay, weight, 0.0).T
    return total


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
    if rules.overflow == "wrap":
        return np.mod(u - low, span) + low
    return np.clip(u, low if rules.overflow == "saturate" else -high, high)
