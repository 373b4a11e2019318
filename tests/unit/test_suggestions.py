"""Changes that mend a limit or save a core: each is made and measured, the smallest is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.narrowing import importance, without
from sast_deploy.program.program import Dense, Program, Readout, SumPool, frozen_ints
from sast_deploy.proofs.chips import CHIPS, LOIHI1
from sast_deploy.proofs.mapping import map_program
from sast_deploy.reports.accuracy import mcnemar
from tests.programs import RULES, conv, conv_program, fc_program


def frames_of(program, samples=6, seed=5):
    rng = np.random.default_rng(seed)
    return rng.integers(0, program.input_max + 1, (samples, program.steps, *program.input_shape))


def rates_of(program, frames, index):
    number = [at for at, _ in program.spiking()].index(index)
    counts = run_reference(program, frames).counts[number]
    channels = program.shapes()[index + 1][0]
    return counts.reshape(len(frames), channels, -1).mean(axis=(0, 2)) / program.steps


def silenced(program, index, channels):
    """The same program with neurons that never fire, by a threshold that nothing reaches."""
    layer = program.layers[index]
    vth = np.broadcast_to(layer.vth, len(layer.weight)).copy()
    vth[channels] = 1 << 29
    layers = list(program.layers)
    layers[index] = replace(layer, vth=frozen_ints(vth))
    return replace(program, layers=tuple(layers))


def pooled_program(rng):
    """Two convolutions, a pool, a readout."""
    layers = [conv(rng, 2, 4), conv(rng, 4, 5), SumPool((2, 2))]
    shape = (2, 8, 7)
    for layer in layers:
        shape = layer.out_shape(shape)
    weight = rng.integers(-3, 4, (3, int(np.prod(shape))))
    layers.append(Readout(frozen_ints(weight), frozen_ints(np.zeros(3, int)), 0))
    return Program("pooled", (2, 8, 7), 3, 4, ("a", "b", "c"), RULES, tuple(layers))


@pytest.mark.parametrize(("make", "index"), [(fc_program, 0), (pooled_program, 0), (pooled_program, 1)])
def test_neurons_that_never_fire_can_go_without_a_trace(make, index):
    program = make(np.random.default_rng(0))
    gone = np.array([0, 2])
    quiet = silenced(program, index, gone)
    frames = frames_of(program)
    rates = rates_of(quiet, frames, index)
    assert (rates[gone] == 0).all()
    assert (importance(quiet, index, rates)[gone] == 0).all()
    narrower = without(quiet, index, gone, rates)
    assert len(narrower.layers[index].weight) == len(program.layers[index].weight) - 2
    one, other = run_reference(quiet, frames), run_reference(narrower, frames)
    np.testing.assert_array_equal(one.logits, other.logits)
    if index == 0:
        np.testing.assert_array_equal(one.counts[-1], other.counts[-1])


def test_what_a_neuron_always_adds_stays_in_the_bias():
    """A neuron that fires in every step gives the next layer its weight in every step."""
    one = frozen_ints([1])
    first = Dense(
        frozen_ints([[3, 0], [0, 0], [1, 2]]), bias=frozen_ints([0, 50, 0]), vth=frozen_ints([9, 1, 9]),
        weight_exp=0, v_decay=frozen_ints([0]),
    )  # fmt: skip
    second = Dense(
        frozen_ints([[1, 5, -2], [0, -3, 1]]), bias=one, vth=frozen_ints([20]), weight_exp=1,
        v_decay=frozen_ints([4096]),
    )  # fmt: skip
    readout = Readout(frozen_ints([[1, -1]]), frozen_ints([0]), 0)
    rules = replace(RULES, overflow="saturate")
    program = Program("always", (1, 1, 2), 3, 6, ("a",), rules, (first, second, readout))
    frames = frames_of(program)
    rates = rates_of(program, frames, 0)
    assert rates[1] == 1
    narrower = without(program, 0, np.array([1]), rates)
    assert narrower.layers[1].bias.tolist() == [1 + 2 * 5, 1 - 2 * 3]
    logits = (run_reference(each, frames).logits for each in (program, narrower))
    np.testing.assert_array_equal(*logits)


def test_the_last_neuron_stays_and_groups_are_refused():
    program = conv_program(np.random.default_rng(0))
    index, layer = next(program.spiking())
    none = np.zeros(len(layer.weight))
    grouped = "the layer behind is a convolution in groups"
    with pytest.raises(ValueError, match=grouped):
        importance(program, index, none)
    with pytest.raises(ValueError, match=grouped):
        without(program, index, np.array([0]), none)
    whole = fc_program(np.random.default_rng(0))
    every = np.arange(len(whole.layers[0].weight))
    with pytest.raises(ValueError, match="no neuron would be left"):
        without(whole, 0, every, np.zeros(len(every)))


def net_of(program):
    return sast.Net.from_program(program, known_answers=False)


def crowded(reset="subtract"):
    """A layer that needs two cores of Loihi 1 for its bits: 600 x 500 weights of 4 bits are 1.2 million."""
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 8, (500, 600)) * rng.choice([-1, 1], (500, 600))
    layer = Dense(
        frozen_ints(weight), bias=frozen_ints([0]), vth=frozen_ints([40]), weight_exp=0,
        v_decay=frozen_ints([2048]),
    )  # fmt: skip
    readout = Readout(frozen_ints(rng.integers(-7, 8, (4, 500))), frozen_ints(np.zeros(4, int)), 0)
    rules = replace(RULES, weight_bits=4, reset=reset, reset_order="after-leak")
    return Program("crowded", (1, 20, 30), 1, 4, tuple("abcd"), rules, (layer, readout))


def test_the_smallest_pruning_that_saves_a_core_is_found_and_measured():
    program = crowded()
    frames = (np.random.default_rng(2).random((40, 4, 1, 20, 30)) < 0.1).astype(np.uint8)
    labels = run_vectorised(program, frames).predictions.copy()
    labels[:4] = (labels[:4] + 1) % 4  # so that it is right on 36 of 40
    found = sast.suggest(net_of(program), frames, labels)
    assert (found.cores, found.fits, found.accuracy.correct) == (3, False, 36)
    assert any("resets to zero" in line for line in found.breaks)
    reset, pruned, other = found.tried
    assert (reset.change, reset.mends, reset.fits, reset.cores) == ("reset to zero", ("reset",), True, 3)
    zero = replace(program, arithmetic=replace(program.arithmetic, reset="zero"))
    right = run_vectorised(zero, frames).predictions == labels
    base = run_vectorised(program, frames).predictions == labels
    assert reset.accuracy.correct == right.sum()
    assert reset.difference == pytest.approx(100 * (right.mean() - base.mean()))
    assert reset.p == mcnemar(right, base).p
    # 1,048,576 bits are 436.9 rows of 600 weights of 4 bits: 64 neurons must go, and 63 are not enough.
    assert pruned.change.endswith("64 of 500 neurons less")
    assert (pruned.cores, pruned.mends, pruned.fits) == (2, (), False)
    assert (other.change, other.fits, other.difference) == ("Loihi 2 instead", True, 0.0)
    assert any("narrower profiles were not tried" in note for note in found.notes)
    assert found.to_dict()["tried"][1]["cores"] == 2


def test_what_fits_is_left_alone_but_for_a_core():
    found = sast.suggest(net_of(crowded("zero")), np.zeros((3, 4, 1, 20, 30), int), [0, 0, 0])
    assert found.fits
    assert [each.mends for each in found.tried] == [()]
    small = fc_program(np.random.default_rng(0))
    fits = replace(small, arithmetic=replace(small.arithmetic, reset="zero"))
    assert sast.suggest(net_of(fits), frames_of(small), np.zeros(6, int)).tried == ()


def test_without_labels_or_data_changes_are_laid_out_and_not_measured():
    program = crowded()
    found = sast.suggest(net_of(program))
    assert found.accuracy is None
    assert [each.change for each in found.tried] == ["reset to zero", "Loihi 2 instead"]
    assert all(each.accuracy is None and each.difference is None and each.p is None for each in found.tried)
    assert any("nothing was measured" in note for note in found.notes)
    unlabelled = sast.suggest(net_of(program), np.zeros((3, 4, 1, 20, 30), int))
    assert unlabelled.tried[1].cores == 2
    assert unlabelled.tried[1].accuracy is None


def test_a_reset_and_a_size_are_mended_together(monkeypatch):
    """On a chip of two cores neither change alone is enough."""
    monkeypatch.setitem(CHIPS, "loihi1", replace(LOIHI1, cores=2))
    program = crowded()
    frames = (np.random.default_rng(2).random((20, 4, 1, 20, 30)) < 0.1).astype(np.uint8)
    found = sast.suggest(net_of(program), frames, np.zeros(20, int))
    changes = {each.change: each for each in found.tried}
    assert not changes["reset to zero"].fits
    both = next(each for name, each in changes.items() if name.startswith("reset to zero, prune"))
    assert (both.fits, both.cores, both.mends) == (True, 2, ("cores", "reset"))


def test_narrowing_is_what_is_laid_out():
    program = crowded()
    narrower = without(program, 0, np.arange(64), np.zeros(500))
    assert map_program(narrower).cores == 2
    assert map_program(without(program, 0, np.arange(63), np.zeros(500))).cores == 3


def test_inputs_beyond_a_core_are_left_out_the_least_important_first():
    """4,100 inputs are four too many: those that never change go, and nothing else does."""
    rng = np.random.default_rng(3)
    layer = Dense(
        frozen_ints(rng.integers(1, 4, (6, 4100))), bias=frozen_ints([0]), vth=frozen_ints([900]),
        weight_exp=0, v_decay=frozen_ints([2048]),
    )  # fmt: skip
    readout = Readout(frozen_ints(rng.integers(-7, 8, (3, 6))), frozen_ints([0, 0, 0]), 0)
    rules = replace(RULES, weight_bits=4, reset="zero", reset_order="after-leak")
    program = Program("wide", (1, 41, 100), 1, 4, ("a", "b", "c"), rules, (layer, readout))
    frames = (rng.random((8, 4, 4100)) < 0.1).astype(np.uint8)
    frames[:, :, [5, 77, 1000, 4099]] = 0
    frames = frames.reshape(8, 4, 1, 41, 100)
    labels = run_vectorised(program, frames).predictions
    found = sast.suggest(net_of(program), frames, labels)
    assert not found.fits
    fewer = found.tried[0]
    assert fewer.change == "leave out 4 of 4,100 inputs of layer 0 (dense)"
    assert (fewer.mends, fewer.fits, fewer.difference) == (("input axons",), True, 0.0)


def test_what_nothing_mends_is_said():
    """Weights of nine bits are too wide for either chip."""
    program = fc_program(np.random.default_rng(0))
    rules = replace(program.arithmetic, weight_bits=9, reset="zero", reset_order="after-leak")
    first = replace(program.layers[0], weight=frozen_ints(program.layers[0].weight * 30))
    found = sast.suggest(net_of(replace(program, layers=(first, *program.layers[1:]), arithmetic=rules)))
    assert found.tried == ()
    assert found.notes[-1].startswith("nothing that is tried here mends weight bits")
