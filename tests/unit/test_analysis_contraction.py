"""The proxy, the state bound and the Lipschitz bound, each derived a second time in NumPy."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.studies.analysis import pairs
from sast_deploy.studies.analysis.contraction import ROUNDING, _carry, contraction, state_bounds
from sast_deploy.studies.analysis.lipschitz import (
    LayerBound,
    LipschitzBound,
    lipschitz_bound,
    operator_norm,
    steepest_carry,
    time_gain,
)
from sast_deploy.studies.analysis.pairs import check_pairs
from sast_deploy.studies.analysis.results import plain
from sast_deploy.studies.analysis.stream import open_stream
from sast_deploy.training.checkpoint import Checkpoint, load_network
from sast_deploy.training.kernels.membranes import Dynamics, ResetOrder, SurrogateName
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.network.surrogates import ARCTAN, SURROGATES
from tests.tinydata import tiny_set
from tests.tinynets import CONV, FC, random_checkpoint, states_by_numpy

pytestmark = pytest.mark.usefixtures("one_thread")

ZERO = dataclasses.replace(FC, reset="zero")
BEFORE = dataclasses.replace(FC, alpha=0.7, reset_order="before-leak")
LAYERS = dataclasses.replace(FC, alpha=(0.9, 0.2), theta=(0.5, 2.0), reset_order="before-leak")
OTHERS = {
    "cuba, fast-sigmoid": dataclasses.replace(FC, neuron="cuba", current_leak=0.4, surrogate="fast-sigmoid"),
    "lapicque, to zero, triangular": dataclasses.replace(
        FC, neuron="lapicque", capacitance=(1.25, 4.0), resistance=2.0, reset="zero", k=8.0,
        surrogate="triangular",
    ),
    "if, sigmoid": dataclasses.replace(FC, neuron="if", surrogate="sigmoid"),
    "learned, spike-rate-escape": dataclasses.replace(
        FC, learn_alpha="neuron", learn_theta="neuron", surrogate="spike-rate-escape",
        reset_order="before-leak",
    ),
    "conv, cuba, to zero": dataclasses.replace(CONV, neuron="cuba", reset="zero", learn_theta="layer"),
}  # fmt: skip
SPECS = {"subtract": FC, "zero": ZERO, "before": BEFORE, "layers": LAYERS, "conv": CONV, **OTHERS}
ORDERS: tuple[ResetOrder, ...] = ("after-leak", "before-leak")


def slope(x: np.ndarray, k: float = 25.0) -> np.ndarray:
    return k / np.pi / (1 + (k * x) ** 2)


@pytest.mark.parametrize("spec", [FC, ZERO, BEFORE], ids=["subtract", "zero", "before"])
def test_every_visited_state_counts(spec: NetworkSpec) -> None:
    checkpoint, test = random_checkpoint(spec), tiny_set().test
    result = contraction(open_stream(checkpoint, test, device="cpu"))
    above = states = 0
    for layer, u in zip(result.layers, states_by_numpy(checkpoint, test.frames, hard=False), strict=True):
        m, s = slope(u - 1), 0.5 + np.arctan(25 * (u - 1)) / np.pi
        carry, gamma = 0.5 - m, 0.5 + m
        if spec == ZERO:
            carry, gamma = 0.5 * (1 - s - u * m), 0.5 * (1 - s + np.abs(u) * m)
        elif spec == BEFORE:
            carry, gamma = 0.7 * (1 - m), 0.7 * (1 + m)
        assert layer.states == u.size
        assert layer.gamma == pytest.approx(gamma.max(), rel=1e-4)
        assert layer.carry == pytest.approx(np.abs(carry).max(), rel=1e-4)
        assert layer.above_one == pytest.approx((gamma > 1).mean(), abs=2 / u.size)
        assert layer.log_carry == pytest.approx(np.log(np.abs(carry)).mean(), abs=1e-3)
        found = np.quantile(gamma, (0.5, 0.9, 0.99, 0.999), method="inverted_cdf")
        assert layer.quantiles == pytest.approx(found, rel=3e-3)
        assert (layer.lowest, layer.highest) == pytest.approx((u.min(), u.max()), abs=1e-4)
        above, states = above + layer.above_one * u.size, states + u.size
    assert result.above_one == pytest.approx(above / states)
    assert result.gamma == pytest.approx(max(layer.gamma for layer in result.layers))  # thetas are alike
    assert result.state_bound_holds
    assert json.loads(json.dumps(plain(result)))["layers"][0]["states"] == result.layers[0].states


def with_array(checkpoint: Checkpoint, **arrays: np.ndarray) -> Checkpoint:
    changed = {name.replace("__", "."): value for name, value in arrays.items()}
    return dataclasses.replace(checkpoint, state={**checkpoint.state, **changed})


def test_gamma_hat_takes_its_two_maxima_apart() -> None:
    checkpoint = with_array(random_checkpoint(), theta_1=np.full(8, 2.0, np.float32))
    layers = contraction(open_stream(checkpoint, tiny_set().test, device="cpu")).layers
    result = contraction(open_stream(checkpoint, tiny_set().test, device="cpu"))
    steepest = max((layers[0].gamma - 0.5) / 1.0, (layers[1].gamma - 0.5) / 2.0)
    assert result.gamma == pytest.approx(0.5 + 2.0 * steepest, rel=1e-6)


def test_every_layer_has_its_own_leak_and_threshold() -> None:
    """gamma = alpha (1 + theta sigma'), layer by layer; the proxy takes the largest of each factor."""
    checkpoint, frames = random_checkpoint(LAYERS), tiny_set().test.frames
    result = contraction(open_stream(checkpoint, tiny_set().test, device="cpu"))
    factors, slopes = [(0.9, 0.5), (0.2, 2.0)], []
    for (alpha, theta), layer, u in zip(
        factors, result.layers, states_by_numpy(checkpoint, frames, hard=False), strict=True
    ):
        slopes.append(slope(u - theta).max())
        assert layer.gamma == pytest.approx(alpha * (1 + theta * slopes[-1]), rel=1e-4)
    assert result.gamma == pytest.approx(0.9 + 0.9 * 0.5 * max(slopes), rel=1e-4)
    bounds = lipschitz_bound(load_network(checkpoint), 4).layers
    steepest = [max(alpha, alpha * theta * 25 / math.pi - alpha) for alpha, theta in factors]
    assert [bound.gamma for bound in bounds] == pytest.approx(steepest)


def test_gamma_exceeds_one_exactly_within_0_1545_of_threshold() -> None:
    edge = math.sqrt(25 / (math.pi * 0.5) - 1) / 25
    assert edge == pytest.approx(0.1545, abs=5e-5)
    checkpoint = random_checkpoint()
    result = contraction(open_stream(checkpoint, tiny_set().test, device="cpu"))
    for layer, u in zip(
        result.layers, states_by_numpy(checkpoint, tiny_set().test.frames, False), strict=True
    ):
        assert layer.above_one == pytest.approx((np.abs(u - 1) < edge).mean(), abs=2 / u.size)


@pytest.mark.parametrize("spec", [FC, ZERO, BEFORE], ids=["subtract", "zero", "before"])
def test_the_state_bound_is_interval_arithmetic(spec: NetworkSpec) -> None:
    bias = random_checkpoint().state["layers.0.bias"] + np.repeat(np.float32([0, 40, -40]), 4)
    checkpoint = with_array(random_checkpoint(spec), layers__0__bias=bias)
    weight = checkpoint.state["layers.0.weight"]
    least, most = np.minimum(weight, 0).sum(1) + bias, np.maximum(weight, 0).sum(1) + bias
    low, high = state_bounds(load_network(checkpoint), 3)[0]
    if spec.reset == "zero":
        expected = [least, 0.5 * np.minimum(least, 0) + least], [most, 0.5 * np.maximum(most, 0) + most]
    elif spec.reset_order == "before-leak":
        expected = [least, 0.7 * (least - 1) + least], [most, 1.7 * most]
    else:
        expected = [least, 1.5 * least - 1], [most, 1.5 * most]
    assert low[:2, 0].numpy() == pytest.approx(np.stack(expected[0]), abs=1e-4)
    assert high[:2, 0].numpy() == pytest.approx(np.stack(expected[1]), abs=1e-4)
    assert low.shape == (3, 1, 12)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_extreme_input_reaches_the_state_bound_and_a_larger_one_breaks_it(spec: NetworkSpec) -> None:
    checkpoint = random_checkpoint(spec)
    state = checkpoint.state.items()  # with positive weights the brightest input is the extreme
    positive = {n: v if n.startswith("log") else np.abs(v) for n, v in state}
    bright = dataclasses.replace(checkpoint, state=positive)
    test = tiny_set().test
    full = dataclasses.replace(test, frames=np.full_like(test.frames, 4))
    assert contraction(open_stream(checkpoint, full, device="cpu")).state_bound_holds
    first = contraction(open_stream(bright, full, device="cpu")).layers[0]
    assert first.reach <= 1 + ROUNDING
    outside = dataclasses.replace(test, frames=np.full_like(test.frames, 40))  # 10 where 1 is the most
    assert not contraction(open_stream(bright, outside, device="cpu")).state_bound_holds


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 7.5])
def test_the_gain_over_two_steps_in_closed_form(gamma: float) -> None:
    assert time_gain(gamma, 1) == 1.0
    assert time_gain(gamma, 2) == pytest.approx((gamma + math.sqrt(gamma**2 + 4)) / 2)


def test_a_contraction_bounds_the_gain_for_every_length() -> None:
    gains = [time_gain(0.8, steps) for steps in (2, 10, 50, 200)]
    assert gains == sorted(gains)
    assert 4.9 < gains[-1] < 1 / (1 - 0.8)


@pytest.mark.parametrize(
    ("alpha", "theta", "k"), [(0.5, 1.0, 25.0), (0.9, 0.5, 2.0), (0.5, 3.0, 1.0), (0.0, 1, 5.0)]
)
def test_no_state_is_steeper_than_the_steepest(alpha: float, theta: float, k: float) -> None:
    u = np.linspace(-50, 50, 2_000_001)
    m, s = slope(u - theta, k), 0.5 + np.arctan(k * (u - theta)) / np.pi
    after, before = (steepest_carry(Dynamics(alpha, order=order), theta, k) for order in ORDERS)
    assert after == pytest.approx(np.abs(alpha - theta * m).max(), abs=1e-3)
    assert before == pytest.approx(np.abs(alpha * (1 - theta * m)).max(), abs=1e-3)
    found = np.abs(alpha * (1 - s - u * m)).max()
    assert found <= steepest_carry(Dynamics(alpha, "zero"), theta, k) <= 1.3 * found + 1e-12


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize(("theta", "k"), [(1.0, 25.0), (0.5, 2.0), (3.0, 0.3)])
def test_no_state_of_any_surrogate_is_steeper(name: SurrogateName, theta: float, k: float) -> None:
    """Of neurons with leaks and thresholds of their own the steepest counts."""
    alpha, thetas = torch.tensor([0.9, 0.3]), torch.tensor([theta, 4 * theta])
    u = torch.linspace(-50, 50, 2_000_001, dtype=torch.float64)
    found: dict[str, float] = dict.fromkeys((*ORDERS, "zero"), 0.0)
    for a, th in zip(alpha.double().tolist(), thetas.double().tolist(), strict=True):
        m, s = SURROGATES[name].slope(u - th, k), SURROGATES[name].spike(u - th, k)
        carries = {"after-leak": a - th * m, "before-leak": a * (1 - th * m), "zero": a * (1 - s - u * m)}
        found = {key: max(found[key], float(carries[key].abs().max())) for key in found}
    for order in ORDERS:
        bound = steepest_carry(Dynamics(alpha, order=order, surrogate=name), thetas, k)
        assert bound == pytest.approx(found[order], rel=2e-3)
        assert bound >= found[order] - 1e-9
    to_zero = steepest_carry(Dynamics(alpha, "zero", surrogate=name), thetas, k)
    assert found["zero"] <= to_zero <= 1.6 * found["zero"]


@pytest.mark.parametrize("order", ORDERS)
def test_carry_and_secant_are_the_networks_own_derivative(order: ResetOrder) -> None:
    """d u_2 / d u_1 by autograd, through one neuron's own recursion; its largest is `steepest_carry`'s."""
    dynamics, theta, k = Dynamics(0.8, order=order), torch.tensor(0.9, dtype=torch.float64), 3.0
    u = torch.linspace(-3, 3, 6001, dtype=torch.float64, requires_grad=True)
    s = ARCTAN.spike(u - theta, k)
    after = 0.8 * u - theta * s if order == "after-leak" else 0.8 * (u - theta * s)
    (derivative,) = torch.autograd.grad(after.sum(), u)
    carry, gamma = _carry(dynamics, theta, u.detach(), s.detach(), ARCTAN.slope(u.detach() - theta, k))
    torch.testing.assert_close(carry, derivative.abs())
    assert bool((carry <= gamma).all())
    assert steepest_carry(dynamics, 0.9, k) == pytest.approx(float(carry.max()), rel=1e-2)


def test_a_convolutions_norm_is_that_of_its_matrix() -> None:
    network = load_network(random_checkpoint(CONV))
    for module, shape in zip(network.layers, ((2, 6, 6), (5, 3, 3)), strict=True):
        identity = torch.eye(math.prod(shape)).reshape(-1, *shape)
        matrix = torch.nn.functional.conv2d(identity, module.weight, None, module.stride, module.padding)
        exact = float(torch.linalg.matrix_norm(matrix.detach().flatten(1), 2))
        assert exact <= operator_norm(module, torch.Size(shape)) <= 1.0101 * exact


@pytest.mark.parametrize(("spec", "places"), [(FC, 1), (CONV, 9)], ids=["fc", "conv"])
def test_the_bound_is_the_product_of_its_factors(spec: NetworkSpec, places: int) -> None:
    network = load_network(random_checkpoint(spec))
    bound = lipschitz_bound(network, 4)
    gamma = 25 / math.pi - 0.5
    gain = np.linalg.norm([[gamma ** (i - j) if i >= j else 0 for j in range(4)] for i in range(4)], 2)
    norms = [
        operator_norm(m, torch.Size((2, 6, 6) if i == 0 else (5, 3, 3))) for i, m in enumerate(network.layers)
    ]
    readout = np.linalg.norm(network.readout.weight.detach().numpy(), 2)
    expected = readout / math.sqrt(4 * places) * math.prod(25 / math.pi * gain * norm for norm in norms)
    assert bound.constant == pytest.approx(expected)
    assert json.loads(json.dumps(plain(bound)))["layers"][1]["gamma"] == pytest.approx(gamma)


@pytest.mark.parametrize(("neuron", "factor"), [
    ({"neuron": "lapicque", "capacitance": 1.25, "resistance": 1.6}, 0.8),
    ({"neuron": "cuba", "current_leak": 0.4}, time_gain(0.4, 4)),
])  # fmt: skip
def test_gains_and_filters_of_currents_are_in_the_bound(neuron: dict[str, Any], factor: float) -> None:
    """Of neurons whose own leak is 1/2, as the plain ones' is."""
    weights = random_checkpoint(FC)
    spec = dataclasses.replace(FC, **neuron)
    plain_one = lipschitz_bound(load_network(weights), 4)
    other = lipschitz_bound(load_network(dataclasses.replace(weights, network=spec)), 4)
    assert other.constant == pytest.approx(plain_one.constant * factor**2)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_no_pair_violates_the_bound(spec: NetworkSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "ASCENT", 8 if spec.kind == "conv" else 50)
    result = check_pairs(open_stream(random_checkpoint(spec), tiny_set().test, device="cpu"))
    assert result.holds
    assert 0 < result.worst < result.bound.constant
    assert result.worst == result.adversarial
    assert 0 < max(result.layer_use) < max(result.secant_use) < 1
    assert json.loads(json.dumps(plain(result)))["holds"]


def test_soft_neurons_use_much_of_the_bound() -> None:
    """Linear-like neurons of one step: ||D s|| / ||D x|| comes close to sigma'(0) ||A||, so a bound that is
    too small by a third would be seen."""
    spec = NetworkSpec("fc", (2, 6, 6), (4,), 3, alpha=0.0, k=0.1)
    checkpoint = random_checkpoint(spec)
    one = dataclasses.replace(tiny_set().test, frames=tiny_set().test.frames[:, :1])
    frames = dataclasses.replace(checkpoint.frames, steps=1)
    result = check_pairs(open_stream(dataclasses.replace(checkpoint, frames=frames), one, device="cpu"))
    assert result.holds
    assert result.layer_use[0] > 0.7
    assert result.secant_use[0] > 0.7
    assert result.worst > 0.7 * result.bound.constant


@pytest.mark.slow
def test_the_search_climbs_to_the_largest_singular_value() -> None:
    network = load_network(random_checkpoint()).double()
    x = torch.from_numpy(tiny_set().test.frames[:8].reshape(8, 4, 72).swapaxes(0, 1) / 4.0)
    jacobians = torch.autograd.functional.jacobian(lambda x: network(x), x)
    largest = max(
        float(torch.linalg.matrix_norm(jacobians[i, :, :, i].flatten(1), 2)) for i in range(8)
    )  # of the sample itself
    result = check_pairs(
        open_stream(random_checkpoint(), tiny_set().test, indices=np.arange(8), device="cpu")
    )
    assert result.samples == 8
    assert result.adversarial > largest > result.disturbed


@pytest.mark.slow
def test_a_violation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true = lipschitz_bound(load_network(random_checkpoint()), 4)
    layers = (dataclasses.replace(true.layers[0], norm=1e-6), true.layers[1])
    wrong = dataclasses.replace(true, layers=layers)
    monkeypatch.setattr(pairs, "lipschitz_bound", lambda *_: wrong)
    result = check_pairs(open_stream(random_checkpoint(), tiny_set().test, device="cpu"))
    assert not result.holds
    assert result.secant_use[0] > 1 > result.secant_use[1]
    small = LipschitzBound((LayerBound(1.0, 1.0, 1.0, 1e-3),) * 2, 1.0, 1e-9)
    assert not dataclasses.replace(result, bound=small, secant_use=(0.1, 0.1)).holds
    assert not dataclasses.replace(result, bound=true, layer_use=(2.0, 0.1), secant_use=(0.1, 0.1)).holds


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1])
def test_a_layer_without_weights_passes_nothing_on_and_violates_nothing(layer: int) -> None:
    checkpoint = random_checkpoint()
    state = dict(checkpoint.state)
    state[f"layers.{layer}.weight"] = np.zeros_like(state[f"layers.{layer}.weight"])
    result = check_pairs(
        open_stream(dataclasses.replace(checkpoint, state=state), tiny_set().train, device="cpu")
    )
    assert result.holds
    json.dumps(plain(result), allow_nan=False)
