"""The worked tables of profiles/README.md, read from that file and checked against the code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.engines import vectorised
from sast_deploy.engines.reference import Integrators, Neurons, Synapses, run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.fixedpoint import (
    OVERFLOWS,
    ROUNDINGS,
    Arithmetic,
    QFormat,
    divide_pow2,
    divide_pow2_array,
    fit,
    fit_array,
)
from sast_deploy.program.profile import LAYOUT, load_profile, profile_names
from sast_deploy.program.program import DECODINGS, Dense, Program, Readout, frozen_ints

README = Path(__file__).parents[2] / "profiles" / "README.md"
FORMATS = {"Q4.4": QFormat(8, 4), "Q8.8": QFormat(16, 8)}
RULES = Arithmetic(FORMATS["Q4.4"], 8, "saturate", "toward-zero", "half-up", ">=", "subtract")


def table(heading: str) -> list[dict[str, str]]:
    lines = README.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    end = next((i for i, line in enumerate(rows[2:], 2) if len(line) != len(rows[0])), len(rows))
    names = [name.strip() for name in rows[0]]
    return [dict(zip(names, (cell.strip() for cell in row), strict=True)) for row in rows[2:end]]


def test_rounding_table():
    rows = table("Rounding")
    assert len(rows) == 15
    for row in rows:
        value, n = int(row["value"]), int(row["n"])
        for rounding in ROUNDINGS:
            expected = int(row[rounding])
            assert divide_pow2(value, n, rounding) == expected, (value, n, rounding)
            assert divide_pow2_array(np.array([value]), n, rounding).tolist() == [expected]
            assert vectorised._divided(np.array([value]), n, rounding).tolist() == [expected]


def test_overflow_table():
    rows = table("Overflow")
    assert len(rows) == 7
    for row in rows:
        form, value = FORMATS[row["format"]], int(row["value"])
        for overflow in OVERFLOWS:
            expected = int(row[overflow])
            assert fit(value, form, overflow) == expected, (value, overflow)
            assert fit_array(np.array([value]), form, overflow).tolist() == [expected]
            rules = replace(RULES, state=form, overflow=overflow)
            assert vectorised._fitted(np.array([value]), rules).tolist() == [expected]


@pytest.mark.parametrize(
    ("column", "reset", "order", "comparison"),
    [
        (1, "subtract", "after-leak", ">="),
        (3, "subtract", "after-leak", ">"),
        (5, "subtract", "before-leak", ">="),
        (7, "subtract", "before-leak", ">"),
        (9, "zero", "after-leak", ">="),
    ],
)
def test_reset_table(column: int, reset: str, order: str, comparison: str):
    lines = README.read_text(encoding="utf-8").split("\n## Reset and comparison, worked\n")[1].splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")][2:8]
    layer = Dense(frozen_ints([[11]]), frozen_ints([0]), frozen_ints([16]), 0, frozen_ints([2048]))
    names = next(line for line in lines if line.startswith("|")).strip("|").split("|")
    assert names[column].strip() == f"{order if reset == 'subtract' else reset} {comparison} u"
    rules = replace(RULES, comparison=comparison, reset=reset, reset_order=order)
    program = Program("t", (1, 1, 1), 1, len(rows), ("a",), rules, (layer,))
    for run in (run_reference, run_vectorised):
        (trace,) = run(program, np.ones((1, len(rows), 1, 1, 1), np.uint8), trace=True).traces
        assert trace.membrane.ravel().tolist() == [int(row[column]) for row in rows]
        assert trace.spikes.ravel().tolist() == [int(row[column + 1]) for row in rows]


def test_current_and_delay_table():
    rows = table("Current filter and delay, worked")
    neuron = Dense(
        frozen_ints([[12]]), frozen_ints([0]), frozen_ints([100]), 0, frozen_ints([4096]),
        u_decay=frozen_ints([2048]), delay=frozen_ints([1]),
    )  # fmt: skip
    rules = replace(RULES, state=FORMATS["Q8.8"])
    synapses, neurons = Synapses(neuron, (1,)), Neurons(neuron, (1,), rules)
    for t, row in enumerate(rows):
        synapses.send([int(row["x"])], t)
        total = synapses.arrive(t)
        neurons.step(total)
        assert [*total, *neurons.current, *neurons.membrane] == [int(row[name]) for name in ("a", "c", "u")]
    program = Program("t", (1, 1, 1), 1, len(rows), ("a",), rules, (neuron,))
    frames = np.array([int(row["x"]) for row in rows], np.uint8).reshape(1, -1, 1, 1, 1)
    (trace,) = run_vectorised(program, frames, trace=True).traces
    assert trace.membrane.ravel().tolist() == [int(row["u"]) for row in rows]


def test_readout_table():
    rows = table("Readout, worked")
    half = frozen_ints([2048])
    readout = Readout(frozen_ints([[10]]), frozen_ints([-1]), 0, v_decay=half, u_decay=half)
    integrators = Integrators(readout, RULES)
    for row in rows:
        integrators.step([10 * int(row["x"])])
        assert [*integrators.current, *integrators.membrane] == [int(row["c"]), int(row["m"])]
    assert len(rows) == 5
    frames = np.array([int(row["x"]) for row in rows], np.uint8).reshape(1, -1, 1, 1, 1)
    for decoding, steps, run in itertools.product(DECODINGS, range(1, 6), (run_reference, run_vectorised)):
        layers = (replace(readout, decoding=decoding),)
        program = Program("t", (1, 1, 1), 1, steps, ("a",), RULES, layers)
        assert run(program, frames[:, :steps]).logits.tolist() == [[int(rows[steps - 1][decoding])]]


def test_every_key_is_documented():
    text = README.read_text(encoding="utf-8")
    for section, keys in LAYOUT.items():
        for key in keys:
            assert f"`{section}.{key}`" in text


def test_every_profile_is_documented():
    text = README.read_text(encoding="utf-8")
    for name in profile_names():
        assert f"| `{name}` |" in text
        profile = load_profile(name)
        assert f"−{profile.weight_max}..{profile.weight_max}" in text
        assert str(profile.arithmetic.state) in text
