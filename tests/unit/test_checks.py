"""What is replayed of a run: all by the vectorised specification, by the reference what exercises most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.engines import vectorised as second
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.program import Readout, frozen_ints
from sast_deploy.program.record import differing_samples, first_difference
from sast_deploy.reports.inputs import GIVEN, Inputs
from sast_deploy.verification import comparison, exercise, vectors
from sast_deploy.verification.comparison import replay
from sast_deploy.verification.exercise import FEW, Exercise
from sast_deploy.verification.vectors import make_known_answers, wrong_answer
from tests.programs import RULES, dense, fc_program, random_frames

TRUE_STEP = second._Neurons.step


@pytest.fixture(scope="module")
def program():
    return fc_program(np.random.default_rng(0))


def inputs_of(frames):
    return Inputs(frames, None, np.arange(len(frames)) + 1000, GIVEN, {})


def exercised(program, frames):
    found = Exercise(program, len(frames))
    run_vectorised(program, frames, watch=found)
    return found


def replayed(program, frames, record, samples=None, engine="fast"):
    return replay(program, inputs_of(frames), record, samples, engine)


def quiet(program, samples):
    """Frames of one event each, at a place of the sample's own, so that samples hardly differ."""
    frames = np.zeros((samples, program.steps, *program.input_shape), np.uint8)
    frames.reshape(samples, program.steps, -1)[np.arange(samples), 1, np.arange(samples) % 40] = 1
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_the_one_sample_that_reaches_an_end_is_chosen(program, seed):
    """Wherever it lies among 200; and the one that ends with a spike."""
    weight = np.zeros((9, 40), np.int32)
    weight[0, :20], weight[1, 20:] = 7, -7
    loud = replace(program.layers[0], weight=frozen_ints(weight), vth=frozen_ints([40]))
    program = replace(program, layers=(loud, *program.layers[1:]))
    top, bottom, last = np.random.default_rng(seed).choice(200, 3, replace=False)
    frames = quiet(program, 200)
    flat = frames.reshape(200, program.steps, 40)
    flat[top, 0, :20] = flat[bottom, 0, 20:] = flat[last, -1, :3] = program.input_max
    record = run_vectorised(program, frames, trace=True)
    membranes = record.traces[0].membrane
    assert [*np.flatnonzero((membranes == 127).any(axis=(1, 2)))] == [top]
    assert [*np.flatnonzero((membranes == -128).any(axis=(1, 2)))] == [bottom]
    assert [*np.flatnonzero(record.traces[0].spikes[:, -1].any(axis=1))] == [last]
    few = exercised(program, frames).few()
    assert {top, bottom, last} <= set(few.tolist())
    assert len(few) == FEW == len(set(few.tolist()))
    assert few.tolist() == sorted(few.tolist())


def test_every_extreme_of_every_layer_is_kept():
    """Against the traces: block by block, the most, the fewest and the ends of each sample."""
    rng = np.random.default_rng(2)
    program = fc_program(rng)
    frames = random_frames(rng, program, 9)
    found = Exercise(program, 9)
    record = run_vectorised(program, frames, trace=True, batch=2, watch=found)
    for number, trace in enumerate(record.traces):
        u, s = trace.membrane, trace.spikes
        for name, values in (
            ("highest membrane", u.max(axis=(1, 2))), ("lowest membrane", -u.min(axis=(1, 2))),
            ("at the highest", (u == 127).any(axis=1).sum(axis=1)),
            ("at the lowest", (u == -128).any(axis=1).sum(axis=1)),
            ("spikes", s.sum(axis=(1, 2), dtype=int)), ("silence", -s.sum(axis=(1, 2), dtype=int)),
            ("at the end", s[:, -1].sum(axis=1)),
        ):  # fmt: skip
            assert np.array_equal(found.facts[number, name], values), name
    sums = frames.reshape(9, program.steps, -1) @ program.layers[0].weight.T
    assert np.array_equal(found.facts[0, "highest sum"], sums.max(axis=(1, 2)))
    assert np.array_equal(found.facts[0, "lowest sum"], -sums.min(axis=(1, 2)))


def test_samples_that_are_all_alike_are_spread(program):
    few = exercised(program, np.zeros((41, program.steps, *program.input_shape), np.uint8)).few()
    assert few.tolist() == [0, 10, 20, 30, 40]


def test_a_large_network_has_one_sample_replayed_and_it_is_the_suspect():
    rng = np.random.default_rng(0)
    program = replace(fc_program(rng), steps=9000)
    assert Exercise(program, 50).most == 1
    found = exercised(replace(program, steps=3), random_frames(rng, replace(program, steps=3), 7))
    found.most = 1
    assert found.few(np.array([4, 6])).tolist() == [4]
    assert len(found.few(np.array([], np.int64))) == 1


def test_a_program_without_neurons_is_replayed_too():
    layer = Readout(frozen_ints([[1, -2]]), frozen_ints([3]), 0)
    program = replace(
        fc_program(np.random.default_rng(0)), input_shape=(2, 1, 1), layers=(layer,), classes=("a",)
    )
    frames = random_frames(np.random.default_rng(0), program, 7)
    assert replayed(program, frames, run_fast(program, frames)) == (7, None, 5)


@pytest.mark.parametrize("sample", [0, 7, 59])
@pytest.mark.parametrize("what", ["count", "logit"])
def test_one_wrong_value_in_one_sample_is_found_and_the_reference_says_so(program, sample, what):
    frames = random_frames(np.random.default_rng(1), program, 60)
    record = run_fast(program, frames)
    assert replayed(program, frames, record) == (60, None, FEW)
    values = record.counts[1] if what == "count" else record.logits
    values[sample, 2] += 1
    assert differing_samples(record, run_reference(program, frames)).tolist() == [sample]
    checked, difference, by_reference = replayed(program, frames, record)
    assert (checked, by_reference) == (60, FEW)
    assert difference.startswith(f"Fast against the reference: sample {1000 + sample}, ")
    assert difference.endswith(f"{values[sample, 2]} against {values[sample, 2] - 1}")


def strict(self, total):
    """A neuron that needs more than its threshold."""
    spikes = TRUE_STEP(self, total)
    self.spiked = spikes & (self.membrane > self.vth)
    return self.spiked


def test_a_fault_of_the_vectorised_specification_is_its_own(program, monkeypatch):
    """The reference has the last word: it does not agree with who agrees with the other specification."""
    frames = random_frames(np.random.default_rng(1), program, 60)
    record = run_fast(program, frames)
    monkeypatch.setattr(second._Neurons, "step", strict)
    _, difference, _ = replayed(program, frames, record)
    assert difference.startswith("Vectorised against the reference: sample 10")
    both_wrong = run_fast(replace(program, arithmetic=replace(RULES, comparison=">")), frames)
    assert differing_samples(both_wrong, run_vectorised(program, frames)).size == 0
    _, difference, _ = replayed(program, frames, both_wrong)
    assert difference.startswith("Fast against the reference: sample 10")


def test_a_run_of_the_vectorised_specification_is_replayed_by_the_reference_alone(program):
    frames = random_frames(np.random.default_rng(1), program, 12)
    record = run_vectorised(program, frames)
    assert replayed(program, frames, record, 8, "vectorised") == (8, None, 8)
    record.counts[0][11, 0] += 1
    assert "Vectorised against the reference" in replayed(program, frames, record, None, "vectorised")[1]


def test_of_a_large_network_the_reference_answers_some_vectors_and_all_are_its_answers(monkeypatch):
    rng = np.random.default_rng(0)
    program = fc_program(rng, replace(RULES, state=QFormat(9, 4)))
    asked = []

    def spy(program, frames, **options):
        asked.append(len(frames))
        return run_reference(program, frames, **options)

    monkeypatch.setattr(vectors, "run_reference", spy)
    whole = make_known_answers(program)
    monkeypatch.setattr(exercise, "STATES", 1)
    part = make_known_answers(program)
    assert asked == [4, 1]
    for known in (whole, part):
        assert wrong_answer(known, run_reference(program, known.frames, trace=True)) is None
    assert part.digests == whole.digests


def test_known_answers_on_which_the_specifications_disagree_are_not_written(program, monkeypatch):
    monkeypatch.setattr(second._Neurons, "step", strict)
    monkeypatch.setattr(exercise, "STATES", 1)
    with pytest.raises(RuntimeError, match="against the reference, on a known-answer vector: sample"):
        make_known_answers(program)


def test_the_reference_check_compares_nothing_where_nothing_is_asked(program, monkeypatch):
    frames = random_frames(np.random.default_rng(1), program, 3)
    record = run_fast(program, frames)
    for name in ("run_vectorised", "run_reference"):
        monkeypatch.setattr(comparison, name, None)
    assert replayed(program, frames, record, 0) == (0, None, 0)


def test_a_layer_whose_sums_no_float_holds_is_exercised(program):
    """Facts of sums beyond 64 bits only order samples."""
    largest = frozen_ints(np.full((2, 40), (1 << 31) - 1))
    layer = replace(dense(np.random.default_rng(0), 40, 2), weight=largest)
    rules = replace(RULES, weight_bits=32)
    program = replace(
        program, input_max=(1 << 31) - 1, layers=(layer,), classes=("a", "b"), arithmetic=rules
    )
    frames = np.zeros((9, program.steps, *program.input_shape), np.int64)
    frames[6] = program.input_max
    found = exercised(program, frames)
    assert 6 in found.few()
    assert first_difference(run_vectorised(program, frames), run_reference(program, frames)) is None
