"""The compiler: exact integers on a hand-made network, and a refusal for each impossible one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatReadout
from sast_deploy.compiler.quantize import clipping_points
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.profile import load_profile, parse_profile
from sast_deploy.proofs.bounds import prove
from tests.networks import float_conv, float_fc, float_run

INT8, INT4 = load_profile("loihi-int8"), load_profile("loihi-int4")


def profile(base, **changes):
    text = base.text
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new, 1)
    return parse_profile(text, where="test")


def tiny(weight, bias=0.0, theta=1.0, readout=1.0):
    layer = FloatDense(np.atleast_2d(weight), np.atleast_1d(bias), np.atleast_1d(theta))
    out = FloatReadout(np.full((2, len(layer.weight)), readout), np.zeros(2))
    return FloatNetwork((layer, out), (1, 1, layer.weight.shape[1]), 4, 0.5, 2, classes=("no", "yes"))


def test_integers_of_a_hand_made_network():
    """Input unit 1/2; unit scale at Q8.8: weights * 128, threshold 256, and the exponent that fits 127."""
    unit = profile(INT8, scale=('scale = "neuron"', 'scale = "unit"'))
    program = compile_network(tiny([[0.5, -1.5, 0.01]], bias=0.25), unit, "tiny").program
    layer = program.layers[0]
    # 1.5 / 2 * 256 = 192 needs 2**1: weights are 64/2, -192/2, 1.28/2 rounded to even
    assert (layer.weight_exp, layer.weight.tolist()) == (1, [[32, -96, 1]])
    assert (layer.vth.tolist(), layer.bias.tolist(), layer.v_decay.tolist()) == ([256], [64], [2048])
    assert program.layers[1].weight.tolist() == [[127], [127]]
    assert (program.input_max, program.steps) == (2, 4)


def test_neuron_scale_uses_the_whole_range_and_keeps_ratios():
    program = compile_network(
        tiny([[0.5, -0.25], [0.05, 0.02]], bias=[0.1, 0.1], theta=[1, 1]), INT8, "t"
    ).program
    layer = program.layers[0]
    assert np.abs(layer.weight).max(axis=1).tolist() == [127, 127]
    for row, (weight, bias) in enumerate([(0.5, 0.1), (0.05, 0.1)]):
        # threshold / (largest weight per input unit) is the same number before and after
        assert layer.vth[row] / (127 * 2.0**layer.weight_exp) == pytest.approx(1 / (weight / 2), rel=0.02)
        assert layer.bias[row] / layer.vth[row] == pytest.approx(bias, rel=0.05)


@pytest.mark.parametrize(("scale", "same"), [("layer", True), ("neuron", False)])
def test_a_layer_scale_is_one_factor_even_where_thresholds_are_far_apart(scale, same):
    network = tiny([[0.5, -0.25], [0.5, 0.2], [0.5, 0.1]], bias=[0, 0, 0], theta=[1, 1, 100])
    layer = compile_network(network, profile(INT8, scale=('"neuron"', f'"{scale}"')), "t").program.layers[0]
    assert layer.vth[2] == 11585  # 32767 / sqrt(8): what keeps it from saturating
    ratio = layer.vth[2] / layer.vth[0]
    assert (ratio == pytest.approx(100, rel=0.02)) == same
    assert (layer.weight[0, 0] == layer.weight[2, 0]) == same


def test_readout_keeps_one_factor_for_all_classes():
    network = float_fc()
    readout = compile_network(network, INT8, "t").program.layers[-1]
    real = network.layers[-1]
    step = np.abs(real.weight).max() / 127
    assert np.array_equal(readout.weight, np.rint(real.weight / step))
    assert np.array_equal(readout.bias, np.rint(real.bias / step * 2.0**readout.weight_exp))


def test_pooled_readout_is_scaled_by_the_window():
    program = compile_network(float_conv(), INT8, "t").program
    kinds = [layer.kind for layer in program.layers]
    assert kinds == ["conv", "conv", "pool", "readout"]
    # the sum of 2 x 3 spikes stands for six times their mean, so the bias weighs six times as much
    real = float_conv().layers[-1]
    ratio = program.layers[-1].bias / 2.0 ** program.layers[-1].weight_exp / 127
    assert ratio == pytest.approx(real.bias / np.abs(real.weight).max() * 6, abs=0.01)


def test_int8_follows_the_float_network():
    network = float_fc(seed=3, shape=(2, 8, 8), hidden=(40, 30), classes=5, steps=10, scale=3.0)
    frames = np.random.default_rng(0).integers(0, 5, (60, 10, 2, 8, 8)).astype(np.uint8)
    frames *= np.random.default_rng(1).random(frames.shape) < 0.3
    wanted = float_run(network, frames)
    logits = run_reference(compile_network(network, INT8, "t").program, frames).logits
    wanted -= wanted.mean(axis=1, keepdims=True)
    got = logits - logits.mean(axis=1, keepdims=True)
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.985


@pytest.mark.parametrize("base", [INT8, INT4])
def test_facts_are_true(base):
    compilation = compile_network(float_fc(), base, "t")
    proofs = [facts.proof for facts in compilation.layers]
    for facts, layer in zip(proofs, compilation.program.layers, strict=True):
        rows = layer.weight.astype(np.int64)
        largest = 4 if facts.name.startswith("layer 0") else 1
        worst = [sum(int(w) * largest for w in row if w > 0) for row in rows]
        assert facts.high == max(worst)
        wide = max(facts.high, -facts.low - 1) << max(facts.exponent, 0)
        assert facts.accumulator_bits == wide.bit_length() + 1
        assert facts.zero_weights == (rows == 0).mean()
        assert np.abs(rows).max() <= base.weight_max
    assert proofs == list(prove(compilation.program))


def test_mse_clipping_never_raises_the_error():
    weights = np.random.default_rng(0).standard_t(3, (20, 200))
    errors = []
    for clipping in ("none", "mse"):
        step = clipping_points(weights, 7, clipping)[:, None] / 7
        errors.append(((np.clip(np.rint(weights / step), -7, 7) * step - weights) ** 2).sum(axis=1))
    assert (errors[1] <= errors[0]).all()
    assert errors[1].sum() < 0.8 * errors[0].sum()


def test_a_neuron_without_weights_is_a_warning():
    compilation = compile_network(tiny([[0.5, 1.0], [0.0, 0.0]], bias=[0, 0.5], theta=[1, 1]), INT8, "t")
    assert compilation.warnings == (
        "layer 0: 1 neurons have no weight left (neuron 1)",
        "layer 0: 1 neurons can never fire (neuron 1)",
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (tiny([[0.0, 0.0]]), "layer 0: every weight is zero"),
        (
            tiny([[100.0]], theta=1e-5),
            "layer 0: the threshold of neuron 0, 1e-05, becomes 0; expected at least 1 LSB",
        ),
        (tiny([[1.0]], bias=1e9), "layer 0: the bias of neuron 0 is .* LSB; expected at most 32767"),
        (tiny([[1.0]], readout=0.0), "layer 1: every weight is zero"),
    ],
)
def test_what_the_integers_cannot_hold_is_refused(network, message):
    with pytest.raises(CompileError, match=message):
        compile_network(network, INT8, "t")


def test_an_accumulator_that_is_too_wide_is_refused():
    narrow = profile(INT8, bits=("bits = 24", "bits = 10"))
    with pytest.raises(
        CompileError, match=r"layer 0: the weighted sum of neuron 0 reaches .* bits; expected at most"
    ):
        compile_network(tiny([[1.0] * 40]), narrow, "t")


def test_neurons_that_would_leave_the_accumulator_are_rescaled():
    """Limit 2**9 - 1 = 511 over inputs up to 2: 40 weights of 127 must become weights of at most 6."""
    narrow = profile(
        INT8, bits=("bits = 24", "bits = 10"), excess=('excess = "refuse"', 'excess = "rescale"'),
        exponent=("exponent_max = 1", "exponent_max = 0"), smallest=("exponent_min = -8", "exponent_min = 0"),
    )  # fmt: skip
    network = tiny([[1.0] * 40, [0.1] * 2 + [0.0] * 38], bias=[0.0, 0.0], theta=[1.0, 1.0])
    compilation = compile_network(network, narrow, "t")
    layer = compilation.program.layers[0]
    assert [row.max() for row in layer.weight] == [6, 127]
    proof = compilation.layers[0].proof
    assert (proof.high, proof.accumulator_bits) == (508, 10)
    # the threshold follows: it stays the same multiple of the weights, 2 and 20
    assert layer.vth / layer.weight.max(axis=1) == pytest.approx([2, 20], rel=0.1)


def test_thresholds_and_biases_lie_on_the_grid():
    program = compile_network(float_fc(), load_profile("loihi-stock"), "t").program
    for layer in program.layers:
        assert layer.weight_exp == 6
        assert not (layer.bias % 64).any()
    fine = compile_network(float_fc(), INT8, "t").program
    assert all((layer.bias % 64).any() for layer in fine.layers[:-1])
    assert not any((layer.vth % 64).any() for layer in program.layers[:-1])


def test_thresholds_beyond_the_state_are_refused():
    unit = profile(INT4, scale=('scale = "neuron"', 'scale = "unit"'))
    with pytest.raises(CompileError, match="the threshold of neuron 0 is 160 LSB; expected at most 127"):
        compile_network(tiny([[0.5]], theta=10.0), unit, "t")


def test_all_weights_becoming_zero_is_refused():
    coarse = profile(
        INT4, scale=('scale = "neuron"', 'scale = "unit"'), low=("exponent_min = -8", "exponent_min = 5")
    )
    with pytest.raises(CompileError, match="layer 0: all 2 weights become zero at 4 bits"):
        compile_network(tiny([[0.001, 0.002]]), coarse, "t")


def test_programs_are_frozen_and_named_by_their_digest():
    first, again = (compile_network(float_fc(), INT8, "t").program for _ in range(2))
    assert first.digest() == again.digest()
    with pytest.raises(ValueError, match="read-only"):
        first.layers[0].weight[0, 0] = 1
    changed = np.array(first.layers[0].weight)
    changed[0, 0] += 1
    other = replace(first, layers=(replace(first.layers[0], weight=changed), *first.layers[1:]))
    assert other.digest() != first.digest()
    assert replace(first, steps=7).digest() != first.digest()


def test_the_readout_exponent_falls_until_stock_lava_can_hold_the_bias():
    network = float_fc(seed=1)
    last = network.layers[-1]
    heavy = replace(network, layers=(*network.layers[:-1], FloatReadout(last.weight, last.bias * 2000)))
    for base in (INT8, INT4):
        plain, reduced = (compile_network(net, base, "t").program for net in (network, heavy))
        assert plain.layers[-1].weight_exp == base.exponent_max
        readout = reduced.layers[-1]
        assert readout.weight_exp < base.exponent_max
        assert np.array_equal(readout.weight, plain.layers[-1].weight)
        total = np.abs(readout.bias).max() * network.steps
        assert total <= 32767 < 2 * total + 2 * network.steps or readout.weight_exp == 0
