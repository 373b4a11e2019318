"""The integer network in torch: value for value the compiled program, and its gradient derived twice."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sast_deploy.base.errors import CompileError
from sast_deploy.base.versions import package_versions
from sast_deploy.compiler import compile_network
from sast_deploy.engines.reference import run_reference
from sast_deploy.finetuning import IntegerNetwork
from sast_deploy.finetuning.lif import LayerRules, exact_dtype, fit_, integer_lif, round_, shift
from sast_deploy.finetuning.quantized import integer_layer
from sast_deploy.program.fixedpoint import (
    OVERFLOWS,
    RESET_ORDERS,
    ROUNDINGS,
    Arithmetic,
    QFormat,
    divide_pow2,
    fit,
)
from sast_deploy.program.profile import Profile, load_profile, parse_profile, profile_names
from sast_deploy.training.augment import network_input
from sast_deploy.training.checkpoint import Checkpoint, load_network, to_float_network
from sast_deploy.training.kernels.membranes import SurrogateName
from sast_deploy.training.network.network import Network, NetworkSpec, cross_entropy
from sast_deploy.training.recipes import PAPER
from sast_deploy.training.train import train
from tests.tinydata import CLIP, SHAPE, tiny_set
from tests.tinynets import PLAIN

FC = NetworkSpec("fc", SHAPE, (14, 9), 3)
CONV = NetworkSpec("conv", SHAPE, (5, 6, 7), 3, strides=(2, 1, 2))
INT4 = load_profile("loihi-int4")
BEFORE_LEAK = ('kind = "subtract"', 'kind = "subtract"\norder = "before-leak"')


def changed(name: str, *changes: tuple[str, str]) -> Profile:
    """A shipped profile with some of its lines replaced."""
    text = load_profile(name).text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_profile(text, "test")


PROFILES = {
    **{name: load_profile(name) for name in profile_names()},
    "2 bits, least squares": changed(
        "loihi-int4", ("bits = 4 ", "bits = 2 "), ('clipping = "none"', 'clipping = "mse"')
    ),
    "one scale, right shifts, half even": changed(
        "loihi-int4",
        ('scale = "neuron"', 'scale = "layer"'),
        ("exponent_max = 5", "exponent_max = -2"),
        ('"half-up"', '"half-even"'),
        ('"toward-zero"', '"floor"'),
    ),
    "the format's own scale": changed("loihi-int4", ('scale = "neuron"', 'scale = "unit"')),
    "wrapping, to zero": changed(
        "loihi-int4", ('overflow = "saturate"', 'overflow = "wrap"'), ('"subtract"', '"zero"')
    ),
    "before the leak": changed("loihi-int4", BEFORE_LEAK),
    "before the leak, floor, wrapping": changed(
        "loihi-int4",
        BEFORE_LEAK,
        ('overflow = "saturate"', 'overflow = "wrap"'),
        ('"toward-zero"', '"floor"'),
    ),
    "floor, to zero, coarse": changed(
        "loihi-int8", ('"toward-zero"', '"half-up"'), ('"subtract"', '"zero"'), ("grid = 1 ", "grid = 4 ")
    ),
}


def checkpoint_of(spec: NetworkSpec, seed: int, gain: float = 6.0) -> Checkpoint:
    """Random weights and biases, large enough that every layer fires and saturates."""
    data, arrays = tiny_set(), {}
    for key, value in Network(spec, seed).state_dict().items():
        value = value if "theta" in key else gain * value
        arrays[key] = (value.abs() if "bias" in key else value).numpy().astype(np.float32)
    return Checkpoint("random", spec, arrays, PAPER, data.options, data.info, {}, {}, package_versions())


def trained(tmp_path: Path, spec: NetworkSpec) -> Checkpoint:
    plan = PAPER.replace(epochs=1, lr=0.02, batch=16, rho=0)
    return train(spec, plan, tiny_set(), tmp_path / "ckpt.pt").checkpoint


def assert_same_as_reference(checkpoint: Checkpoint, profile: Profile, clip: int = CLIP) -> None:
    frames = np.minimum(tiny_set().test.frames[:6], clip)
    checkpoint = replace(checkpoint, frames=replace(checkpoint.frames, clip=clip))
    program = compile_network(to_float_network(checkpoint), profile, "x").program
    expected = run_reference(program, frames, trace=True)
    assert expected.traces is not None
    network = IntegerNetwork(load_network(checkpoint), profile, clip)
    with torch.no_grad():
        found = network.run(torch.from_numpy(network_input(frames, clip)), 3.0)
    for (u, s), trace in zip(found.layers, expected.traces, strict=True):
        assert np.array_equal(by_sample(u), trace.membrane)
        assert np.array_equal(by_sample(s), trace.spikes)
    assert np.array_equal(found.logits.numpy(), expected.logits)
    assert all(u.any() for u, _ in found.layers)


def by_sample(states: Tensor) -> np.ndarray:
    """(time, batch, *layer) -> (samples, time, neurons)."""
    return states.flatten(2).numpy().swapaxes(0, 1)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_every_membrane_and_spike_is_the_references(spec: NetworkSpec, profile: Profile) -> None:
    for seed in range(2):
        assert_same_as_reference(checkpoint_of(spec, seed), profile)


@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_leaks_and_thresholds_of_each_layer(spec: NetworkSpec) -> None:
    """One leak is the float64 above 1 - 409.5 / 4096, whose float32, a layer's own, lies on that tie."""
    tie = float(np.nextafter(1 - 409.5 / 4096, 1))
    alphas, thetas = (tie, 0.3, 0.75)[: len(spec.hidden)], (0.7, 1.0, 1.9)[: len(spec.hidden)]
    checkpoint = checkpoint_of(replace(spec, alpha=alphas, theta=thetas), 3)
    assert_same_as_reference(checkpoint, INT4)
    program = compile_network(to_float_network(checkpoint), load_profile("loihi-int8"), "x").program
    decays = [int(layer.v_decay[0]) for layer in program.layers if hasattr(layer, "vth")]
    assert decays == [410, 2867, 1024][: len(decays)]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["loihi-int8", "loihi-int4", "loihi-stock"])
@pytest.mark.parametrize("order", RESET_ORDERS)
def test_any_leak(alpha: float, name: str, order: str) -> None:
    changes = [BEFORE_LEAK] if order == "before-leak" and name != "loihi-stock" else []
    assert_same_as_reference(checkpoint_of(replace(FC, alpha=alpha), 3), changed(name, *changes))


@pytest.mark.parametrize("clip", [1, 2, 3, 7])
def test_any_count_that_became_one(clip: int) -> None:
    assert_same_as_reference(checkpoint_of(FC, 4), INT4, clip=clip)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_of_trained_weights_too(tmp_path: Path, spec: NetworkSpec) -> None:
    checkpoint = trained(tmp_path, spec)
    for name in ("loihi-int8", "loihi-int4", "loihi-stock"):
        assert_same_as_reference(checkpoint, load_profile(name))


def test_real_logits_are_the_trained_networks_unit() -> None:
    checkpoint = checkpoint_of(FC, 1)
    x = torch.from_numpy(network_input(tiny_set().test.frames, CLIP))
    with torch.no_grad():
        states = IntegerNetwork(load_network(checkpoint), load_profile("loihi-int8"), CLIP).run(x, 3.0)
        expected = load_network(checkpoint)(x, hard=True)
    assert (states.real_logits() - expected).abs().median() < 0.02  # a spike that flips costs some more
    assert torch.corrcoef(torch.stack([states.real_logits().ravel(), expected.ravel()]))[0, 1] > 0.95


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roundings_are_those_of_fixedpoint(rounding: str, dtype: torch.dtype) -> None:
    values = [*range(-70, 71), 2**22 - 1, -(2**22) + 1]
    for exponent in (1, 2, 5, 12):
        found = shift(torch.tensor(values, dtype=dtype), -exponent, rounding).tolist()
        assert found == [divide_pow2(value, exponent, rounding) for value in values]
    assert shift(torch.tensor(values, dtype=dtype), 3, rounding).tolist() == [8 * value for value in values]


@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_overflows_are_those_of_fixedpoint(overflow: str) -> None:
    values, form = range(-700, 700), QFormat(8, 4)
    found = fit_(torch.tensor(values, dtype=torch.float32), form, overflow).tolist()
    assert found == [fit(value, form, overflow) for value in values]


def test_rules_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="up"):
        round_(torch.zeros(1), "up")
    with pytest.raises(ValueError, match="clip"):
        fit_(torch.zeros(1), QFormat(8, 4), "clip")


def test_the_type_is_as_wide_as_the_integers_need() -> None:
    assert exact_dtype(2**23 - 1) == torch.float32
    assert exact_dtype(2**23) == torch.float64
    with pytest.raises(CompileError, match="may occur"):
        exact_dtype(2.0**52)
    rules = LayerRules(INT4.arithmetic, 0, 2048)
    assert rules.dtype(10_000) == torch.float32
    assert replace(rules, exponent=10).dtype(10_000) == torch.float64
    wide = replace(INT4.arithmetic, state=QFormat(16, 8))
    assert LayerRules(wide, 0, 2048).dtype(0) == torch.float32  # times 1/2 only moves the exponent
    assert LayerRules(wide, 0, 2867).dtype(0) == torch.float64  # times 1229 takes 11 bits more


def straight_lif(
    sums: Tensor, bias: Tensor, vth: Tensor, factor: Tensor, rules: LayerRules, k: float
) -> Tensor:
    """Spikes by plain torch operations; what is straight-through is written as y + (exact - y).detach()."""
    law = rules.arithmetic

    def straight(smooth: Tensor, exact: Tensor) -> Tensor:
        return smooth + (exact - smooth).detach()

    c = u = s = torch.zeros_like(sums[0])
    spikes = []
    for total in sums:
        scaled, old = total * 2.0**rules.exponent, rules.kept_current * c
        arriving = straight(scaled, shift(total.detach(), rules.exponent, law.shift_rounding))
        c = straight(old, round_(old.detach().clone(), law.leak_rounding)) + arriving
        current = c + bias
        after = law.reset == "subtract" and law.reset_order == "after-leak"
        kept = rules.kept * (u * (1 - s) if law.reset == "zero" else u if after else u - vth * s)
        u = straight(kept, round_(kept.detach().clone(), law.leak_rounding)) + current
        u = u - vth * s if after else u
        u = u.clamp(law.state.low, law.state.high)  # at the ends torch's clamp passes the gradient, as we do
        s = straight(PLAIN[rules.surrogate](k * (u - vth) / factor), (u >= vth).to(u.dtype))
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize(
    "reset", [("subtract", "after-leak"), ("subtract", "before-leak"), ("zero", "after-leak")]
)
@pytest.mark.parametrize("shape", [(7,), (7, 3, 2)], ids=["neurons", "maps"])
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("filtered", [False, True])
def test_the_gradient_by_autograd(
    reset: tuple[str, str], shape: tuple[int, ...], name: SurrogateName, filtered: bool
) -> None:
    """With a filter of the current, every neuron has a leak of its own, too."""
    law = Arithmetic(QFormat(8, 4), 4, "saturate", "toward-zero", "half-up", ">=", *reset)
    rules, generator = LayerRules(law, -1, 1500, surrogate=name), torch.Generator().manual_seed(1)
    if filtered:
        decays = torch.linspace(0, 4096, 7).round().double().reshape(7, *[1] * (len(shape) - 1))
        rules = replace(rules, v_decay=decays, u_decay=2600)
    sums = torch.randint(-200, 260, (6, 5, *shape), generator=generator).double().requires_grad_()
    per_neuron = (7, *[1] * (len(shape) - 1))
    bias = torch.randint(-9, 9, per_neuron, generator=generator).double().requires_grad_()
    vth = torch.randint(9, 60, per_neuron, generator=generator).double()
    factor = torch.rand(per_neuron, generator=generator).double() * 20 + 5
    direction = torch.randn(sums.shape, generator=generator, dtype=torch.float64)
    membrane, spikes = integer_lif(sums, bias, vth, factor, rules, 2.0)
    expected = straight_lif(sums, bias, vth, factor, rules, 2.0)
    assert torch.equal(spikes, expected.detach())
    assert (membrane == 127).any()
    assert (membrane == -128).any()
    found = torch.autograd.grad((spikes * direction).sum(), (sums, bias))
    derived = torch.autograd.grad((expected * direction).sum(), (sums, bias))
    for one, other in zip(found, derived, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_clipped_weights_and_membranes_pass_no_gradient() -> None:
    weight = nn.Parameter(torch.tensor([[0.1, -0.3, 0.9]]))  # in unit scale 0.9 is 14 LSBs, beyond 7
    profile = changed(
        "loihi-int4", ('scale = "neuron"', 'scale = "unit"'), ("exponent_max = 5", "exponent_max = 0")
    )
    layer = integer_layer(weight, nn.Parameter(torch.zeros(1)), torch.ones(1), profile, 1.0, 1)
    assert layer.weight.tolist() == [[2.0, -5.0, 7.0]]
    layer.weight.sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.tolist() == [[16.0, 16.0, 0.0]]
    sums = torch.tensor([[[500.0, 20.0]]], requires_grad=True)
    one = torch.ones(2)
    _, spikes = integer_lif(sums, 0 * one, 30 * one, 16 * one, LayerRules(INT4.arithmetic, 0, 2048), 3.0)
    (gradient,) = torch.autograd.grad(spikes.sum(), sums)
    assert gradient[0, 0, 0] == 0
    assert gradient[0, 0, 1] > 0


def test_scales_count_as_constants() -> None:
    """d integer / d weight = unit * c / 2**e for every weight, the largest included."""
    weight, bias = (
        nn.Parameter(torch.tensor([[0.7, -0.2], [0.06, 0.14]])),
        nn.Parameter(torch.tensor([0.1, 0.2])),
    )
    layer = integer_layer(weight, bias, torch.ones(2), INT4, 0.25, 4)
    (layer.weight.sum() + layer.bias.sum()).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert bias.grad is not None
    assert layer.weight.tolist() == [[7.0, -2.0], [3.0, 7.0]]
    # The largest weight becomes 7: 7 / 0.7 and 7 / 0.14 per unit of the weight.
    assert torch.allclose(weight.grad, torch.tensor([[10.0, 10.0], [50.0, 50.0]]))
    assert torch.allclose(bias.grad, layer.factor.float())


@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_at_eight_bits_the_gradient_is_nearly_that_of_hard_spikes_in_floats(spec: NetworkSpec) -> None:
    checkpoint, k = checkpoint_of(spec, 5, 3.0), 2.0
    split = tiny_set().train
    x, y = torch.from_numpy(network_input(split.frames, CLIP)), torch.from_numpy(split.labels.copy())
    gradients = []
    for integer in (True, False):
        network = load_network(checkpoint)
        if integer:
            logits = IntegerNetwork(network, load_profile("loihi-int8"), CLIP).run(x, k).real_logits()
        else:
            logits = network(x, hard=True, k=k)
        cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad.ravel() for p in network.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        assert torch.cosine_similarity(one, other, dim=0) > 0.97
        assert math.isclose(one.norm(), other.norm(), rel_tol=0.15)
