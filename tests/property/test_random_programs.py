"""2,000 random programs of every kind: the reference, the second specification and `fast`, value by value.

Of batches of many samples the reference runs three; the other two run all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.program import DECODINGS, NO_DECAY_FILTER, Program, Upsample
from sast_deploy.program.record import SpikeRecord, evenly_spread, first_difference, select
from tests.anyprogram import Choices, Seeded, any_frames, any_program, any_samples, features
from tests.programs import vectorised

pytestmark = pytest.mark.slow

PROGRAMS, CHUNKS = 2000, 20
UPSAMPLED = 400  # further programs, which may have upsamplings
EARLY = 400  # and such whose thresholds are taken off before the leak
INTEGRATING = 600  # further programs, whose readouts may leak
RUNS_OF_EACH = 15  # the fewest programs that have any one feature


def run_one(
    seed: int, make: Callable[[Choices], Program] = any_program
) -> tuple[Counter[str], list[str]]:
    """What the program of a seed has, and the disagreements of its engines."""
    choose = Seeded(17, seed)
    program = make(choose)
    frames = any_frames(choose, program, any_samples(choose, program))
    expected = vectorised(program, frames)
    batch = choose.pick((None, 1, 3, len(frames)))
    found = run_fast(program, frames, trace=True, threads=1, batch=batch)
    few = evenly_spread(len(frames), 3)
    specified = run_reference(program, frames[few], trace=True)
    problems = [
        difference and f"seed {seed}, {name}: {difference} in {program}"
        for name, difference in (
            ("fast", first_difference(expected, found)),
            ("reference", first_difference(specified, select(expected, few), few)),
        )
    ]
    assert_whole(program, found, len(frames))
    has = features(program, frames, expected)
    return Counter({name: int(value) for name, value in has.items()}), [text for text in problems if text]


def assert_whole(program: Program, record: SpikeRecord, samples: int) -> None:
    """No engine may leave out a layer, a step or a sample: nothing would then be compared."""
    neurons = [layer.out_shape(program.shapes()[index]) for index, layer in program.spiking()]
    assert record.traces is not None
    assert len(record.traces) == len(neurons)
    for shape, trace in zip(neurons, record.traces, strict=True):
        whole = (samples, program.steps, int(np.prod(shape)))
        assert trace.membrane.shape == trace.spikes.shape == whole


@cache
def run_chunk(chunk: int) -> tuple[int, Counter[str], list[str]]:
    """Programs that ran, how many of them have each feature, and all disagreements."""
    ran, counts, problems = 0, Counter[str](), list[str]()
    for seed in range(chunk, PROGRAMS, CHUNKS):
        found, differences = run_one(seed)
        counts.update(found)
        problems += differences
        ran += 1
    return ran, counts, problems


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_engines_agree(chunk: int, one_thread: None) -> None:
    assert run_chunk(chunk)[2] == []


def test_the_programs_that_ran_have_every_feature(one_thread: None) -> None:
    """Counted while they ran; a feature that no program had stands there with 0."""
    chunks = [run_chunk(chunk) for chunk in range(CHUNKS)]
    assert sum(ran for ran, _, _ in chunks) == PROGRAMS
    counts = sum((Counter(found) for _, found, _ in chunks), Counter())
    names = {name for _, found, _ in chunks for name in found}
    rare = {name: counts[name] for name in names if counts[name] < RUNS_OF_EACH}
    assert not rare
    assert len(names) > 80


def test_all_engines_agree_on_resets_before_the_leak(one_thread: None) -> None:
    counts, disagreements = Counter[str](), list[str]()

    def make(choose: Choices) -> Program:
        program = any_program(choose, upsamples=True)
        rules = replace(program.arithmetic, reset="subtract", reset_order="before-leak")
        return replace(program, arithmetic=rules)

    for seed in range(EARLY):
        found, differences = run_one(seed, make)
        counts.update(found)
        disagreements += differences
    assert disagreements == []
    common = ("no leak", "memoryless", "threshold 0", "negative threshold", "membrane at its highest")
    assert min(counts[name] for name in common) >= RUNS_OF_EACH, counts


def test_all_engines_agree_on_programs_with_upsamplings(one_thread: None) -> None:
    """In front of every kind of layer; of frames, of their sums, which uint8 does not hold, and of spikes."""
    seen, disagreements = Counter[str](), list[str]()

    def make(choose: Choices) -> Program:
        program = any_program(choose, upsamples=True)
        for index, layer in enumerate(program.layers):
            if isinstance(layer, Upsample):
                before = {each.kind for each in program.layers[:index]} - {"upsample"}
                of = {"": "frames", "pool": "pooled frames"}.get("".join(before), "spikes")
                seen.update({f"before {program.layers[index + 1].kind}", of})
        return program

    for seed in range(UPSAMPLED):
        disagreements += run_one(seed, make)[1]
    assert disagreements == []
    kinds = ("dense", "conv", "pool", "upsample", "readout")
    assert set(seen) == {*(f"before {kind}" for kind in kinds), "frames", "pooled frames", "spikes"}
    assert min(seen.values()) >= RUNS_OF_EACH, seen


def test_all_engines_agree_on_programs_with_leaky_readouts(one_thread: None) -> None:
    """Leaks and filters of all classes, of some and of none, with every decoding; of frames and of spikes."""
    seen, disagreements = Counter[str](), list[str]()

    def make(choose: Choices) -> Program:
        program = any_program(choose, upsamples=True, integrates=True)
        last = program.layers[-1]
        filtered = last.u_decay < NO_DECAY_FILTER
        for what, some in (("leak", last.v_decay > 0), ("filter", filtered)):
            seen[f"{'every' if some.all() else 'some' if some.any() else 'no'} {what}"] += 1
        kind = "frames" if not list(program.spiking()) else "spikes"
        seen.update({last.decoding, kind, "sums" if last.sums else "integrators"})
        return program

    for seed in range(INTEGRATING):
        disagreements += run_one(seed, make)[1]
    assert disagreements == []
    shares = [f"{share} {what}" for share in ("every", "some", "no") for what in ("leak", "filter")]
    assert set(seen) == {*DECODINGS, *shares, "frames", "spikes", "sums", "integrators"}
    assert min(seen.values()) >= RUNS_OF_EACH, seen
