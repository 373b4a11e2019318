"""ckpt.pt: what `train` writes and `compile` and `evaluate` read; and its conversion to NumPy.

The file is a `torch.save` of plain values and tensors, read with `weights_only=True`, so that loading runs
no code from the file.
"""

from __future__ import annotations

import io
import pickle
import platform
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy import __version__
from sast_deploy.data import DataInfo
from sast_deploy.data.options import FrameOptions
from sast_deploy.errors import CheckpointError, DataError, UsageError
from sast_deploy.fileio import write_bytes
from sast_deploy.floatnet import FloatConv2d, FloatDense, FloatLayer, FloatNetwork, FloatPool, FloatReadout
from sast_deploy.network import KERNEL, PADDING, Network, NetworkSpec, state_shapes
from sast_deploy.recipes import Recipe

FORMAT = "sast-deploy-checkpoint"
FORMAT_VERSION = 1
_KEYS = frozenset(
    {
        "format",
        "version",
        "name",
        "network",
        "state",
        "recipe",
        "frames",
        "data",
        "seeds",
        "metrics",
        "packages",
    }
)
_EXPECTED = f"a {FORMAT} file"
_REMEDY = "train one with `sast-deploy train`"

FloatArrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network and where it came from.

    Attributes:
        name: names the exports, "sast" for runs/sast/ckpt.pt.
        network: its shape (`NetworkSpec`).
        state: learnable parameters and fixed thresholds by name, read-only float32.
        recipe: how it was trained, with every value.
        frames: how events became frames.
        data: the data set and how it was obtained.
        seeds: {"train": int, "validation": float, ...}.
        metrics: epoch and validation accuracies of the chosen weights, epochs, seconds.
        packages: versions of what wrote it.
    """

    name: str
    network: NetworkSpec
    state: FloatArrays
    recipe: Recipe
    frames: FrameOptions
    data: DataInfo
    seeds: dict[str, Any]
    metrics: dict[str, Any]
    packages: dict[str, str]


def package_versions() -> dict[str, str]:
    """Versions of what shapes a checkpoint's numbers."""
    return {
        "sast-deploy": __version__, "torch": str(torch.__version__), "numpy": np.__version__,
        "python": platform.python_version(),
    }  # fmt: skip


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` by way of a temporary name. Raises OutputError."""
    values = {
        "format": FORMAT, "version": FORMAT_VERSION, "name": checkpoint.name,
        "network": checkpoint.network.to_dict(),
        "state": {key: torch.tensor(value) for key, value in checkpoint.state.items()},
        "recipe": checkpoint.recipe.to_dict(), "frames": checkpoint.frames.to_dict(),
        "data": checkpoint.data.to_dict(), "seeds": checkpoint.seeds, "metrics": checkpoint.metrics,
        "packages": checkpoint.packages,
    }  # fmt: skip
    save_plain(path, values)


def save_plain(path: Path, values: Mapping[str, Any]) -> None:
    """`torch.save` plain values and tensors, whole or not at all. Raises OutputError."""
    content = io.BytesIO()  # on a full disk torch would raise a RuntimeError that does not say so
    torch.save(values, content)
    write_bytes(path, content.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises CheckpointError: missing, a folder, truncated, foreign, written by a newer version, holding
    objects that could run code, with missing keys, wrong shapes, NaN or Inf.
    """
    path = Path(path)
    values = load_plain(path)
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise CheckpointError("a torch file of some other kind", where=path, expected=_EXPECTED, todo=_REMEDY)
    version = values.get("version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version}", where=path, expected=f"{FORMAT_VERSION} or older",
            todo="update sast-deploy",
        )  # fmt: skip
    missing = sorted(_KEYS - set(values))
    if missing:
        raise CheckpointError(f"without {', '.join(missing)}", where=path, expected=_EXPECTED, todo=_REMEDY)
    return _checked(values, path)


def load_plain(path: Path) -> Any:
    """What a `torch.save` of plain values and tensors holds. Raises CheckpointError."""
    if path.is_dir():
        raise CheckpointError("is a folder", where=path, expected=_EXPECTED, todo=f"try {path / 'ckpt.pt'}")
    if not path.exists():
        raise CheckpointError("does not exist", where=path, expected=_EXPECTED, todo=_REMEDY)
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=path, expected=_EXPECTED) from error
    try:
        _check_sums(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused a moment later
            return torch.load(content, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Of a pickle, in a zip archive or bare, this means: more than tensors and plain values. torch finds
        # an "unsupported operand" in a text, too.
        unsafe = "global" in str(error).lower() or content.getvalue().startswith((b"PK", pickle.PROTO))
        what = "holds objects that could run code, and was not loaded" if unsafe else "is not a torch file"
        raise CheckpointError(what, where=path, expected=_EXPECTED, todo=_REMEDY) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "is truncated or damaged", where=path, expected=_EXPECTED, todo=_REMEDY
        ) from error


def _check_sums(content: io.BytesIO) -> None:
    """Raise ValueError for a changed byte in a zip archive, as torch writes them: torch.load sees none."""
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                if archive.testzip() is not None:
                    raise ValueError("a checksum differs")
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error
    finally:
        content.seek(0)


def _checked(values: Mapping[str, Any], path: Path) -> Checkpoint:
    try:
        checkpoint = Checkpoint(
            name=str(values["name"]),
            network=NetworkSpec.from_dict(values["network"]),
            state={str(key): _array(value) for key, value in values["state"].items()},
            recipe=Recipe.from_dict(values["recipe"]),
            frames=FrameOptions.from_dict(values["frames"]),
            data=DataInfo.from_dict(values["data"]),
            seeds=dict(values["seeds"]),
            metrics=dict(values["metrics"]),
            packages=dict(values["packages"]),
        )
        if "/" in checkpoint.name or "\0" in checkpoint.name:  # exports are named after it
            raise ValueError(f"name {checkpoint.name!r}")
        _check_state(checkpoint.state, state_shapes(checkpoint.network))
        _check_classes(checkpoint)
    except (UsageError, DataError, TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"holds a wrong value: {error}", where=path, expected=_EXPECTED) from error
    return checkpoint


def _array(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.numpy()
    array.flags.writeable = False
    return array


def _check_state(state: FloatArrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError for anything but finite float32 arrays of the network's shapes."""
    if set(state) != set(shapes):
        raise ValueError(f"weights {', '.join(sorted(state))} instead of {', '.join(sorted(shapes))}")
    for key, array in state.items():
        if array.shape != shapes[key] or array.dtype != np.float32:
            raise ValueError(f"{key} is {array.dtype} {array.shape} instead of float32 {shapes[key]}")
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise ValueError(f"{key} has {bad} values that are NaN or infinite")
        if key.startswith("theta_") and not (array > 0).all():
            raise ValueError(f"{key} has thresholds that are not positive")


def _check_classes(checkpoint: Checkpoint) -> None:
    names, outputs = len(checkpoint.data.classes), checkpoint.network.classes
    if names != outputs:
        raise ValueError(f"{names} class names for {outputs} outputs")


def load_network(checkpoint: Checkpoint) -> Network:
    """The torch network with the checkpoint's weights."""
    network = Network(checkpoint.network)
    network.load_state_dict({key: torch.tensor(value) for key, value in checkpoint.state.items()})
    return network


def to_float_network(checkpoint: Checkpoint) -> FloatNetwork:
    """The NumPy network that the compiler reads."""
    spec, state = checkpoint.network, checkpoint.state
    layers: list[FloatLayer] = []
    height, width = spec.input_shape[1:]
    for index in range(len(spec.hidden)):
        weight, bias = state[f"layers.{index}.weight"], state[f"layers.{index}.bias"]
        theta = state[f"theta_{index}"]
        if spec.kind == "fc":
            layers.append(FloatDense(weight, bias, theta))
            continue
        stride = spec.strides[index]
        geometry = ((stride, stride), (PADDING, PADDING), (1, 1), 1)
        layers.append(FloatConv2d(weight, bias, theta, *geometry))
        height, width = ((n + 2 * PADDING - KERNEL) // stride + 1 for n in (height, width))
    if spec.kind == "conv":
        layers.append(FloatPool((height, width)))
    layers.append(FloatReadout(state["readout.weight"], state["readout.bias"]))
    return FloatNetwork(
        tuple(layers), spec.input_shape, spec.alpha, checkpoint.frames.clip, checkpoint.frames.steps,
        checkpoint.data.classes, spec.reset,
    )  # fmt: skip
