"""Latency of a circuit: what the result waits for, the distribution, and the search for lanes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sast_deploy.base.errors import UsageError
from sast_deploy.reports.costs.circuit import latency_of
from sast_deploy.reports.costs.cycles import PHASES, Trains, alone, record_trains, waited
from sast_deploy.reports.costs.lanes import Budget, lane_space, search_lanes, useful_lanes
from sast_deploy.rtl.budget import uses
from sast_deploy.rtl.memories import build_layers
from sast_deploy.rtl.plan import plan_circuit, weighted_outputs
from sast_deploy.rtl.timing import Clockwork
from tests.programs import conv_program, fc_program, random_frames
from tests.rtlprograms import any_circuit, busy_program

PROGRAMS = {"fc": fc_program, "conv": conv_program, "busy": lambda _: busy_program()}


def trains_of(name: str, samples: int = 4):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    program = PROGRAMS[name](rng)
    return program, record_trains(program, random_frames(rng, program, samples))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("lanes", [1, 3])
def test_what_the_result_waits_for_adds_up_to_the_latency(name: str, lanes: int) -> None:
    program, trains = trains_of(name)
    plan = plan_circuit(program, [min(lanes, most) for _, most in weighted_outputs(program)])
    works = Clockwork(plan)
    for outputs in trains.samples:
        works.idle()
        sample = works.sample(outputs, 0)
        found = waited(plan, sample)
        assert found.sum() == sample.done
        assert (found >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_it_adds_up_for_programs_of_every_kind(seed: int) -> None:
    program, frames, lanes = any_circuit(seed)
    plan = plan_circuit(program, lanes, frames.shape[1])
    works = Clockwork(plan)
    for outputs in record_trains(program, frames).samples:
        works.idle()
        sample = works.sample(outputs, 0)
        assert waited(plan, sample).sum() == sample.done


def test_the_latency_of_samples_alone_and_streaming() -> None:
    """The distribution is that of samples each alone; a stream takes no longer a sample than they do."""
    program, trains = trains_of("fc", 7)
    frames = random_frames(np.random.default_rng(1), program, 7)
    found = latency_of(program, frames, "x", {}, None, 50.0)
    each = np.sort(alone(plan_circuit(program), record_trains(program, frames)))
    assert (found.least, found.median, found.p99, found.worst) == (each[0], each[3], each[6], each[6])
    assert found.mean == each.mean()
    assert found.streaming <= found.mean
    assert found.seconds(found.worst) == found.worst / 50e6
    assert sum(layer.waits[phase] for layer in found.layers for phase in PHASES) == pytest.approx(found.mean)
    assert found.layers[0].events == np.count_nonzero(frames) / 7
    assert trains.steps == frames.shape[1]


def test_an_idle_circuit_has_one_streaming_sample_as_long_as_it_is_alone() -> None:
    program, _ = trains_of("conv")
    frames = random_frames(np.random.default_rng(2), program, 1)
    found = latency_of(program, frames, "x", {})
    assert found.streaming == found.mean == found.worst


@pytest.mark.parametrize("outputs", [1, 2, 7, 24, 168])
def test_useful_lanes_are_the_fewest_for_every_number_of_rows(outputs: int) -> None:
    by_rows: dict[int, int] = {}
    for lanes in range(outputs, 0, -1):
        by_rows[-(-outputs // lanes)] = lanes
    assert useful_lanes(outputs) == sorted(by_rows.values())


def everything(program, trains: Trains):  # type: ignore[no-untyped-def]
    """(lanes, cycles, blocks, multipliers) of every combination of useful lanes."""
    for lanes in itertools.product(*(useful_lanes(most) for _, most in weighted_outputs(program))):
        plan = plan_circuit(program, lanes)
        used = uses(build_layers(plan))
        cycles = float(alone(plan, trains).mean())
        yield lanes, cycles, sum(use.blocks for use in used), sum(use.multipliers for use in used)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fc", "conv"])
def test_the_front_is_near_that_of_all_circuits(name: str) -> None:
    """Within every budget the fastest is within 2 % of the best of all, and each point is one of them."""
    program, trains = trains_of(name, 2)
    every = list(everything(program, trains))
    by_lanes = {lanes: rest for lanes, *rest in every}
    most = max(each[3] for each in every)
    for multipliers in {most, most // 2, most // 3}:
        budget = Budget("some", max(each[2] for each in every), multipliers)
        found = search_lanes(lane_space(program, budget), trains)
        best = min(cycles for _, cycles, blocks, count in every if count <= multipliers)
        assert found.front[-1].cycles <= 1.02 * best
        for choice in found.front:
            assert by_lanes[choice.lanes] == [choice.cycles, choice.blocks, choice.multipliers]
            assert choice.multipliers <= multipliers
        widths, cycles = zip(*((each.width, each.cycles) for each in found.front), strict=True)
        assert list(widths) == sorted(set(widths))
        assert list(cycles) == sorted(set(cycles), reverse=True)


def test_a_budget_that_nothing_fits_is_refused_and_one_that_more_lanes_fit_is_not() -> None:
    program, _ = trains_of("fc")
    with pytest.raises(UsageError, match=r"multipliers at least.*at most those of mine"):
        lane_space(program, Budget("mine", 100, 0))
    space = lane_space(program, Budget("mine", 100, 1))
    assert space.fits.any()
    assert (space.multipliers[space.fits] <= 1).all()
