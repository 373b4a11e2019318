"""1,200 random programs of every kind and width through the reference, its second derivation and `fast`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.fixedpoint import OVERFLOWS, ROUNDINGS, Arithmetic, QFormat
from sast_deploy.program import Dense, Program, frozen_ints
from sast_deploy.simulate.fast import run_fast
from sast_deploy.simulate.record import first_difference
from sast_deploy.simulate.reference import run_reference
from tests.programs import conv, dense, random_frames, readout, rich_program, vectorised

DENSE, CONVOLUTIONAL, RICH = 800, 250, 150
CHUNKS = 10


def random_rules(rng):
    """State and weights of 2 to 16 bits, every rounding, overflow, comparison and reset."""
    pick = lambda names: str(rng.choice(names))  # noqa: E731
    bits = int(rng.integers(2, 17))
    return Arithmetic(
        QFormat(bits, int(rng.integers(0, bits))),
        int(rng.integers(2, 17)),
        pick(OVERFLOWS),
        pick(ROUNDINGS),
        pick(ROUNDINGS),
        pick([">=", ">"]),
        pick(["subtract", "zero"]),
    )


def random_weights(rng, layer, rules):
    """The layer with weights of the program's width, and a threshold and exponent that keep it busy."""
    largest, high = (1 << (rules.weight_bits - 1)) - 1, rules.state.high
    weight = rng.integers(-largest - 1, largest + 1, layer.weight.shape)
    reach = largest * np.sqrt(layer.weight[0].size)
    exponent = int(np.clip(round(np.log2(max(high, 1) / reach)) + rng.integers(-2, 3), -8, 7))
    outputs = len(layer.weight)
    return replace(
        layer,
        weight=frozen_ints(weight),
        bias=frozen_ints(rng.integers(-(high // 8) - 1, high // 8 + 2, outputs)),
        vth=frozen_ints(rng.integers(1, max(high, 1) + 1, outputs)),
        weight_exp=exponent,
        v_decay=frozen_ints(rng.choice([0, 1, 1024, 2048, 4095, 4096, rng.integers(0, 4097)], 1)),
    )


def dense_program(rng):
    rules, shape = random_rules(rng), (1, int(rng.integers(1, 4)), int(rng.integers(1, 6)))
    inputs, hidden, classes = int(np.prod(shape)), int(rng.integers(1, 7)), int(rng.integers(1, 4))
    layers = (
        random_weights(rng, dense(rng, inputs, hidden), rules),
        random_weights(rng, dense(rng, hidden, 4), rules),
        readout(rng, 4, classes, exponent=int(rng.integers(-3, 4))),
    )
    largest = int(rng.choice([1, 4, 255]))
    return Program("d", shape, largest, 5, tuple(map(str, range(classes))), rules, layers)


def conv_program(rng):
    rules, kernel = random_rules(rng), tuple(int(k) for k in rng.integers(1, 4, 2))
    groups, stride = int(rng.choice([1, 2])), tuple(int(k) for k in rng.integers(1, 3, 2))
    first = conv(rng, 2, 4, kernel=kernel, stride=stride, padding=(1, 1), groups=groups)
    first = random_weights(rng, first, rules)
    shape = (2, 5, 6)
    between = int(np.prod(first.out_shape(shape)))
    second = random_weights(rng, dense(rng, between, 3), rules)
    layers = (first, second, readout(rng, 3, 2))
    return Program("c", shape, 3, 4, ("a", "b"), rules, layers)


def rich(rng):
    """Filters, delays, recurrence, averages and resets by interval, with weights of the program's width."""
    rules = random_rules(rng)
    program = rich_program(rng, rules)
    layers = tuple(
        random_weights(rng, layer, rules) if isinstance(layer, Dense) else layer for layer in program.layers
    )
    return replace(program, layers=layers)


MAKERS = [(dense_program, DENSE), (conv_program, CONVOLUTIONAL), (rich, RICH)]


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize(("make", "number"), MAKERS, ids=["dense", "conv", "rich"])
def test_random_programs_agree(make, number, chunk):
    spikes = states = 0
    for seed in range(chunk, number, CHUNKS):
        rng = np.random.default_rng([17, seed])
        program = make(rng)
        frames = random_frames(rng, program, 2, density=float(rng.choice([0.1, 0.5, 1.0])))
        expected = run_reference(program, frames, trace=True)
        where = f"{make.__name__} seed {seed}: {program.arithmetic}"
        assert first_difference(expected, vectorised(program, frames)) is None, where
        assert first_difference(expected, run_fast(program, frames, trace=True, threads=1)) is None, where
        spikes += sum(int(trace.spikes.sum()) for trace in expected.traces)
        states += sum(trace.spikes.size for trace in expected.traces)
    assert 0.05 < spikes / states < 0.95  # neither silent nor always on


def test_there_are_more_than_a_thousand_with_every_rule():
    rules = [make(np.random.default_rng([17, seed])).arithmetic for make, n in MAKERS for seed in range(n)]
    assert len(rules) >= 1000
    assert {r.state.bits for r in rules} == {r.weight_bits for r in rules} == set(range(2, 17))
    for name, wanted in (
        ("overflow", OVERFLOWS),
        ("leak_rounding", ROUNDINGS),
        ("shift_rounding", ROUNDINGS),
        ("comparison", (">=", ">")),
        ("reset", ("subtract", "zero")),
    ):
        assert {getattr(r, name) for r in rules} == set(wanted)
