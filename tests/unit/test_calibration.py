"""Calibration's parts by exact values and second derivations, and the whole on small networks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, DataError, UsageError
from sast_deploy.calibration import STEPS, Samples, ablate, calibrate, draw
from sast_deploy.calibration.hidden import correct
from sast_deploy.calibration.moments import (
    Moments,
    compensated,
    constant_trace,
    leaky,
    measure,
)
from sast_deploy.calibration.objective import divergence
from sast_deploy.calibration.place import Place, distance
from sast_deploy.calibration.rounding import prepare, round_with_feedback, squared_error
from sast_deploy.calibration.samples import subsample
from sast_deploy.calibration.scales import candidates, moment_points
from sast_deploy.calibration.targets import real_weights, run_float
from sast_deploy.compiler import LayerChoice, compile_network
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatReadout
from sast_deploy.compiler.quantize import Scaling, choose_scaling, clipping_points
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.profile import load_profile, parse_profile
from sast_deploy.program.program import frozen_ints
from sast_deploy.program.record import first_difference
from sast_deploy.program.sums import real_sums
from tests.networks import float_conv, float_fc, float_run

INT4, INT2 = load_profile("loihi-int4"), load_profile("loihi-int2")


def frames_for(network, samples, seed=0):
    """Counts of a picture of its own for every sample, so that predictions vary."""
    rng = np.random.default_rng(seed)
    rates = 3 * rng.random((samples, 1, *network.input_shape)) ** 3
    return rng.poisson(rates, (samples, network.steps, *network.input_shape)).clip(0, 4).astype(np.uint8)


def samples_for(network, count, seed=0):
    frames = frames_for(network, count, seed)
    program = compile_network(network, INT4, "t").program
    return Samples(frames, run_float(network, program, frames).logits.argmax(axis=1))


def trained_fc():
    return float_fc(seed=3, shape=(2, 5, 5), hidden=(24, 16), classes=4, steps=6, scale=2.0)


def one(second, cross=None, mean=None, wanted=None):
    size = len(second)
    zeros = np.zeros((1, size))
    second = np.asarray(second, float)[None]
    return Moments(second, second if cross is None else np.asarray(cross, float)[None],
                   zeros if mean is None else mean, zeros if wanted is None else wanted)  # fmt: skip


def test_the_float_network_runs_as_its_equations_say():
    network = trained_fc()
    frames = frames_for(network, 20)
    found = run_float(network, compile_network(network, INT4, "t").program, frames)
    assert found.logits == pytest.approx(float_run(network, frames), abs=1e-4)
    assert [spikes.shape for spikes in found.spikes] == [(20, 6, 24), (20, 6, 16)]
    assert 0.05 < found.spikes[0].mean() < 0.95


@pytest.mark.parametrize(("comparison", "expected"), [(">=", [1, 0, 1]), (">", [0, 1, 0])])
def test_the_float_network_fires_at_its_threshold_or_above_it(comparison, expected):
    layers = [FloatDense([[1.0]]), FloatReadout([[1.0], [-1.0]])]
    network, frames = FloatNetwork(layers, 1, 3, alpha=0.5, comparison=comparison), np.ones((1, 3, 1, 1, 1))
    program = compile_network(network, INT4, "t").program
    assert run_float(network, program, frames.astype(np.uint8)).spikes[0].ravel().tolist() == expected


@pytest.mark.parametrize("reset", [{"reset": "zero"}, {"reset_order": "before-leak"}], ids=str)
def test_the_float_network_resets_as_it_was_trained(reset):
    network = replace(trained_fc(), **reset)
    frames = frames_for(network, 5)
    found = run_float(network, compile_network(network, INT4, "t").program, frames).spikes[0]
    layer, x = network.layers[0], frames.reshape(5, 6, -1) / network.input_clip
    u = s = np.zeros((5, 24))
    for t in range(6):
        left = u * (1 - s) if network.reset == "zero" else u - 1.0 * s
        u = network.alpha * left + x[:, t] @ layer.weight.T + layer.bias
        s = (u >= 1).astype(float)
        assert np.array_equal(found[:, t], s)


def test_the_float_conv_network_pools_sums_in_integer_units():
    network = float_conv()
    frames = frames_for(network, 6)
    program = compile_network(network, INT4, "t").program
    found = run_float(network, program, frames)
    weights = real_weights(network)
    assert weights[2] is None
    # the pooled sums of the second layer's spikes, with weights in units of one spike in six
    sums = found.spikes[1].reshape(6, 5, 5, 2, 3).sum(axis=(3, 4)).mean(axis=1)
    assert found.logits == pytest.approx(sums @ weights[3].T + network.layers[3].bias)
    assert weights[3] == pytest.approx(network.layers[3].weight / 6)


def test_moments_of_a_dense_layer_are_those_of_leaky_traces():
    network = trained_fc()
    layer = compile_network(network, INT4, "t").program.layers[1]
    rng = np.random.default_rng(0)
    x, f = ((rng.random((7, 6, 24)) < 0.4).astype(np.uint8) for _ in range(2))
    found = measure(layer, x, f, 0.5)
    second, cross = np.zeros((24, 24)), np.zeros((24, 24))
    for sample in range(7):
        y = g = np.zeros(24)
        for t in range(6):
            y, g = 0.5 * y + x[sample, t], 0.5 * g + f[sample, t]
            second += np.outer(y, y) / 42
            cross += np.outer(g, y) / 42
    assert found.second[0] == pytest.approx(second, rel=1e-5)
    assert found.cross[0] == pytest.approx(cross, rel=1e-5)
    assert found.mean[0] == pytest.approx(leaky(x, 0.5).mean(axis=(0, 1)), rel=1e-5)
    readout = compile_network(network, INT4, "t").program.layers[2]
    counts = x[:, :, :16].sum(axis=1, dtype=float)
    assert measure(readout, x[:, :, :16], x[:, :, :16], 0.5).second[0] == pytest.approx(counts.T @ counts / 7)


def test_moments_of_a_convolution_are_those_of_its_patches(monkeypatch):
    """All positions by a map of one patch: E[(w p)^2] = w H w for the convolution's own sums."""
    layer = compile_network(float_conv(), INT4, "t").program.layers[0]
    x = (np.random.default_rng(1).random((200, 3, 2, 8, 10)) < 0.3).astype(np.uint8)
    monkeypatch.setattr("sast_deploy.calibration.moments.ROWS", 200 * 3 * 20)
    found = measure(layer, x, x, 0.5)
    weight = np.random.default_rng(2).normal(size=layer.weight.shape)
    sums = real_sums(layer, leaky(x, 0.5).reshape(-1, 2, 8, 10).astype(np.float64), weight)
    rows = weight.reshape(4, -1)
    assert squared_error(rows, found) == pytest.approx((sums**2).mean(axis=(0, 2, 3)), rel=0.03)
    assert (rows @ found.mean[0]) == pytest.approx(sums.mean(axis=(0, 2, 3)), rel=0.05, abs=0.05)


def test_weights_make_good_what_the_layer_below_gets_wrong():
    """Integer inputs that are twice the float network's need half the weights."""
    f = np.random.default_rng(0).random((500, 3))
    second, cross = 4 * f.T @ f / 500, 2 * f.T @ f / 500
    weights = np.array([[1.0, -2.0, 0.5]])
    assert compensated(weights, one(second, cross)) == pytest.approx(weights / 2, rel=0.1)
    assert compensated(weights, one(second)) == pytest.approx(weights)


def test_feedback_gives_an_error_to_the_inputs_that_fire_with_it():
    together = one([[1.0, 0.999], [0.999, 1.0]])
    rounded = round_with_feedback(np.array([[0.4, 0.4], [-0.4, -0.4]]), prepare(together), 7)
    assert rounded.tolist() == [[0, 1], [0, -1]]  # to the nearest both would be lost
    apart = one(np.eye(2))
    assert round_with_feedback(np.array([[0.4, 0.6]]), prepare(apart), 7).tolist() == [[0, 1]]
    assert round_with_feedback(np.array([[9.0, -9.0]]), prepare(apart), 7).tolist() == [[7, -7]]


def test_feedback_lowers_the_membranes_error():
    rng = np.random.default_rng(0)
    inputs = (rng.random((2000, 8)) @ rng.random((8, 90))).clip(0)
    moments = one(inputs.T @ inputs / 2000)
    scaled = rng.normal(0, 1.0, (30, 90))
    found = round_with_feedback(scaled, prepare(moments), 7)
    assert np.array_equal(found, np.rint(found))
    nearest = np.clip(np.rint(scaled), -7, 7)
    ours, plain = (squared_error(w - scaled, moments).sum() for w in (found, nearest))
    assert ours < 0.2 * plain


def test_points_are_those_of_least_error_on_the_inputs():
    """Without correlation and with equal inputs the search is that of the weights alone, on a finer grid."""
    weights = np.random.default_rng(0).standard_t(3, (10, 60))
    found = moment_points(weights, one(np.eye(60)), INT4)
    known = clipping_points(weights, 7, "mse")

    def error(points):
        step = points[:, None] / 7
        return ((np.clip(np.rint(weights / step), -7, 7) * step - weights) ** 2).sum()

    assert error(found) == pytest.approx(error(known), rel=0.02)
    loud = np.eye(60)
    loud[0, 0] = 1e6  # only the first input counts: its weight must be kept as it is
    points = moment_points(weights, one(loud), INT4)
    step = points / 7
    assert np.clip(np.rint(weights[:, 0] / step), -7, 7) * step == pytest.approx(weights[:, 0], rel=0.15)


def test_candidates_keep_the_weight_steps_and_vary_the_lsbs():
    weights, thresholds = np.random.default_rng(0).normal(size=(9, 40)), np.ones(9)
    points = clipping_points(weights, 7, "none")
    found = candidates(weights, thresholds, points, INT4, 4)
    assert [scaling.exponent for scaling in found] == list(range(found[0].exponent, found[0].exponent + 4))
    steps = [scaling.factor / 2.0**scaling.exponent for scaling in found]
    assert all(step == pytest.approx(steps[0]) for step in steps)
    assert 127 / 8 < np.median(found[-1].factor) <= 127 / 4


def test_distance_is_that_of_leaky_traces():
    a, b = np.zeros((1, 3, 2), np.uint8), np.zeros((1, 3, 2), np.uint8)
    a[0, 0, 1] = 1  # traces differ by 1, 1/2, 1/4
    assert distance(a, b, 0.5).tolist() == [0, (1 + 1 / 4 + 1 / 16) / 3]


def test_of_many_samples_the_measured_ones_are_spread_over_all_classes(monkeypatch):
    program = compile_network(trained_fc(), INT4, "t").program
    frames, wanted = np.arange(60)[:, None], np.zeros((60, 6, 24), np.uint8)
    whole = Place(program, 0, frames, wanted, 0.5)
    assert whole.measured() is whole
    monkeypatch.setattr("sast_deploy.calibration.place.MEASURED", 4 * 6 * 24)
    part = whole.measured()
    assert part.frames[:, 0].tolist() == [0, 20, 39, 59]
    assert part.wanted.shape == (4, 6, 24)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_the_trace_of_a_constant_input(alpha):
    ones = np.ones((1, 10, 1), np.uint8)
    assert constant_trace(alpha, 10) == pytest.approx(float(leaky(ones, alpha).mean()), rel=1e-6)
    assert constant_trace(alpha, 10) == pytest.approx(
        np.mean([(1 - alpha**t) / (1 - alpha) for t in range(1, 11)])
    )


def test_the_bias_takes_back_a_constant_inputs_whole_error_whatever_the_leak(monkeypatch):
    network = replace(trained_fc(), alpha=0.9)
    seen = []

    def spy(layer, place, error, profile):
        seen.append((layer, error))
        return correct(layer, place, error, profile)

    monkeypatch.setattr("sast_deploy.calibration.hidden.correct", spy)
    samples = Samples(np.ones((30, 6, 2, 5, 5), np.uint8), np.zeros(30, np.int64))
    calibrate(network, INT4, "t", samples, samples, steps=["correction"])
    layer, error = seen[0]
    real, threshold = real_weights(network)[0], network.layers[0].threshold.astype(float)
    wanted = real.sum(axis=1) * choose_scaling(real, threshold, INT4, 4).factor
    assert error == pytest.approx(layer.weight.sum(axis=1) * 2.0**layer.weight_exp - wanted, abs=1e-3)


def test_correction_finds_the_bias_and_threshold_it_is_shown():
    network = trained_fc()
    program = compile_network(network, INT4, "t").program
    frames, layer = frames_for(network, 60), program.layers[0]
    wanted = Place(program, 0, frames, np.zeros((60, 6, 24), np.uint8), 0.5).spikes(layer)
    assert np.array_equal(wanted, run_fast(program, frames, trace=True).traces[0].spikes)
    place = Place(program, 0, frames, wanted, 0.5)
    spoiled = replace(layer, bias=frozen_ints(layer.bias + 3), vth=frozen_ints(layer.vth + 1))
    assert place.distances(spoiled).sum() > 0
    found = correct(spoiled, place, np.full(24, 3.0), INT4)
    assert place.distances(found).sum() < 0.2 * place.distances(spoiled).sum()
    assert np.array_equal(found.weight, layer.weight)


def test_the_loss_is_zero_for_the_same_logits_in_any_unit():
    logits = np.random.default_rng(0).normal(size=(50, 4))
    shifts = np.arange(50.0)[:, None]
    assert divergence(logits, 37 * logits + shifts) == pytest.approx(0, abs=1e-12)
    # two classes: z = +-1, y = -+0 loses everything but the odds: KL of (e^2/(1+e^2), ...) to one half
    p = 1 / (1 + np.exp(-2))
    known = p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p))
    assert divergence(np.array([[1.0, -1.0]]), np.zeros((1, 2))) == pytest.approx(known)
    assert divergence(logits, -logits) == pytest.approx(divergence(logits, np.zeros_like(logits)))


def test_samples_are_drawn_by_seed_and_checked():
    frames = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1, 1)
    samples = Samples(frames, np.arange(10))
    found = subsample(samples, 4, 7)
    assert np.array_equal(found.labels, found.frames.ravel())
    assert np.array_equal(found.labels, np.sort(found.labels))
    assert len(set(found.labels)) == 4
    assert np.array_equal(subsample(samples, 4, 7).labels, found.labels)
    assert subsample(samples, 10, 7) is samples
    assert np.array_equal(draw(frames, np.arange(10), np.arange(10), 4, 7).labels, found.labels)
    with pytest.raises(DataError, match="0 samples with 0 labels"):
        Samples(frames[:0], np.arange(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loihi-int2", "loihi-int4", "loihi-stock"])
def test_calibration_loses_less_and_all_engines_agree(name):
    network, profile = trained_fc(), load_profile(name)
    fit, choose, other = (samples_for(network, n, seed) for n, seed in ((300, 1), (150, 2), (150, 3)))
    found = calibrate(network, profile, "t", fit, choose)
    program = found.compilation.program
    losses = [step.before.loss for step in found.steps] + [
        min(step.after.loss, step.before.loss) for step in found.steps[-1:]
    ]
    assert losses == sorted(losses, reverse=True)
    plain = compile_network(network, profile, "t").program
    wanted = run_float(network, plain, other.frames).logits
    ours, theirs = (divergence(wanted, run_fast(p, other.frames).logits * 1.0) for p in (program, plain))
    assert ours < {2: 0.75, 4: 0.9, 8: 1.0}[profile.arithmetic.weight_bits] * theirs
    few = other.frames[:10]
    fast, known = (run(program, few, trace=True) for run in (run_fast, run_reference))
    assert first_difference(fast, known) is None
    assert json.loads(json.dumps(found.to_dict()))["fit_samples"] == 300


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loihi-int2", "loihi-int4"])
def test_convolutions_are_calibrated_too(name):
    network, profile = float_conv(), load_profile(name)
    fit, choose, other = (samples_for(network, n, seed) for n, seed in ((100, 1), (60, 2), (100, 3)))
    program = calibrate(network, profile, "t", fit, choose).compilation.program
    plain = compile_network(network, profile, "t").program
    wanted = run_float(network, plain, other.frames).logits
    ours, theirs = (divergence(wanted, run_fast(p, other.frames).logits * 1.0) for p in (program, plain))
    assert ours < 0.8 * theirs
    few = other.frames[:4]
    assert (
        first_difference(run_fast(program, few, trace=True), run_reference(program, few, trace=True)) is None
    )


def test_a_network_that_resets_before_the_leak_is_calibrated_so():
    network = replace(trained_fc(), reset_order="before-leak")
    fit, choose = samples_for(network, 100, 1), samples_for(network, 60, 2)
    found = calibrate(network, INT4, "t", fit, choose)
    assert found.compilation.program.arithmetic.reset_order == "before-leak"
    assert found.compilation.warnings == ()
    assert found.steps[0].before.accuracy > 0.8
    assert any(step.kept for step in found.steps)


@pytest.mark.parametrize(("key", "value"), [("scale", "layer"), ("scale", "unit"), ("kind", "zero")])
def test_every_kind_of_profile_can_be_calibrated(key, value):
    old = "subtract" if key == "kind" else "neuron"
    profile = parse_profile(INT4.text.replace(f'{key} = "{old}"', f'{key} = "{value}"'), "t")
    network = trained_fc()
    fit, choose = samples_for(network, 100, 1), samples_for(network, 60, 2)
    found = calibrate(network, profile, "t", fit, choose)
    assert any(step.kept for step in found.steps)
    if value == "unit":
        assert np.abs(found.compilation.program.layers[0].vth - 16).max() <= 8
    rules = found.compilation.program.arithmetic
    assert rules.reset == ("zero" if key == "kind" else "subtract")


def test_a_step_that_does_not_help_is_dropped(monkeypatch):
    network = trained_fc()
    fit, choose = samples_for(network, 60, 1), samples_for(network, 60, 2)
    plain = compile_network(network, INT4, "t").program

    def spoil(self, options):
        weight = frozen_ints(np.ones_like(plain.layers[2].weight))
        return {2: LayerChoice(Scaling(0, np.ones(4)), weight)}

    monkeypatch.setattr("sast_deploy.calibration.solve.Solver.choices", spoil)
    found = calibrate(network, INT4, "t", fit, choose, steps=["rounding"])
    (step,) = found.steps
    assert not step.kept
    assert step.after.loss > step.before.loss
    assert found.compilation.program.digest() == plain.digest()


def test_a_step_that_the_compiler_refuses_is_dropped_and_says_so(monkeypatch):
    network = trained_fc()
    wide = {0: LayerChoice(Scaling(9, np.ones(24)))}
    monkeypatch.setattr("sast_deploy.calibration.solve.Solver.choices", lambda self, options: wide)
    found = calibrate(network, INT4, "t", samples_for(network, 9), samples_for(network, 9), steps=["search"])
    assert found.steps[0].after is None
    assert found.steps[0].refused == "layer 0: chosen exponent 9; expected -8..5"


@pytest.mark.slow
def test_steps_come_in_their_order_and_unknown_ones_are_refused():
    network = trained_fc()
    few = samples_for(network, 20)
    found, again = (calibrate(network, INT4, "t", few, few, steps=("correction", "search")) for _ in range(2))
    assert found.compilation.program.digest() == again.compilation.program.digest()
    assert [step.name for step in found.steps] == ["search", "correction"]
    assert [step.name for step in calibrate(network, INT2, "t", few, few).steps] == list(STEPS[1:])
    with pytest.raises(UsageError, match="calibration step 'serch'; expected some of clipping, search"):
        calibrate(network, INT4, "t", few, few, steps=["serch"])


@pytest.mark.slow
def test_ablation_has_a_row_for_every_option():
    network = trained_fc()
    fit, choose, test = (samples_for(network, n, seed) for n, seed in ((200, 1), (80, 2), (200, 3)))
    rows = ablate(network, INT2, "t", fit, choose, test)
    names = [
        "one scale a layer",
        "+ scale per neuron",
        "+ clipping",
        "+ search",
        "+ rounding",
        "+ correction",
    ]
    assert [row.name for row in rows] == names
    assert rows[-1].test.loss < 0.8 * rows[2].test.loss
    assert json.loads(json.dumps([asdict(row) for row in rows]))[0]["name"] == names[0]


def test_where_the_compiler_refuses_the_network_every_row_says_so():
    network = trained_fc()
    weight = network.layers[0].weight.copy()
    weight[0, 0] = 100 * np.abs(weight).max()  # beside it the threshold becomes 0
    spoiled = replace(network, layers=(replace(network.layers[0], weight=weight), *network.layers[1:]))
    samples = samples_for(network, 20)
    rows = ablate(spoiled, INT4, "t", samples, samples, samples)
    assert [row.test for row in rows] == [None] * 6
    assert all("the threshold of neuron 0" in row.refused for row in rows)


def test_the_readouts_error_is_that_of_its_integers():
    network = trained_fc()
    readout = network.layers[-1]
    offset = replace(readout, weight=readout.weight + 3.0)  # the same for all classes: no logit's difference
    shifted = replace(network, layers=(*network.layers[:-1], offset))
    samples = samples_for(network, 60)
    plain = compile_network(shifted, INT4, "t").layers[-1].error
    clipped = calibrate(shifted, INT4, "t", samples, samples, steps=["clipping"]).compilation.layers[-1]
    assert clipped.error < 2 * plain


def choice_for(network, **parts):
    layer = network.layers[0]
    weights = real_weights(network)[0]
    scaling = choose_scaling(weights, layer.threshold.astype(float), INT4, 4)
    return {0: LayerChoice(parts.pop("scaling", scaling), **parts)}


def test_a_choice_of_the_compilers_own_scaling_changes_nothing():
    network = trained_fc()
    plain = compile_network(network, INT4, "t").program
    assert compile_network(network, INT4, "t", choice_for(network)).program.digest() == plain.digest()
    layer = plain.layers[0]
    same = choice_for(network, weight=layer.weight, bias=layer.bias, vth=layer.vth)
    assert compile_network(network, INT4, "t", same).program.digest() == plain.digest()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"weight": np.full((24, 50), 8, np.int32)}, "layer 0: chosen weights reach 8; expected at most 7"),
        ({"weight": np.ones((24, 49), np.int32)}, r"chosen weights of shape \(24, 49\); expected \(24, 50\)"),
        ({"bias": np.zeros(1, np.int32)}, r"chosen biases of shape \(1,\); expected \(24,\)"),
        ({"vth": np.zeros(24, np.int32)}, "the threshold of neuron 0, 1, becomes 0"),
        ({"vth": np.full(24, 128, np.int32)}, "the threshold of neuron 0 is 128 LSB; expected at most 127"),
        ({"bias": np.full(24, -200, np.int32)}, "the bias of neuron 0 is 200 LSB; expected at most 127"),
        ({"scaling": Scaling(6, np.ones(24))}, r"chosen exponent 6; expected -8\.\.5"),
    ],
)
def test_choices_that_the_profile_does_not_allow_are_refused(parts, message):
    network = trained_fc()
    with pytest.raises(CompileError, match=message):
        compile_network(network, INT4, "t", choice_for(network, **parts))


def test_choices_off_the_grid_are_refused():
    network, stock = trained_fc(), load_profile("loihi-stock")
    choice = {0: LayerChoice(Scaling(6, np.full(24, 64.0)), bias=np.full(24, 65, np.int32))}
    with pytest.raises(CompileError, match="layer 0: chosen biases; expected multiples of 64"):
        compile_network(network, stock, "t", choice)
