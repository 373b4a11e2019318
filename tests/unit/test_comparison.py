"""Whether a threshold that is met exactly fires: what the network says, and what each profile makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.profile import parse_profile
from tests.networks import exact_network, exact_profile
from tests.programs import random_frames


def profile(reset, comparison):
    """One that has this comparison, or leaves it to the network."""
    text, line = exact_profile(reset).text, 'comparison = ">="'
    assert line in text
    return parse_profile(text.replace(line, comparison and f'comparison = "{comparison}"'), "exact")


def meeting(seed):
    """A network whose membrane potentials meet their thresholds often."""
    network = exact_network(seed)
    met = {"threshold": 4, "leak": 1}
    layers = [replace(each, **met) if hasattr(each, "threshold") else each for each in network.layers]
    return replace(network, layers=tuple(layers), comparison=">")


def told(made):
    return [line for line in made.warnings if line.startswith("trained")]


def runs(network, target):
    program = compile_network(network, target, "exact").program
    frames = random_frames(np.random.default_rng(1), program, samples=3)
    return run_float(network, frames).counts, run_reference(program, frames).counts


def same(network, target):
    return all(np.array_equal(a, b) for a, b in zip(*runs(network, target), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_a_profile_that_leaves_it_open_takes_the_networks(seed):
    network = meeting(seed)
    for comparison in (">=", ">"):
        own = replace(network, comparison=comparison)
        made = compile_network(own, profile(own.reset, ""), "exact")
        assert (made.program.arithmetic.comparison, made.warnings) == (comparison, ())
        assert same(own, profile(own.reset, ""))


@pytest.mark.slow
def test_a_reset_to_zero_needs_one_lsb_more_to_be_the_same():
    decided = 0
    for seed in range(1, 24, 2):
        network, target = meeting(seed), profile("zero", ">=")
        made = compile_network(network, target, "exact")
        assert made.program.arithmetic.comparison == ">="
        assert not told(made)
        assert same(network, target)
        decided += not same(replace(network, comparison=">="), profile("zero", ">"))
    assert decided > 3  # thresholds that were met


def test_where_the_threshold_is_subtracted_it_is_a_warning():
    network = meeting(0)
    assert network.reset == "subtract"
    (line,) = told(compile_network(network, profile("subtract", ">="), "exact"))
    assert line.startswith("trained so that a membrane potential that meets its threshold does not fire, but")
    assert not told(compile_network(replace(network, comparison=">="), profile("subtract", ">="), "exact"))
    stock = profile("zero", ">=").text.replace("grid = 1 ", "grid = 64 ")
    assert "grid = 64" in stock  # one LSB more is none of its multiples
    assert told(compile_network(meeting(1), parse_profile(stock, "grid"), "exact"))
