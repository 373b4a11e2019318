"""ckpt.pt: what `train` writes and `compile` and `evaluate` read; and its conversion to NumPy.

The file is a `torch.save` of plain values and tensors, read by a reader of our own
(base/reading/torchfile.py) that runs no code from the file and believes no size in it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from sast_deploy.base.errors import CheckpointError, SastError
from sast_deploy.base.files import write_bytes
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.torchfile import OTHER, read_torch
from sast_deploy.base.rules import Instance, Named, Problem, Text, is_text, refuse, shown
from sast_deploy.base.settings import Settings, ruled
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatPool,
    FloatReadout,
)
from sast_deploy.data import DataInfo
from sast_deploy.data.options import FrameOptions
from sast_deploy.netx.metadata import METRICS, SEEDS
from sast_deploy.program.geometry import Axis
from sast_deploy.training.network.network import (
    KERNEL,
    PADDING,
    Network,
    NetworkSpec,
    leak_of,
    state_shapes,
    threshold_of,
)
from sast_deploy.training.recipes import Recipe

FORMAT = "sast-deploy-checkpoint"
FORMAT_VERSION = 1
_REMEDY = "train one with `sast-deploy train`"
EXPECTED = Expected(f"a {FORMAT} file", CheckpointError, _REMEDY)

FloatArrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Checkpoint(Settings, called="checkpoint", error=CheckpointError):
    """A trained network and where it came from.

    Attributes:
        name: names the exports, "sast" for runs/sast/ckpt.pt.
        network: its shape (`NetworkSpec`).
        state: learnable parameters and thresholds by name, read-only float32.
        recipe: how it was trained, with every value.
        frames: how events became frames.
        data: the data set and how it was obtained.
        seeds: {"train": int, "validation": float, ...}.
        metrics: epoch and validation accuracies of the chosen weights, epochs, seconds.
        packages: versions of what wrote it.

    >>> sast.compile(trained, "loihi-int4").file.checkpoint["name"]
    'tiny'
    """

    name: Annotated[str, Text(255, "/\0")]
    network: NetworkSpec
    state: Annotated[FloatArrays, Instance((dict,))]
    recipe: Recipe
    frames: FrameOptions
    data: DataInfo
    seeds: Annotated[dict[str, Any], SEEDS]
    metrics: Annotated[dict[str, Any], METRICS]
    packages: Annotated[dict[str, str], Named(Text(255))]

    def __post_init__(self) -> None:
        """Refuse weights, classes and frames that are not the network's; make the weights read-only."""
        super().__post_init__()
        refuse(self._contradictions(), None, CheckpointError)
        for array in self.state.values():
            array.flags.writeable = False

    def _contradictions(self) -> Iterator[Problem]:
        found = list(state_problems(self.state, state_shapes(self.network)))
        yield from found or self._impossible_thresholds()
        names, outputs, size = len(self.data.classes), self.network.classes, self.frames.size
        if names != outputs:
            yield Problem("", f"{names} class names for {outputs} outputs", f"{outputs}")
        if size is not None and (shape := self.network.input_shape)[1:] != size:
            yield Problem("", f"frames of {size} pixels for a network of {shape}", f"{shape[1:]}")

    def _impossible_thresholds(self) -> Iterator[Problem]:
        for index in range(len(self.network.hidden)):
            theta = threshold_of(self.network, index, self._named)
            if not (theta.isfinite() & (theta > 0)).all():
                yield Problem(f"log_theta_{index}", "thresholds of 0 or infinity", "positive ones")

    def _named(self, name: str) -> torch.Tensor:
        return torch.tensor(self.state[name])

    def thresholds(self, index: int) -> NDArray[np.float32]:
        """Thresholds of LIF layer `index`, (neurons or channels,)."""
        found: NDArray[np.float32] = threshold_of(self.network, index, self._named).numpy()
        return found

    def leaks(self, index: int) -> NDArray[np.float32] | None:
        """Learned leaks of LIF layer `index`, (neurons or channels,); None where they are the network's."""
        found = leak_of(self.network, index, self._named)
        return None if found is None else found.numpy()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path` by way of a temporary name. Raises OutputError."""
    values = {
        "format": FORMAT, "version": FORMAT_VERSION, **checkpoint.to_dict(),
        "state": {key: torch.tensor(value) for key, value in checkpoint.state.items()},
    }  # fmt: skip
    save_plain(path, values)


def save_plain(path: Path, values: Mapping[str, Any]) -> None:
    """`torch.save` plain values and tensors, whole or not at all. Raises OutputError."""
    content = io.BytesIO()  # on a full disk torch would raise a RuntimeError that does not say so
    torch.save(values, content)
    write_bytes(path, content.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises CheckpointError: missing, a folder, truncated, foreign, written by a newer version, holding
    objects that could run code, with missing keys, wrong shapes, NaN or Inf.

    >>> sast.load_checkpoint("ckpt.pt").network.kind
    'fc'
    """
    path = Path(path)
    values = read_torch(path, EXPECTED)
    if not isinstance(values, dict) or not is_text(values.get("format"), FORMAT):
        EXPECTED.refuse(OTHER, path)
    version = values.get("version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise CheckpointError(
            f"format version {shown(version)}", where=path, expected=f"{FORMAT_VERSION} or older",
            todo="update sast-deploy",
        )  # fmt: skip
    parts = ruled(Checkpoint)
    if missing := sorted(set(parts) - set(values)):
        EXPECTED.refuse(f"without {', '.join(missing)}", path)
    try:
        return Checkpoint.from_dict({key: values[key] for key in parts})
    except SastError as error:
        raise CheckpointError(f"holds a wrong value: {error}", where=path, expected=EXPECTED.what) from error


def state_problems(
    state: Any, shapes: Mapping[str, tuple[int, ...]], where: str = ""
) -> Iterator[Problem]:
    """What is wrong with weights that should be finite float32 of these shapes, thresholds positive."""
    if not isinstance(state, dict) or set(state) != set(shapes):
        found = ", ".join(sorted(map(str, state))) if isinstance(state, dict) else shown(state)
        yield Problem("", f"weights {where}{found}"[:400], ", ".join(sorted(shapes)))
        return
    for key, array in state.items():
        name = f"{where}{key}"
        if not isinstance(array, np.ndarray):
            yield Problem(name, shown(array), "an array")
        elif array.shape != shapes[key] or array.dtype != np.float32:
            yield Problem("", f"{name} is {array.dtype} {array.shape}", f"float32 {shapes[key]}")
        elif bad := int((~np.isfinite(array)).sum()):
            yield Problem("", f"{name} has {bad} values that are NaN or infinite", "finite weights")
        elif key.startswith("theta_") and not (array > 0).all():
            yield Problem("", f"{name} has thresholds that are not positive", "positive ones")


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
    shared = spec.alphas[0] if len(set(spec.alphas)) == 1 and spec.learn_alpha == "none" else None
    for index, alpha in enumerate(spec.alphas):
        own = checkpoint.leaks(index)
        leak: Any = own if own is not None else alpha if shared is None else None
        leaks = {"leak": leak, "current_leak": spec.current_leaks[index] or None}
        gain, theta = np.float32(spec.gains[index]), checkpoint.thresholds(index)
        weight, bias = (state[f"layers.{index}.{name}"] * gain for name in ("weight", "bias"))
        if spec.kind == "fc":
            layers.append(FloatDense(weight, bias, theta, **leaks))
            continue
        stride = spec.strides[index]
        geometry = ((stride, stride), (PADDING, PADDING), (1, 1), 1)
        layers.append(FloatConv2d(weight, bias, theta, *geometry, **leaks))
        height, width = (Axis(n, KERNEL, stride, PADDING).outputs for n in (height, width))
    if spec.kind == "conv":
        layers.append(FloatPool((height, width)))
    layers.append(FloatReadout(state["readout.weight"], state["readout.bias"]))
    return FloatNetwork(
        layers, spec.input_shape, checkpoint.frames.steps, shared, checkpoint.frames.clip,
        classes=checkpoint.data.classes, reset=spec.reset, reset_order=spec.reset_order,
    )  # fmt: skip
