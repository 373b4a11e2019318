"""Integer programs and inputs of known kinds.

`tests.anyprogram` makes programs of every kind at random.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.file import NetFile
from sast_deploy.netx.stock_verdict import StockVerdict, stock_verdict
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool, Upsample, frozen_ints
from sast_deploy.program.record import SpikeRecord
from sast_deploy.proofs.bounds import prove

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
    """The second specification's record, with traces."""
    return run_vectorised(program, frames, trace=True)


def stock_of(program: Program, **flags: bool) -> StockVerdict:
    """What stock NetX makes of its file."""
    return stock_verdict(NetFile(program, "", **flags), prove(program))
