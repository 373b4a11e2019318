from __future__ import annotations

import os
import pickle
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import CheckpointError, OutputError
from sast_deploy.base.versions import package_versions
from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatPool, FloatReadout
from sast_deploy.training.checkpoint import (
    FORMAT_VERSION,
    Checkpoint,
    load_checkpoint,
    load_network,
    save_checkpoint,
    to_float_network,
)
from sast_deploy.training.network.network import Network, NetworkSpec
from sast_deploy.training.recipes import ADDED_LATER, PAPER
from tests.tinydata import SHAPE, tiny_set

FC = NetworkSpec("fc", SHAPE, (5, 4), 3)
CONV = NetworkSpec("conv", SHAPE, (4, 5), 3, strides=(2, 1))


def checkpoint(spec: NetworkSpec = FC) -> Checkpoint:
    data = tiny_set()
    state = {key: value.numpy() for key, value in Network(spec, seed=1).state_dict().items()}
    return Checkpoint(
        "tiny", spec, state, PAPER, data.options, data.info, {"train": 1}, {"epoch": 3}, package_versions()
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "ckpt.pt", checkpoint())
    return tmp_path / "ckpt.pt"


def altered(path: Path, **changes: Any) -> Path:
    """The checkpoint with some of its values replaced, or removed where None."""
    values = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in values.items() if value is not None}, path)
    return path


@pytest.mark.parametrize("spec", [FC, CONV, replace(FC, alpha=(0.9, 0.8))], ids=["fc", "conv", "own leaks"])
def test_everything_comes_back(tmp_path: Path, spec: NetworkSpec) -> None:
    saved = checkpoint(spec)
    save_checkpoint(tmp_path / "x.pt", saved)
    loaded = load_checkpoint(tmp_path / "x.pt")
    for key in ("name", "network", "recipe", "frames", "data", "seeds", "metrics", "packages"):
        assert getattr(loaded, key) == getattr(saved, key), key
    assert loaded.state.keys() == saved.state.keys()
    assert all(np.array_equal(loaded.state[key], saved.state[key]) for key in saved.state)
    x = torch.rand(4, 2, 72)
    assert torch.equal(load_network(loaded)(x), Network(spec, seed=1)(x))


def test_arrays_are_read_only(path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_checkpoint(path).state["readout.bias"][0] = 1.0


def test_fc_as_numpy(path: Path) -> None:
    network = to_float_network(load_checkpoint(path))
    state = checkpoint().state
    assert [type(layer) for layer in network.layers] == [FloatDense, FloatDense, FloatReadout]
    first, last = network.layers[0], network.layers[-1]
    assert isinstance(first, FloatDense)
    assert isinstance(last, FloatReadout)
    assert np.array_equal(first.weight, state["layers.0.weight"])
    assert np.array_equal(last.bias, state["readout.bias"])
    assert first.threshold.tolist() == [1.0] * 5
    assert (network.alpha, network.input_clip, network.steps, network.classes) == (0.5, 4, 4, ("a", "b", "c"))
    assert network.input_shape == SHAPE


def test_conv_as_numpy_pools_the_last_map_whole() -> None:
    network = to_float_network(checkpoint(CONV))
    first, second, pool, readout = network.layers
    assert isinstance(first, FloatConv2d)
    assert isinstance(second, FloatConv2d)
    assert isinstance(pool, FloatPool)
    assert isinstance(readout, FloatReadout)
    assert (first.stride, first.padding, first.dilation, first.groups) == ((2, 2), (1, 1), (1, 1), 1)
    assert second.stride == (1, 1)
    last = Network(CONV).spikes(torch.zeros(4, 1, 72))[-1]
    assert pool.kernel == tuple(last.shape[-2:]) == (3, 3)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "no.pt")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_anywhere(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04", b"hello\n", b"\x80\x02.", os.urandom(4096), b"\x00" * 100]
)
def test_not_a_torch_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    "value", [{"state_dict": {"w": torch.zeros(2)}}, torch.zeros(3), [1, 2], {"format": "other"}]
)
def test_some_other_torch_file(path: Path, value: object) -> None:
    torch.save(value, path)
    assert "some other kind" in refused(path)


class Trap:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize(
    "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]
)
def test_a_pickle_that_would_run_code_does_not_run(tmp_path: Path, save: Any) -> None:
    marker, path = tmp_path / "ran", tmp_path / "trap.pt"
    save({"format": "sast-deploy-checkpoint", "state": Trap(marker)}, path)
    assert "could run code" in refused(path)
    assert not marker.exists()


def test_newer_version(path: Path) -> None:
    assert f"format version {FORMAT_VERSION + 1}" in refused(altered(path, version=FORMAT_VERSION + 1))


@pytest.mark.parametrize("version", ["one", True, 0, -1])
def test_impossible_versions(path: Path, version: object) -> None:
    assert "format version" in refused(altered(path, version=version))


@pytest.mark.parametrize("key", ["state", "network", "recipe", "frames", "data", "seeds", "metrics", "name"])
def test_missing_keys(path: Path, key: str) -> None:
    assert f"without {key}" in refused(altered(path, **{key: None}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(path: Path, value: float) -> None:
    state = torch.load(path, weights_only=True)["state"]
    state["layers.1.weight"][2, 3] = value
    assert "layers.1.weight has 1 values that are NaN or infinite" in refused(altered(path, state=state))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("layers.0.weight", torch.zeros(5, 71), "(5, 71)"),
        ("readout.bias", torch.zeros(3, dtype=torch.float64), "float64"),
        ("theta_0", torch.zeros(()), "theta_0"),
        ("theta_0", -torch.ones(5), "positive"),
        ("theta_0", 3.0, "theta_0"),
    ],
)
def test_wrong_weights(path: Path, key: str, value: object, named: str) -> None:
    state = torch.load(path, weights_only=True)["state"]
    assert named in refused(altered(path, state={**state, key: value}))


def test_missing_and_extra_weights(path: Path) -> None:
    state = torch.load(path, weights_only=True)["state"]
    assert "layers.2.weight" in refused(altered(path, state={**state, "layers.2.weight": torch.zeros(1)}))
    state.pop("theta_1")
    assert "theta_1" in refused(altered(path, state=state))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": FC.to_dict() | {"hidden": [10**9, 10**9]}},  # refused before anything that size is made
        {"network": {"kind": "fc"}},
        {"network": 3},
        {"recipe": {}},
        {"frames": {"steps": 0}},
        {"data": {}},
        {"state": 1},
        {"state": {1: 2}},
    ],
    ids=str,
)
def test_wrong_values(path: Path, changes: dict[str, Any]) -> None:
    refused(altered(path, **changes))


def test_a_checkpoint_from_before_the_newer_options(path: Path) -> None:
    values = torch.load(path, weights_only=True)
    recipe = {key: value for key, value in values["recipe"].items() if key not in ADDED_LATER}
    network = {key: value for key, value in values["network"].items() if not key.startswith("reset")}
    loaded = load_checkpoint(altered(path, recipe=recipe, network=network))
    assert (loaded.recipe, loaded.network) == (PAPER, FC)
    assert to_float_network(loaded).reset == "subtract"
    assert "wrong value" in refused(altered(path, recipe={**recipe, "colour": 1}))


def test_resets_leaks_and_thresholds_reach_the_compilers_network() -> None:
    assert to_float_network(checkpoint(replace(FC, reset="zero"))).reset == "zero"
    assert to_float_network(checkpoint()).layers[0].leak is None  # type: ignore[union-attr]
    own = to_float_network(checkpoint(replace(FC, alpha=(0.9, 0.25), theta=(2.0, 0.5))))
    assert own.alpha is None
    found = [(each.leak.tolist(), each.threshold.tolist()) for each in own.layers[:2]]  # type: ignore[union-attr]
    assert found == [([float(np.float32(0.9))] * 5, [2.0] * 5), ([0.25] * 4, [0.5] * 4)]
    before = to_float_network(checkpoint(replace(FC, reset_order="before-leak")))
    assert (before.reset, before.reset_order) == ("subtract", "before-leak")


def test_class_names_must_fit_the_readout(path: Path) -> None:
    data = tiny_set().info.to_dict() | {"classes": ["a", "b"]}
    assert "2 class names for 3 outputs" in refused(altered(path, data=data))


def test_output_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        save_checkpoint(tmp_path / "file" / "ckpt.pt", checkpoint())
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_while_writing(path: Path) -> None:
    """A real failing write: no file of this process may grow beyond a few bytes."""
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"ckpt\.pt: cannot be written: File too large"):
            save_checkpoint(path, checkpoint())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["ckpt.pt"]


def test_a_flipped_bit_in_a_weight_is_seen(path: Path) -> None:
    content = bytearray(path.read_bytes())
    weight = checkpoint().state["layers.0.weight"].tobytes()
    content[content.index(weight) + 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_a_name_that_leads_out_of_the_exports_folder(path: Path) -> None:
    assert "name = '../../x'" in refused(altered(path, name="../../x"))
