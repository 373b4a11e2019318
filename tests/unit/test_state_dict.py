"""Networks of other people's torch: from named tensors and a description, or from modules that say it all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sast_deploy as sast
from sast_deploy.base.errors import CheckpointError
from sast_deploy.compiler.floatrun import run_float
from tests.tinydata import tiny_set

STEPS = 6


class Leaky(nn.Module):
    """snnTorch's, without snnTorch: its attributes, and its step in words of our own."""

    def __init__(self, beta: Any, threshold: Any = 1.0, reset_mechanism: str = "subtract") -> None:
        super().__init__()
        self.register_buffer("beta", torch.as_tensor(beta))
        self.register_buffer("threshold", torch.as_tensor(threshold))
        self.reset_mechanism, self.reset_delay = reset_mechanism, True
        self.mem: Any = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        reset = (torch.as_tensor(self.mem) > self.threshold).float()
        if self.reset_mechanism == "subtract":
            self.mem = self.beta * self.mem + x - reset * self.threshold
        elif self.reset_mechanism == "zero":
            self.mem = self.beta * self.mem * (1 - reset) + x
        else:
            self.mem = self.beta * self.mem + x
            return self.mem
        return (self.mem > self.threshold).float()


class LIFNode(nn.Module):
    """SpikingJelly's, without SpikingJelly."""

    def __init__(self, tau: float, decay_input: bool, v_threshold: float = 1.0, v_reset: Any = 0.0) -> None:
        super().__init__()
        self.tau, self.decay_input, self.v_threshold, self.v_reset = tau, decay_input, v_threshold, v_reset
        self.v: Any = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.v = self.v + ((x - self.v) / self.tau if self.decay_input else x - self.v / self.tau)
        spike = (self.v >= self.v_threshold).float()
        self.v = self.v - spike * self.v_threshold if self.v_reset is None else self.v * (1 - spike)
        return spike


class LIFBoxCell(nn.Module):
    """Norse's, without Norse."""

    def __init__(self, share: float, reset: str) -> None:
        super().__init__()
        self.dt = 0.001

        def method() -> None: ...

        method.__name__ = reset
        self.p = SimpleNamespace(
            tau_mem_inv=torch.tensor(share / self.dt), v_th=torch.tensor(0.5), v_leak=torch.tensor(0.0),
            v_reset=torch.tensor(0.0), reset_method=method,
        )  # fmt: skip
        self.v: Any = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.v = self.v + self.dt * self.p.tau_mem_inv * (x - self.v)
        spike = (self.v > self.p.v_th).float()
        subtract = self.p.reset_method.__name__ == "reset_subtract"
        self.v = self.v - spike * self.p.v_th if subtract else self.v * (1 - spike)
        return spike


def coarse(module: nn.Module, seed: int = 0) -> nn.Module:
    """With weights and biases that are multiples of 1/16, and statistics of some batches."""
    generator = torch.Generator().manual_seed(seed)
    for each in module.modules():
        if isinstance(each, nn.Linear | nn.Conv2d):
            for value in each.parameters():
                drawn = torch.randint(-12, 17, value.shape, generator=generator)
                value.data = drawn.to(value) / 16
        elif isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            each.running_mean = torch.rand(each.num_features, generator=generator) - 0.5
            each.running_var = torch.rand(each.num_features, generator=generator) + 0.5
            if each.affine:
                each.weight.data = torch.rand(each.num_features, generator=generator) + 0.5
                each.bias.data = torch.rand(each.num_features, generator=generator) - 0.5
    return module.eval()


NEURONS = {
    "snntorch, subtract": lambda: Leaky([0.75, 0.5, 0.25], [1.0, 0.75, 0.5]),
    "snntorch, zero": lambda: Leaky(0.75, 1.25, "zero"),
    "spikingjelly, zero": lambda: LIFNode(4.0, True),
    "spikingjelly, subtract": lambda: LIFNode(2.0, False, 1.5, None),
    "norse, zero": lambda: LIFBoxCell(0.25, "reset_value"),
    "norse, subtract": lambda: LIFBoxCell(0.25, "reset_subtract"),
}


@pytest.mark.parametrize("name", NEURONS)
def test_modules_become_what_they_compute(name: str) -> None:
    """Logits of the module, step by step in torch, are those of the imported network: every spike counts."""
    net = coarse(nn.Sequential(
        nn.Flatten(), nn.Linear(8, 3), nn.BatchNorm1d(3), NEURONS[name](), nn.Dropout(0.5), nn.Linear(3, 4)
    ))  # fmt: skip
    frames = np.random.default_rng(1).integers(0, 3, (5, STEPS, 2, 2, 2))
    made = sast.from_module(net, input=(2, 2, 2), steps=STEPS, clip=2, decoding="mean")
    with torch.no_grad():
        outputs = [net(torch.tensor(frames[:, t] / 2, dtype=torch.float32)) for t in range(STEPS)]
    found = run_float(made.network, frames)
    assert np.ptp(found.counts[0]) > 0
    np.testing.assert_allclose(found.logits, torch.stack(outputs).mean(0), rtol=1e-5, atol=1e-6)
    assert [note.partition(" ")[0] for note in made.notes] == ["layers[0]:", "4:"]


def test_modules_that_stand_there_twice_are_taken_twice_or_refused() -> None:
    pool, neurons = nn.AvgPool2d(2), Leaky(0.5, 0.75)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), Leaky(0.5, 0.75), pool, nn.Conv2d(4, 4, 3, padding=1),
        Leaky(0.5, 0.75), pool, nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip
    made = sast.from_module(net, input=(2, 4, 4), steps=STEPS, decoding="mean")
    kinds = [type(layer).__name__ for layer in made.network.layers]
    assert kinds == ["FloatConv2d", "FloatPool", "FloatConv2d", "FloatPool", "FloatReadout"]
    twice = nn.Sequential(nn.Linear(4, 3), neurons, nn.Linear(3, 2), neurons)
    with pytest.raises(CheckpointError, match="3: Leaky: is 1 once more, which shares its state"):
        sast.from_module(twice, input=4, steps=STEPS)


def test_a_convolution_with_pools_and_a_leaky_readout() -> None:
    net = coarse(nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False), nn.BatchNorm2d(4, affine=False),
        Leaky(0.5, 0.75), nn.AvgPool2d(2), nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
        Leaky(0.5, 1.0, "none"),
    ))  # fmt: skip
    frames = np.random.default_rng(2).integers(0, 2, (4, STEPS, 2, 4, 4))
    for decoding in ("last", "max", "mean"):
        for each in net.modules():
            if isinstance(each, Leaky):
                each.mem = 0.0
        made = sast.from_module(net, input=(2, 4, 4), steps=STEPS, decoding=decoding)
        with torch.no_grad():
            seen = torch.stack([net(torch.tensor(frames[:, t]).float()) for t in range(STEPS)])
        wanted = {"last": seen[-1], "max": seen.max(0).values, "mean": seen.mean(0)}[decoding]
        np.testing.assert_allclose(run_float(made.network, frames).logits, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.Sequential(nn.Linear(4, 2), nn.ReLU()), "1: ReLU: what it computes is not known"),
        (nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 2)), "1: Linear: no neurons after 0"),
        (nn.Sequential(Leaky(0.5)), "0: Leaky: follows no layer of weights"),
        (nn.Sequential(nn.Linear(4, 2), Leaky(0.5), nn.Linear(2, 2)), "2: the outputs of its last layer"),
        (nn.Sequential(nn.Linear(4, 2)), "0: the outputs of its last layer"),
        (nn.Sequential(nn.Linear(4, 2), LIFNode(2.0, True, 1.0, -1.0)), "v_reset = -1.0; expected 0 or None"),
        (
            nn.Sequential(nn.Linear(4, 2), Leaky(0.5), nn.Linear(2, 2), LIFNode(2.0, True)),
            "neurons with different rules: 1: subtract, after-leak, >; 3: zero, >=",
        ),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding="same"), Leaky(0.5)), "padding 'same'"),
        (nn.Sequential(nn.Linear(4, 2), Leaky(0.5), nn.AvgPool2d(3, 2)), "expected stride = kernel"),
        (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)), "0: BatchNorm1d: follows no layer"),
        (
            nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, track_running_stats=False), Leaky(0.5)),
            "no running statistics",
        ),
        (nn.Linear(4, 2), "outputs of its last layer"),
        (nn.TransformerEncoderLayer(4, 2), "what it computes is not known"),
    ],
)  # fmt: skip
def test_modules_that_leave_something_open_are_refused_by_name(module: nn.Module, says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        sast.from_module(module, input=4, steps=3)
    assert "\n" not in str(caught.value)


def told(**more: Any) -> dict[str, Any]:
    layers = [
        {"kind": "dense", "weight": "a.weight", "bias": "a.bias", "threshold": "theta"},
        {"kind": "readout", "weight": "b.weight"},
    ]
    plain = {"input": 8, "steps": STEPS, "alpha": 0.75, "reset": "subtract", "reset_order": "before-leak"}
    return {**plain, "layers": layers, **more}


def state(**more: Any) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    plain = {"a.weight": draw.normal(size=(5, 8)), "a.bias": draw.normal(size=5), "theta": np.ones((5, 1)),
             "b.weight": draw.normal(size=(3, 5))}  # fmt: skip
    return {**plain, **more}


def test_tensors_mean_what_the_description_says() -> None:
    draw = np.random.default_rng(1)
    more = {"r.weight": draw.normal(size=(5, 5)), "r.bias": np.full(5, 0.25), "tau": np.full(5, 2.0),
            "raw": np.array([-1.0, 0, 1, 2, 3])}  # fmt: skip
    layer = {
        "kind": "dense", "weight": "a.weight", "bias": ["a.bias", "r.bias"], "recurrent": "r.weight",
        "leak": {"tensor": "raw", "through": "sigmoid"}, "threshold": 0.5,
        "current_leak": {"tensor": "tau", "through": "1-1/x"},
        "delay": [0, 1, 2, 3, 0, 1, 2, 3], "gain": 2.0,
    }  # fmt: skip
    network = sast.from_state_dict(
        state(**more), told(layers=[layer, told()["layers"][1]], ignore=["theta"])
    ).network
    first = network.layers[0]
    assert isinstance(first, sast.FloatDense)
    np.testing.assert_allclose(first.weight, 2 * state()["a.weight"], rtol=1e-6)
    np.testing.assert_allclose(first.bias, 2 * (state()["a.bias"] + 0.25), rtol=1e-6)
    assert first.leak is not None
    assert first.current_leak is not None
    np.testing.assert_allclose(first.leak, 1 / (1 + np.exp(-more["raw"])), rtol=1e-6)
    assert first.current_leak.tolist() == [0.5] * 5
    assert first.threshold.tolist() == [0.5] * 5
    assert first.delay.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert first.recurrent is not None
    assert (network.reset, network.reset_order, network.alpha) == ("subtract", "before-leak", 0.75)


@pytest.mark.parametrize(
    ("tensors", "description", "says"),
    [
        ({}, {"layers": []}, r"layers = \[\]; expected a list of 1 to"),
        ({}, {"layers": [{"kind": "lstm"}]}, r"layers\[0\].kind = 'lstm'; expected one of dense, conv"),
        ({}, {"layers": [{"kind": "dense", "wieght": "a"}]}, "unknown key .*wieght; expected .*weight"),
        ({}, {"resett": "zero"}, "unknown key resett"),
        ({}, {"steps": 0}, "steps = 0; expected an integer from 1"),
        ({"c.weight": np.eye(2)}, {}, "tensors of the state that no layer uses: c.weight; expected all"),
        ({"theta": [np.nan] * 5}, {}, "theta with 5 values NaN or infinite; expected finite numbers"),
        ({"theta": np.ones(4)}, {}, r"FloatDense.threshold = shape \(4,\); expected .*\(5\)"),
        ({"theta": -np.ones(5)}, {}, "FloatDense.threshold = -1 at .*above 0"),
        ({"a.weight": np.ones(5)}, {}, r"a.weight of shape \(5,\); expected 2 axes"),
        ({"a.weight": np.ones((5, 7))}, {}, r"layer 0: weight \(5, 7\) after \(8, 1, 1\)"),
        ({"a.bias": np.ones(2)}, {}, r"bias of shape \(2,\); expected \(5,\)"),
        ({"a.bias": np.array(["x"])}, {}, "a.bias, <U1 .*; expected a tensor of numbers"),
        ({}, {"input": None}, "input = None; expected"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(tensors: Any, description: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        sast.from_state_dict(state(**tensors), told(**description))
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_named_at_once() -> None:
    tensors = {key: value for key, value in state().items() if key != "theta"} | {"b.weight": [[np.inf] * 5]}
    description = told()
    del description["reset_order"], description["steps"]
    with pytest.raises(CheckpointError) as caught:
        sast.from_state_dict(tensors, description)
    for part in ("threshold = 'theta'", "b.weight with 5 values", "missing key steps", "reset_order"):
        assert part in str(caught.value)


def test_a_file_that_torch_saved_is_read_and_nothing_in_it_run(tmp_path: Path) -> None:
    net = coarse(nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)))
    layers = [
        {"kind": "dense", "weight": "0.weight", "bias": "0.bias", "norm": "1"},
        {"kind": "readout", "weight": "2.weight"},
    ]
    torch.save(net.state_dict(), tmp_path / "plain.pt")
    torch.save({"epoch": 3, "model": net.state_dict()}, tmp_path / "inside.pt")
    torch.save(dict(net.named_parameters()), tmp_path / "parameters.pt")
    wanted = sast.from_state_dict(net.state_dict(), told(layers=layers))
    found = sast.from_state_dict(tmp_path / "plain.pt", told(layers=layers))
    inside = sast.from_state_dict(tmp_path / "inside.pt", told(layers=layers, state="model"))
    for each in (found, inside):
        for one, other in zip(each.network.layers, wanted.network.layers, strict=True):
            np.testing.assert_array_equal(one.weight, other.weight)  # type: ignore[union-attr]
    assert found.name == "plain"
    assert len(found.source["digest"]) == 64
    with pytest.raises(CheckpointError, match=r'holds no tensors, but tables: model; .* state = "model"'):
        sast.from_state_dict(tmp_path / "inside.pt", told(layers=layers))
    with pytest.raises(CheckpointError, match="running_mean"):
        sast.from_state_dict(tmp_path / "parameters.pt", told(layers=layers))
    torch.save(net, tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"could run code|some other kind"):
        sast.from_state_dict(tmp_path / "module.pt", told(layers=layers))


def test_the_file_of_an_imported_network_holds_all_of_it(tmp_path: Path) -> None:
    conv = sast.FloatConv2d(np.ones((2, 2, 3, 3)), [0.5, -0.5], [1.0, 2.0], 1, 1, 1, 1, [0.5, 0.25], 0.125, 3)
    dense = sast.FloatDense(np.eye(4, 2 * 9), 0.5, leak=0.5, delay=np.arange(18) % 5, recurrent=np.eye(4))
    layers = [sast.FloatUpsample(3), conv, sast.FloatPool((1, 1)), dense,
              sast.FloatReadout(np.ones((2, 4)), leak=0.5, decoding="max")]  # fmt: skip
    network = sast.FloatNetwork(
        layers, (2, 1, 1), 4, 0.5, 3, 7, ["a", "b"], "subtract", "before-leak", ">"
    )
    made = sast.ImportedNetwork("mine", network, {"format": "test"}, ("a note",))
    back = sast.load_network(made.save(tmp_path / "a.h5"))
    assert (back.name, back.notes, back.source) == ("mine", ("a note",), {"format": "test"})
    for one, other in zip(network.layers, back.network.layers, strict=True):
        assert type(one) is type(other)
        for name in vars(one):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    plain = {name: value for name, value in vars(network).items() if name != "layers"}
    assert plain == {name: value for name, value in vars(back.network).items() if name != "layers"}
    programs = [
        sast.compile(each, "loihi-int8", name="n").program for each in (tmp_path / "a.h5", made, network)
    ]
    assert len({each.digest() for each in programs}) == 1
    made.save(tmp_path / "a.h5")
    other = replace(made, source={"format": "test", "digest": "0" * 64})
    with pytest.raises(sast.SastError, match="holds a file of an imported network of network none; this run"):
        other.save(tmp_path / "a.h5")


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    import h5py

    made = sast.from_state_dict(state(), told(), name="mine")
    for name, change, says in (
        ("layers/0/weight", lambda value: value * 2, "does not match its digest"),
        ("format_version", lambda value: value + 1, "has format version 2; expected 1; update"),
    ):
        path = made.save(tmp_path / f"{name.partition('/')[0]}.h5")
        with h5py.File(path, "r+") as file:
            file[f"sast_float/{name}"][...] = change(file[f"sast_float/{name}"][...])
        with pytest.raises(CheckpointError, match=says):
            sast.load_network(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"truncated|damaged"):
        sast.load_network(path)


def test_its_recordings_belong_to_it() -> None:
    data = tiny_set()
    draw = np.random.default_rng(0)
    tensors = {"a.weight": draw.normal(size=(9, 72)), "b.weight": draw.normal(size=(3, 9))}
    layers = [{"kind": "dense", "weight": "a.weight", "leak": 0.5}, {"kind": "readout", "weight": "b.weight"}]
    made = sast.from_state_dict(tensors, {"reset": "zero", "layers": layers}, name="tiny", data=data)
    assert made.network.classes == data.info.classes
    assert made.network.input_clip == data.options.clip
    right = (run_float(made.network, data.test.frames).predictions == data.test.labels).mean()
    assert made.metrics["test"]["hard"] == pytest.approx(right)
    net = sast.compile(made, "loihi-int4", calibrate=data)
    assert net.file.data["dataset"] == "tiny"
    assert net.file.checkpoint["metrics"]["test"]["samples"] == 30
    assert net.calibrated is not None
    with pytest.raises(CheckpointError, match="frames of clip 2; expected 4"):
        replace(made, frames=replace(data.options, clip=2))
    bare = sast.from_state_dict(tensors, {"reset": "zero", "layers": layers, "input": 72, "steps": 4})
    with pytest.raises(sast.SastError, match="was imported without recordings"):
        sast.compile(bare, calibrate=sast.DataRequest("nmnist"))
