"""A torch module as tensors and their description, where its classes leave nothing open.

An nn.Sequential of layers and neurons says all of what it is: classes are known by names and attributes, and
neither torch nor the packages of the neurons are imported. With input I, as each package computes:

    snntorch Leaky        u = beta u + I - theta s, or to zero; u > theta         subtraction after the leak
    snntorch Synaptic     c = alpha c + I; u = beta u + c - theta s               the same
    spikingjelly IFNode   u = u - theta s + I, or to zero; u >= theta             subtraction before the leak
    LIFNode, Parametric-  u = (1 - 1/tau) (u - theta s) + I, with decay_input I / tau
    norse LIFBoxCell      u = (1 - dt/tau) (u - theta s) + I dt/tau, or to zero; u > theta

What is open, what the outputs of a last layer without neurons mean over time, is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CheckpointError
from sast_deploy.data import FrameSet
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.exchange.statedict import from_state_dict

CONTAINERS = ("Sequential", "SequentialState")
DROPPED = ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "Identity")
Floats = npt.NDArray[np.float64]
TODO = "describe the network: sast.from_state_dict(net.state_dict(), description), docs/your-network.md"


def from_module(
    module: Any,
    description: Mapping[str, Any] | None = None,
    *,
    input: int | Iterable[int] | None = None,
    steps: int | None = None,
    clip: int | None = None,
    decoding: str | None = None,
    classes: Iterable[str] | None = None,
    name: str | None = None,
    data: FrameSet | None = None,
) -> ImportedNetwork:
    """A torch nn.Module as a network to compile; of an nn.Sequential no description is needed.

    description: as `from_state_dict` takes it, of the module's state_dict(). input: (C, H, W), or n; steps:
    T. clip: the count that training scaled to 1.0, default 1. decoding: what becomes of the outputs of a last
    layer without spikes over time: their "mean", the "last", or the largest, "max". data: the recordings that
    it was trained on, in place of input, steps, clip and classes.

    Batch normalisation is folded into weights, with its running statistics; dropout is dropped; notes say so.

    Raises CheckpointError: a module that is not known, or that integers cannot express, by its name.

    >>> import torch.nn as nn
    >>> class IFNode(nn.Module):  # spikingjelly's, without spikingjelly
    ...     v_threshold, v_reset = 1.0, 0.0
    >>> mine = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), IFNode(), nn.Dropout(), nn.Linear(3, 2))
    >>> made = sast.from_module(mine, input=4, steps=8, decoding="mean")
    >>> made.network.reset, made.notes[-1]
    ('zero', '3: Dropout dropped')
    """
    given: dict[str, Any] = {
        "input": list(input) if isinstance(input, Iterable) else input, "steps": steps, "clip": clip,
        "classes": None if classes is None else list(classes),
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    if description is not None:
        told = {**given, **description}
        made = from_state_dict(module.state_dict(), told, name=name, data=data)
        return _named(made, module)
    reader = _Reader(decoding)
    reader.read(module, "")
    told = {**given, **reader.description()}
    return _named(from_state_dict(reader.state, told, name=name, data=data), module, reader.notes)


def _named(made: ImportedNetwork, module: Any, notes: Iterable[str] = ()) -> ImportedNetwork:
    source = {**made.source, "format": "module", "class": type(module).__name__}
    return replace(made, source=source, notes=(*made.notes, *notes))


@dataclass
class _Reader:
    """Walks a module; `layers` is the description so far, `open` a layer whose neurons have not come yet."""

    decoding: str | None
    layers: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rules: dict[tuple[str, str, str], str] = field(default_factory=dict)
    open: str | None = None
    neurons: dict[int, str] = field(default_factory=dict)  # where each module of them stands

    def read(self, module: Any, path: str) -> None:
        """Add a module, or all of a container's."""
        kind = type(module).__name__
        where = f"{path or 'the module'}: {kind}"
        if kind in CONTAINERS:
            for name, child in module._modules.items():  # named_children leaves out what stands there twice
                self.read(child, f"{path}.{name}" if path else name)
        elif kind in DROPPED:
            self.notes += [] if kind == "Identity" else [f"{path}: {kind} dropped"]
        elif kind in _LAYERS:
            with _About(where):
                _LAYERS[kind](self, module, path)
        elif kind in _NEURONS:
            with _About(where):
                if kind not in STATELESS and (before := self.neurons.setdefault(id(module), path)) != path:
                    once_more = f"is {before} once more, which shares its state"
                    raise ValueError(f"{once_more}; expected a module of its own")
                self._neurons(module, path, *_NEURONS[kind](module))
        else:
            known = ", ".join([*CONTAINERS, *_LAYERS, *_NEURONS])
            raise CheckpointError(
                "what it computes is not known", where=where, expected=f"one of {known}", todo=TODO
            )

    def description(self) -> dict[str, Any]:
        """What from_state_dict takes."""
        if self.open is not None:
            self.layers[-1]["kind"] = "readout"
            self._decode(self.open)
        if len(self.rules) > 1:
            found = "; ".join(f"{path}: {', '.join(filter(None, rule))}" for rule, path in self.rules.items())
            raise CheckpointError(f"neurons with different rules: {found}", expected="one rule", todo=TODO)
        if not self.rules:
            raise CheckpointError("no neurons that spike", expected=", ".join(_NEURONS), todo=TODO)
        (reset, order, comparison) = next(iter(self.rules))
        ordered = {"reset_order": order} if order else {}
        return {"reset": reset, **ordered, "comparison": comparison, "layers": self.layers}

    def weighted(self, module: Any, path: str, kind: str, **more: Any) -> None:
        """A layer with weights, whose neurons come next."""
        if self.open is not None:
            raise ValueError(f"no neurons after {self.open}; expected neurons between two layers of weights")
        if self.layers and self.layers[-1]["kind"] == "readout":
            raise ValueError("comes after neurons that never spike; expected nothing after them")
        self.state[f"{path}.weight"] = module.weight
        layer = {"kind": kind, "weight": f"{path}.weight", **more}
        if getattr(module, "bias", None) is not None:
            self.state[f"{path}.bias"] = module.bias
            layer["bias"] = f"{path}.bias"
        self.layers.append(layer)
        self.open = path

    def norm(self, module: Any, path: str) -> None:
        """Batch normalisation of the layer before."""
        if self.open is None or "norm" in self.layers[-1]:
            raise ValueError("follows no layer of weights; expected it between weights and neurons")
        if getattr(module, "running_mean", None) is None:
            raise ValueError("has no running statistics; expected track_running_stats")
        for part in ("running_mean", "running_var", "weight", "bias"):
            if getattr(module, part, None) is not None:
                self.state[f"{path}.{part}"] = getattr(module, part)
        self.layers[-1] |= {"norm": path, "norm_eps": float(module.eps)}

    def plain(self, kind: str, **more: Any) -> None:
        """A layer without weights or neurons."""
        if self.open is not None and kind != "flatten":
            raise ValueError(f"before the neurons of {self.open}; expected it after them")
        self.layers.append({"kind": kind, **more}) if kind != "flatten" else None

    def _neurons(self, module: Any, path: str, values: dict[str, Any], rule: tuple[str, str, str]) -> None:
        if self.open is None:
            raise ValueError("follows no layer of weights; expected one before it")
        layer = self.layers[-1]
        for key, value in values.items():
            self.state[f"{path}.{key}"] = np.asarray(_array(value), np.float64)
            layer[key] = f"{path}.{key}"
        if "current_leak" in values and layer.get("bias") and _array(self.state[layer["bias"]]).any():
            raise ValueError("its current filter takes the layer's bias in; expected bias=False")
        if rule[0] == "none":
            layer["kind"] = "readout"
            del layer["threshold"], self.state[f"{path}.threshold"]
            self._decode(path)
        else:
            self.rules.setdefault(rule, path)
        self.open = None

    def _decode(self, path: str) -> None:
        """What a last layer that never spikes gives: asked for."""
        choices = '"last" or "max", of its membranes over time, or their "mean"'
        if "leak" not in self.layers[-1]:
            choices = '"mean" of its outputs over time, or "last" or "max" of them'
        if self.decoding is None:
            raise CheckpointError(
                "the outputs of its last layer: what becomes of them over time is not said", where=path,
                expected=f"decoding = {choices}",
            )  # fmt: skip
        if "leak" not in self.layers[-1]:
            self.layers[-1] |= {"leak": 1.0 if self.decoding == "mean" else 0.0}
            self.layers[-1]["decoding"] = "last" if self.decoding == "mean" else self.decoding
        else:
            self.layers[-1]["decoding"] = self.decoding


class _About:
    """What is wrong with a module, as a CheckpointError that names it."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, ValueError | AttributeError):
            found, _, expected = str(error).partition("; expected ")
            raise CheckpointError(found, where=self.where, expected=expected or None, todo=TODO) from error


def _conv(reader: _Reader, module: Any, path: str) -> None:
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        found = f"padding {module.padding!r}, {module.padding_mode}"
        raise ValueError(f"{found}; expected numbers, and zeros")
    names = ("stride", "padding", "dilation")
    geometry = {name: list(_both(getattr(module, name))) for name in names}
    reader.weighted(module, path, "conv", **geometry, groups=module.groups)


def _pool(reader: _Reader, module: Any, _path: str) -> None:
    kernel, stride, padding = map(_both, (module.kernel_size, module.stride, module.padding))
    if stride != kernel or any(padding) or module.ceil_mode or module.divisor_override:
        found = f"kernel {kernel}, stride {stride}, padding {padding}"
        raise ValueError(f"{found}; expected stride = kernel, and nothing else")
    reader.plain("pool", kernel=list(kernel))


def _upsample(reader: _Reader, module: Any, _path: str) -> None:
    factors = _both(module.scale_factor)
    if module.mode != "nearest" or any(each is None or each != int(each) for each in factors):
        raise ValueError(f"mode {module.mode}, factors {factors}; expected nearest, and whole factors")
    reader.plain("upsample", factors=[int(each) for each in factors])


def _both(value: Any) -> tuple[Any, Any]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return first, second


_LAYERS: Mapping[str, Callable[[_Reader, Any, str], None]] = {
    "Linear": lambda reader, module, path: reader.weighted(module, path, "dense"),
    "Conv2d": _conv,
    "BatchNorm1d": _Reader.norm,
    "BatchNorm2d": _Reader.norm,
    "AvgPool2d": _pool,
    "Upsample": _upsample,
    "Flatten": lambda reader, _module, _path: reader.plain("flatten"),
}
Told = tuple[dict[str, Any], tuple[str, str, str]]


def _snntorch(module: Any) -> Told:
    """Leaky, and Synaptic with its alpha."""
    mechanism = str(module.reset_mechanism)
    if getattr(module, "inhibition", False) or getattr(module, "state_quant", False):
        raise ValueError("inhibition or state_quant; expected neither")
    if not np.all(_array(getattr(module, "graded_spikes_factor", 1.0)) == 1):
        raise ValueError("graded_spikes_factor; expected 1")
    if mechanism == "subtract" and not getattr(module, "reset_delay", True):
        raise ValueError("subtracts at once, and again from what is still above; expected reset_delay=True")
    values = {"leak": _array(module.beta).clip(0, 1), "threshold": module.threshold}
    if type(module).__name__ == "Synaptic":
        values["current_leak"] = _array(module.alpha).clip(0, 1)
    return values, (mechanism, "after-leak" if mechanism == "subtract" else "", ">")


def _spikingjelly(module: Any) -> Told:
    """IFNode, LIFNode and ParametricLIFNode."""
    if module.v_reset not in (None, 0.0):
        raise ValueError(f"v_reset = {module.v_reset}; expected 0 or None")
    rule = ("subtract", "before-leak", ">=") if module.v_reset is None else ("zero", "", ">=")
    values: dict[str, Any] = {"threshold": module.v_threshold, "leak": 1.0}
    if type(module).__name__ != "IFNode":
        own = getattr(module, "w", None)
        share = 1 / _array(module.tau) if own is None else 1 / (1 + np.exp(-_array(own)))
        values["leak"] = 1 - share
        values |= {"gain": share} if module.decay_input else {}
    return values, rule


def _norse(module: Any) -> Told:
    """LIFBoxCell and LIFBox, whose parameters are `p`."""
    p, dt = module.p, float(module.dt)
    for name in ("v_leak", "v_reset"):
        if np.any(_array(getattr(p, name)) != 0):
            raise ValueError(f"{name} = {_array(getattr(p, name))}; expected 0")
    share, reset = dt * _array(p.tau_mem_inv), getattr(p.reset_method, "__name__", "")
    if reset not in ("reset_value", "reset_subtract"):
        raise ValueError(f"reset_method {reset!r}; expected reset_value or reset_subtract")
    rule = ("subtract", "before-leak", ">") if reset == "reset_subtract" else ("zero", "", ">")
    return {"threshold": p.v_th, "leak": 1 - share, "gain": share}, rule


STATELESS = ("LIFBoxCell", "LIFBox")  # Norse's: who calls them keeps their state
_NEURONS: Mapping[str, Callable[[Any], Told]] = {
    "Leaky": _snntorch, "Synaptic": _snntorch, "IFNode": _spikingjelly, "LIFNode": _spikingjelly,
    "ParametricLIFNode": _spikingjelly, "LIFBoxCell": _norse, "LIFBox": _norse,
}  # fmt: skip


def _array(value: Any) -> Floats:
    """A number or tensor as an array, without torch."""
    for step in ("detach", "cpu"):
        value = getattr(value, step)() if hasattr(value, step) else value
    return np.asarray(value, np.float64)


