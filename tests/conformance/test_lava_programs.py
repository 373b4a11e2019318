"""Lava equals the executable specification on every membrane and spike of random programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.engines.lava import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Program
from sast_deploy.program.record import first_difference
from tests.programs import conv_program, dense, random_frames, readout, vectorised

pytestmark = pytest.mark.slow

# (overflow, leak rounding, shift rounding, comparison, reset[, order], exponent, v_decay): each once or more.
FULLY_CONNECTED = [
    ("saturate", "toward-zero", "half-up", ">=", "subtract", 1, 2048),
    ("saturate", "toward-zero", "half-up", ">=", "subtract", "before-leak", 1, 2048),
    ("wrap", "half-even", "floor", ">", "subtract", -2, 1000),
    ("saturate", "floor", "half-even", ">", "zero", -1, 3000),
    ("wrap", "half-up", "toward-zero", ">=", "zero", -3, 0),
]
CONVOLUTIONAL = [
    ("saturate", "half-up", "toward-zero", ">=", "subtract"),
    ("wrap", "toward-zero", "half-even", ">", "subtract", "before-leak"),
    ("wrap", "toward-zero", "half-even", ">", "zero"),
]


def rules(*choices):
    return Arithmetic(QFormat(8, 4), 4, *choices)


def lively_program(rng, arithmetic, exponent, decay):
    """2 x 5 x 4 inputs, 12 and 8 neurons, 3 classes; weights and thresholds that keep 8-bit states busy."""
    weight = 7 << max(-exponent, 0)
    layers = (
        dense(rng, 40, 12, exponent=exponent, decay=decay, weight=weight, vth=(1, 60)),
        dense(rng, 12, 8, exponent=2, decay=decay, vth=(1, 60)),
        readout(rng, 8, 3, exponent),
    )
    arithmetic = replace(arithmetic, weight_bits=8)
    return Program("lively", (2, 5, 4), 4, 6, ("a", "b", "c"), arithmetic, layers)


def check(program, frames, tmp_path, batch):
    path = tmp_path / "random.net"
    write_net(path, NetFile(program, ""))
    expected = run_reference(program, frames, trace=True)
    found = run_lava(path, frames, trace=True, batch=batch, stall=60)
    assert first_difference(expected, found) is None
    assert first_difference(vectorised(program, frames), found) is None  # a second derivation, in floats
    assert np.array_equal(expected.predictions, found.predictions)
    return expected


@pytest.mark.parametrize("case", FULLY_CONNECTED, ids=str)
def test_fully_connected_program(case, tmp_path):
    *names, exponent, decay = case
    rng = np.random.default_rng([5, *str(case).encode()])
    program = lively_program(rng, rules(*names), exponent, decay)
    frames = random_frames(rng, program, samples=7)
    record = check(program, frames, tmp_path, batch=3)
    membranes = np.concatenate([trace.membrane.ravel() for trace in record.traces])
    # Not a quiet network: spikes everywhere, and states at or over both ends of their 8 bits.
    assert all(0 < trace.spikes.mean() < 1 for trace in record.traces)
    assert membranes.min() <= -120
    assert membranes.max() >= 120


@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=str)
def test_convolutional_program(case, tmp_path):
    rng = np.random.default_rng([6, *str(case).encode()])
    program = conv_program(rng, rules(*case))
    record = check(program, random_frames(rng, program, samples=5), tmp_path, batch=2)
    assert all(0 < trace.spikes.mean() < 1 for trace in record.traces)
