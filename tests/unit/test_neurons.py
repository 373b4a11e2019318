"""Surrogates and neurons: gradients against autograd's, and the integers that they compile to."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from sast_deploy import api
from sast_deploy.base.errors import CheckpointError, UsageError
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.lava.run import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.finetuning import FINETUNE, finetune
from sast_deploy.program.profile import load_profile
from sast_deploy.training.augment import network_input
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint, load_network, to_float_network
from sast_deploy.training.kernels.membranes import Dynamics, SurrogateName
from sast_deploy.training.network import lif as lif_module
from sast_deploy.training.network.lif import filtered, lif, lif_states
from sast_deploy.training.network.network import ADDED_LATER, Network, NetworkSpec, state_shapes
from sast_deploy.training.network.neurons import FIXED, Neuron
from sast_deploy.training.network.surrogates import SURROGATES
from sast_deploy.training.recipes import PAPER
from sast_deploy.training.state import TrainingInterruptedError
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer
from tests.tinydata import CLIP, SHAPE, tiny_set
from tests.tinynets import PLAIN, random_checkpoint
from tests.unit.test_integer_network import assert_same_as_reference, changed

FC = NetworkSpec("fc", SHAPE, (12, 8), 3)
CONV = NetworkSpec("conv", SHAPE, (5, 4), 3, strides=(2, 1))
RESETS: dict[str, dict[str, Any]] = {
    "after the leak": {}, "before the leak": {"reset_order": "before-leak"}, "to zero": {"reset": "zero"},
}  # fmt: skip
NEURONS: dict[str, dict[str, Any]] = {
    "lif": {},
    "lapicque": {"neuron": "lapicque", "resistance": (2.0, 1.5), "capacitance": 1.25, "time_step": 0.75},
    "if": {"neuron": "if"},
    "cuba": {"neuron": "cuba", "alpha": 0.75, "current_leak": (0.5, 0.3)},
    "lif, learned": {"alpha": 0.6, "learn_theta": "neuron", "learn_alpha": "neuron"},
    "cuba, learned by layers": {
        "neuron": "cuba", "alpha": (0.6, 0.7), "learn_theta": "layer", "learn_alpha": "layer",
    },
    "if, learned thresholds": {"neuron": "if", "learn_theta": "neuron"},
}  # fmt: skip
of_resets = pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
of_neurons = pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
of_surrogates = pytest.mark.parametrize("surrogate", SURROGATES)


def shifted(network: Network, seed: int = 3) -> Network:
    """With parameters of neurons that have moved from where they start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("log"):
                parameter += torch.rand(parameter.shape, generator=generator).to(parameter) - 0.4
    return network


def by_autograd(network: Network, x: Tensor, hard: bool, k: float) -> list[Tensor]:
    """Spikes of every layer as plain torch operations, from the words of `Network` and `Dynamics`."""
    spec, layers, s_below = network.spec, [], network.shaped(x)
    sigma = PLAIN[spec.surrogate]
    for index, layer in enumerate(network.layers):
        named = dict(network.named_parameters())
        theta = network.get_buffer(f"theta_{index}")
        if spec.learn_theta != "none":
            theta = theta * torch.exp(named[f"log_theta_{index}"])
        alpha: Any = spec.alphas[index]
        if spec.learn_alpha != "none":
            start = math.log(spec.alphas[index] / (1 - spec.alphas[index]))
            alpha = 1 / (1 + torch.exp(-(start + named[f"logit_alpha_{index}"])))
        if spec.kind == "conv":
            theta = theta[:, None, None]
            alpha = alpha[:, None, None] if isinstance(alpha, Tensor) else alpha
        flat = layer.bias.reshape(-1, *[1] * (theta.ndim - 1))
        c = u = s = None
        spikes = []
        for x_t in s_below:
            weighted = layer(x_t) - flat
            if spec.neuron == "cuba":
                c = weighted if c is None else spec.current_leaks[index] * c + weighted
                current = c + flat
            elif spec.neuron == "lapicque":
                resistance = spec.resistance[index] if isinstance(spec.resistance, tuple) else spec.resistance
                rc = resistance * spec.capacitance
                current = (weighted + flat) * resistance * spec.time_step / rc
                alpha = 1 - spec.time_step / rc
            else:
                current = weighted + flat
            if u is None:
                u = current
            elif spec.reset == "zero":
                u = alpha * u * (1 - s) + current
            elif spec.reset_order == "before-leak":
                u = alpha * (u - theta * s) + current
            else:
                u = alpha * u + current - theta * s
            s = sigma(k * (u - theta))
            s = straight(s, u >= theta) if hard else s
            spikes.append(s)
        s_below = torch.stack(spikes)
        layers.append(s_below)
    return layers


def straight(smooth: Tensor, hard: Tensor) -> Tensor:
    return smooth + (hard.to(smooth.dtype) - smooth).detach()


SMOOTH_AND_HARD: list[tuple[str, bool]] = [
    *((name, False) for name in SURROGATES), ("arctan", True), ("spike-rate-escape", True),
]  # fmt: skip


@pytest.mark.parametrize(("surrogate", "hard"), SMOOTH_AND_HARD)
@of_neurons
@of_resets
def test_gradients_are_autograds(
    surrogate: SurrogateName, neuron: dict[str, Any], reset: dict[str, Any], hard: bool
) -> None:
    """In double precision, of every parameter, smooth and straight-through."""
    network = shifted(Network(replace(FC, surrogate=surrogate, **neuron, **reset), 1).double())
    with torch.no_grad():
        for parameter in network.layers.parameters():
            parameter *= 4
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(6, 3, math.prod(SHAPE), dtype=torch.float64, generator=generator)
    k = 4.0
    found, parameters = [], list(network.parameters())
    for spikes in (network.spikes(x, hard=hard, k=k), by_autograd(network, x, hard, k)):
        loss = (network.logits(spikes[-1]) * torch.tensor([1.0, -2.0, 0.5]).double()).sum()
        found.append((spikes, torch.autograd.grad(loss, parameters)))
    (ours, our_gradients), (others, gradients) = found
    torch.testing.assert_close(ours, others, rtol=1e-10, atol=1e-12)
    assert not hard or 0.02 < float(ours[0].detach().mean()) < 0.98
    for (name, _), our, other in zip(network.named_parameters(), our_gradients, gradients, strict=True):
        torch.testing.assert_close(our, other, rtol=1e-9, atol=1e-10, msg=name)
        assert bool(other.any()), name


@pytest.mark.parametrize("name", SURROGATES)
@of_resets
def test_gradients_are_finite_differences(name: SurrogateName, reset: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    current = (2 * torch.rand(5, 2, 3, dtype=torch.float64, generator=generator) - 0.3).requires_grad_()
    theta = (0.5 + torch.rand(3, dtype=torch.float64, generator=generator)).requires_grad_()
    alpha = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64, requires_grad=True)

    def run(current: Tensor, theta: Tensor, alpha: Tensor) -> Tensor:
        spec = replace(FC, surrogate=name, **reset)
        return lif(filtered(current, 0.4), theta, replace(spec.dynamics(0), alpha=alpha), 1.5)

    assert torch.autograd.gradcheck(run, (current, theta, alpha))


@of_surrogates
@pytest.mark.parametrize("neuron", [NEURONS["lif, learned"], NEURONS["cuba, learned by layers"]])
@of_resets
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_the_compiled_loops_are_torchs(
    spec: NetworkSpec, surrogate: SurrogateName, neuron: dict[str, Any], reset: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Single precision, as near to float64 as torch's own operations: spikes and all gradients."""
    network = shifted(Network(replace(spec, surrogate=surrogate, **neuron, **reset), 1))
    generator = torch.Generator().manual_seed(2)
    x = 4 * torch.rand(6, 3, math.prod(SHAPE), generator=generator)

    def run(network: Network, x: Tensor) -> list[Tensor]:
        spikes = network.spikes(x, k=4.0)
        loss = network.logits(spikes[-1]).square().sum()
        return [*spikes, *torch.autograd.grad(loss, list(network.parameters()))]

    ours = run(network, x)
    monkeypatch.setattr(lif_module, "_is_here", lambda _: False)
    torchs = run(network, x)
    exact = run(network.double(), x.double())
    for our, other, wanted in zip(ours, torchs, exact, strict=True):
        ours_off, torchs_off = (float((each - wanted).detach().abs().max()) for each in (our, other))
        assert ours_off <= max(4 * torchs_off, 3e-6 * (1 + float(wanted.detach().abs().max())))


def checkpoint_of(spec: NetworkSpec, seed: int = 1) -> Checkpoint:
    made = random_checkpoint(spec, seed, scale=8.0)
    network = shifted(load_network(made))
    return replace(made, state={key: value.numpy().copy() for key, value in network.state_dict().items()})


PROFILES = {
    "int8": load_profile("loihi-int8"), "int4": load_profile("loihi-int4"),
    "int8, to zero": changed("loihi-int8", ('"subtract"', '"zero"')),
}  # fmt: skip


@of_neurons
@of_resets
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_every_engine_is_the_reference(
    spec: NetworkSpec, neuron: dict[str, Any], reset: dict[str, Any]
) -> None:
    """On every membrane and spike, at two widths; and so is the network that fine-tuning trains."""
    checkpoint = checkpoint_of(replace(spec, **neuron, **reset))
    frames = tiny_set().test.frames[:5]
    for name, profile in PROFILES.items():
        if ("reset" in reset) != name.endswith("zero"):
            continue
        profile = profile.obeying(checkpoint.network.reset_order)
        program = compile_network(to_float_network(checkpoint), profile, "x").program
        expected = run_reference(program, frames, trace=True)
        assert expected.logits.any()
        for run in (run_vectorised, run_fast):
            found = run(program, frames, trace=True)
            assert found.traces is not None
            assert expected.traces is not None
            for ours, theirs in zip(found.traces, expected.traces, strict=True):
                assert np.array_equal(ours.membrane, theirs.membrane)
                assert np.array_equal(ours.spikes, theirs.spikes)
            assert np.array_equal(found.logits, expected.logits)
        assert_same_as_reference(checkpoint, profile)


@of_neurons
@of_resets
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
def test_the_network_that_the_compiler_reads_is_the_trained_one(
    spec: NetworkSpec, neuron: dict[str, Any], reset: dict[str, Any]
) -> None:
    """Its hard spikes, in double precision, up to the rounding of its float32 numbers."""
    checkpoint = checkpoint_of(replace(spec, **neuron, **reset))
    frames = tiny_set().test.frames[:5]
    network = load_network(checkpoint).double()
    x = torch.from_numpy(network_input(frames, CLIP)).double()
    record = run_float(to_float_network(checkpoint), frames, np.float64, trace=True)
    assert record.traces is not None
    for (u, s), trace in zip(network.states(x, hard=True), record.traces, strict=True):
        agree = s.flatten(2).numpy().swapaxes(0, 1) == trace.spikes
        assert agree.mean() > 0.995
        if agree.all():
            assert np.allclose(u.flatten(2).numpy().swapaxes(0, 1), trace.membrane, rtol=1e-5, atol=1e-5)


def test_what_of_a_neuron_becomes_which_integer() -> None:
    """v_decay 4096 (1 - alpha), u_decay 4096 (1 - kappa), one for each neuron where they are learned."""
    def layers_of(**neuron: Any) -> Any:
        network = to_float_network(checkpoint_of(replace(FC, **neuron)))
        return network, compile_network(network, PROFILES["int8"], "x").program.layers

    _, layers = layers_of(**NEURONS["if"])
    assert [layer.v_decay.tolist() for layer in layers[:2]] == [[0], [0]]
    network, layers = layers_of(**NEURONS["lapicque"])  # dt / (R C) = 0.75 / 2.5 and 0.75 / 1.875
    assert [layer.v_decay.tolist() for layer in layers[:2]] == [[1229], [1638]]
    plain = checkpoint_of(FC).state["layers.0.weight"]
    assert np.array_equal(network.layers[0].weight, plain * np.float32(0.6))
    _, layers = layers_of(**NEURONS["cuba"])
    assert [layer.u_decay.tolist() for layer in layers[:2]] == [[2048], [2867]]
    assert [layer.v_decay.tolist() for layer in layers[:2]] == [[1024], [1024]]
    network, layers = layers_of(**NEURONS["lif, learned"])
    shift = checkpoint_of(replace(FC, **NEURONS["lif, learned"])).state["logit_alpha_0"].astype(np.float64)
    alpha = 1 / (1 + np.exp(-(math.log(0.6 / 0.4) + shift)))
    assert np.array_equal(layers[0].v_decay, np.rint(4096 * (1 - alpha)))
    assert len(set(layers[0].v_decay.tolist())) > 6
    assert len(set((network.layers[0].threshold).tolist())) == 12


WRONG = {
    "a leak that does not leak": {"neuron": "if", "alpha": 0.9},
    "leaks that do not leak": {"neuron": "if", "alpha": (0.9, 0.8)},
    "a learned leak that does not leak": {"neuron": "if", "learn_alpha": "layer"},
    "a leak of an RC circuit": {"neuron": "lapicque", "alpha": 0.9},
    "a learned RC circuit": {"neuron": "lapicque", "learn_alpha": "neuron"},
    "steps longer than RC": {"neuron": "lapicque", "time_step": 2.1},
    "resistance of none": {"resistance": 2.0},
    "a filter of none": {"current_leak": 0.4},
    "a circuit with a filter": {"neuron": "cuba", "capacitance": 3.0},
    "a filter that keeps all": {"neuron": "cuba", "current_leak": 1.0},
    "a learned leak of 0": {"alpha": 0.0, "learn_alpha": "layer"},
    "an unknown surrogate": {"surrogate": "step"},
    "an unknown neuron": {"neuron": "izhikevich"},
    "three resistances": {"neuron": "lapicque", "resistance": (1.0, 2.0, 3.0)},
}  # fmt: skip


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG)
def test_what_does_not_go_together_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        replace(FC, **values)
    assert any(str(word) in str(caught.value) for word in values)


def test_every_kind_of_neuron_has_a_table_entry() -> None:
    assert tuple(FIXED) == get_args(Neuron)
    fields = set(NetworkSpec.__dataclass_fields__)
    assert all(set(fixed) <= fields for fixed in FIXED.values())


def test_older_networks_are_todays_defaults() -> None:
    old = {key: value for key, value in FC.to_dict().items() if key not in ADDED_LATER}
    assert NetworkSpec.from_dict(old) == FC
    assert {key: getattr(FC, key) for key in ADDED_LATER} == ADDED_LATER


@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
@of_neurons
def test_shapes_of_the_state_stand_in_the_parameters_order(spec: NetworkSpec, neuron: dict[str, Any]) -> None:
    spec = replace(spec, **neuron)
    network, shapes = Network(spec), state_shapes(spec)
    assert {name: tuple(each.shape) for name, each in network.state_dict().items()} == shapes
    learned = [name for name in shapes if not name.startswith("theta_")]
    assert learned == [name for name, _ in network.named_parameters()]


def test_thresholds_beyond_all_numbers_are_refused() -> None:
    made = checkpoint_of(replace(FC, learn_theta="neuron"))
    state = {**made.state, "log_theta_1": np.full(8, -200, np.float32)}
    with pytest.raises(CheckpointError, match="log_theta_1"):
        replace(made, state=state)


def test_learned_neurons_begin_where_the_spec_says() -> None:
    spec = replace(FC, alpha=0.5, theta=(0.75, 1.5), learn_alpha="neuron", learn_theta="layer")
    network = Network(spec)
    assert network.dynamics(1).alpha.tolist() == [0.5] * 8
    assert network.theta(1).tolist() == [1.5] * 8
    x = torch.rand(4, 2, math.prod(SHAPE))
    plain = Network(replace(spec, learn_alpha="none", learn_theta="none"))
    assert torch.equal(network(x), plain(x))


def test_a_constant_current_through_the_filter() -> None:
    """c_t = 1 + kappa + ... + kappa^t; backwards, an input's weight is what it will still give."""
    arriving = torch.ones(4, 1, 1, dtype=torch.float64, requires_grad=True)
    c = filtered(arriving, 0.5)
    assert c.flatten().tolist() == [1.0, 1.5, 1.75, 1.875]
    (gradient,) = torch.autograd.grad(c.sum(), arriving)
    assert gradient.flatten().tolist() == [1.875, 1.75, 1.5, 1.0]


def test_a_single_leak_as_a_tensor_is_the_number() -> None:
    current = torch.rand(5, 2, 7, generator=torch.Generator().manual_seed(1))
    theta = torch.full((7,), 0.8)
    for reset, order in itertools.product(("subtract", "zero"), ("after-leak", "before-leak")):
        one, each = (Dynamics(alpha, reset, order) for alpha in (0.5, torch.full((7,), 0.5)))  # type: ignore
        assert torch.equal(lif_states(current, theta, one, 9.0)[0], lif_states(current, theta, each, 9.0)[0])


TRAINED = {
    "cuba, fast-sigmoid": (
        FC, {**NEURONS["cuba, learned by layers"], "surrogate": "fast-sigmoid", "k": 10.0},
    ),
    "lapicque, triangular": (CONV, {**NEURONS["lapicque"], "surrogate": "triangular", "k": 2.0}),
    "learned, to zero": (
        FC, {**NEURONS["lif, learned"], "reset": "zero", "surrogate": "sigmoid"},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "values"), TRAINED.values(), ids=TRAINED)
def test_training_pruning_resuming_and_fine_tuning(
    spec: NetworkSpec, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is learned moves; resumed is uninterrupted; fine-tuning leaves neurons alone."""
    plan = PAPER.replace(
        epochs=3, lr=0.02, batch=16, rho=0.05, ema=0.5, prune=0.0 if spec.kind == "conv" else 0.25
    )
    spec = replace(spec, **values)
    whole = train(spec, plan, tiny_set(), tmp_path / "whole" / "ckpt.pt").checkpoint
    for name, value in whole.state.items():
        if name.startswith(("log_theta", "logit_alpha")):
            assert (value != 0).all(), name
    original = Trainer.epoch

    def interrupted(self: Trainer, index: int, advance: Any) -> Any:
        if index == 2:
            raise KeyboardInterrupt
        return original(self, index, advance)

    for kind in ("trained", "tuned"):
        def run(out: Path, resume: bool = False, kind: str = kind) -> Checkpoint:
            if kind == "trained":
                return train(spec, plan, tiny_set(), out, resume=resume).checkpoint
            recipe = FINETUNE.recipe(plan).replace(epochs=3)
            return finetune(whole, PROFILES["int4"], tiny_set(), recipe, out, resume=resume).checkpoint

        expected = run(tmp_path / kind / "ckpt.pt")
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "epoch", interrupted)
            with pytest.raises(TrainingInterruptedError):
                run(tmp_path / f"{kind}-parts" / "ckpt.pt")
        found = run(tmp_path / f"{kind}-parts" / "ckpt.pt", resume=True)
        assert found.network.neuron == spec.neuron
        assert all(np.array_equal(found.state[name], value) for name, value in expected.state.items())
        loaded = load_checkpoint(tmp_path / kind / "ckpt.pt")
        assert loaded.network == expected.network
        if kind == "tuned":
            fixed = [name for name in whole.state if name.startswith(("log", "theta"))]
            assert all(np.array_equal(found.state[name], whole.state[name]) for name in fixed)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["lapicque", "cuba", "lif, learned"])
@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
def test_calibration_takes_every_kind(neuron: str, reset: dict[str, Any]) -> None:
    """And the calibrated program is one that the fast engine computes as the reference does."""
    data = tiny_set()
    net = api.compile(checkpoint_of(replace(FC, **NEURONS[neuron], **reset)), "loihi-int4", calibrate=data)
    frames = data.test.frames[:5]
    assert np.array_equal(run_fast(net.program, frames).logits, run_reference(net.program, frames).logits)


ON_LAVA = [
    (FC, "lapicque", "after the leak"), (CONV, "cuba", "before the leak"), (FC, "if", "to zero"),
    (CONV, "lif, learned", "to zero"), (FC, "cuba, learned by layers", "before the leak"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "neuron", "reset"), ON_LAVA)
def test_lava_is_the_reference(spec: NetworkSpec, neuron: str, reset: str) -> None:
    checkpoint = checkpoint_of(replace(spec, **NEURONS[neuron], **RESETS[reset]))
    profile = PROFILES["int8, to zero" if reset == "to zero" else "int8"]
    program = compile_network(to_float_network(checkpoint), profile, "x").program
    frames = tiny_set().test.frames[:4]
    expected, found = run_reference(program, frames, trace=True), run_lava(program, frames, trace=True)
    assert np.array_equal(found.logits, expected.logits)
    assert found.traces is not None
    assert expected.traces is not None
    for ours, theirs in zip(found.traces, expected.traces, strict=True):
        assert np.array_equal(ours.membrane, theirs.membrane)
