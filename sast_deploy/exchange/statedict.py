"""Named tensors, as torch's `state_dict()` gives them, and a description of what network they are part of.

    input = [2, 34, 34]            # (C, H, W), or n; also steps, classes, clip: the count that became 1.0
    reset = "subtract"             # or "zero"; comparison = ">=" or ">"
    reset_order = "before-leak"    # or "after-leak"
    alpha = 0.9                    # what a step keeps of the membrane, in layers without a leak of their own

    [[layers]]
    kind = "dense"                 # or conv (stride, padding, dilation, groups), pool (kernel),
    weight = "fc1.weight"          # upsample (factors), flatten, readout (decoding)
    bias = "fc1.bias"              # a tensor, or several that are added
    norm = "bn1"                   # batch normalisation before the neurons: folded into the weights
    threshold = "theta1"           # a number, a tensor, or { tensor = "x", through = "sigmoid" }
    leak = 0.9                     # likewise; also current_leak, recurrent, delay, and gain, a factor of
                                   # weights and bias

What a name stands for is looked up, and what is left over is refused: half its weights are another network.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import CheckpointError
from sast_deploy.base.files import file_digest
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_toml
from sast_deploy.base.reading.torchfile import read_torch
from sast_deploy.base.rules import (
    INT32,
    Choice,
    Items,
    Number,
    Problem,
    Rule,
    Table,
    Text,
    Whole,
    bounded,
    refuse,
    shown,
)
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatPool,
    FloatReadout,
    FloatUpsample,
)
from sast_deploy.data import FrameSet
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.program.fixedpoint import COMPARISONS, RESET_ORDERS, RESETS
from sast_deploy.program.program import DECODINGS, SIZE_MAX, STEPS_MAX, WIDE

State = Mapping[str, Any]  # names to arrays, or to tensors
Floats = npt.NDArray[np.float64]
STATE_FILE = Expected(
    "a torch file of named tensors", CheckpointError, "write one with torch.save(net.state_dict(), PATH)"
)
TOML = Expected("a description of the network in TOML", CheckpointError)
NORM_EPS = 1e-5  # torch's own
DEEP = 3  # tables in a file on the way to its tensors
THROUGH: Mapping[str, Callable[[Floats], Floats]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "1-sigmoid": lambda x: 1 / (1 + np.exp(x)),
    "exp(-1/x)": lambda x: np.exp(-1 / x),
    "1-1/x": lambda x: 1 - 1 / x,
}


class _Parameter(Rule):
    """A number, or a tensor by its name, perhaps through a function."""

    def __str__(self) -> str:
        return 'a number, the name of a tensor, or { tensor = "NAME", through = "sigmoid" }'

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if isinstance(value, Mapping):
            yield from _TRANSFORMED.problems(value, path)
        elif not (Number(-1e30, 1e30).fits(value) or _NAME.fits(value)):
            yield Problem(path, shown(value), str(self))


class _Either(Rule):
    """What one of two rules allows."""

    def __init__(self, first: Rule, second: Rule) -> None:
        self.first, self.second = first, second

    def __str__(self) -> str:
        return f"{self.first}, or {self.second}"

    def _fits(self, value: Any) -> bool:
        return self.first.fits(value) or self.second.fits(value)


_NAME = Text(1024, blank=False)
_TRANSFORMED = Table({"tensor": _NAME, "through": Choice(tuple(THROUGH))})
_DELAY = Whole(0, 62)


def _pair(low: int) -> Rule:
    return _Either(Whole(low, WIDE), Items(Whole(low, WIDE), 2, 2))


_WEIGHTED: Mapping[str, Rule] = {
    "kind": Text(), "weight": _NAME, "bias": _Either(_NAME, Items(_NAME, 1, 8)), "norm": _NAME,
    "norm_eps": Number(0, 1), "gain": _Parameter(), "leak": _Parameter(), "current_leak": _Parameter(),
    "delay": _Either(_Either(_DELAY, _NAME), Items(_DELAY, 1)),
}  # fmt: skip
_OWN: Mapping[str, Mapping[str, Rule]] = {
    "dense": {**_WEIGHTED, "threshold": _Parameter(), "recurrent": _NAME},
    "conv": {
        **_WEIGHTED, "threshold": _Parameter(), "stride": _pair(1), "padding": _pair(0),
        "dilation": _pair(1), "groups": Whole(1, WIDE),
    },
    "pool": {"kind": Text(), "kernel": _pair(1)},
    "upsample": {"kind": Text(), "factors": _pair(1)},
    "flatten": {"kind": Text()},
    "readout": {**_WEIGHTED, "decoding": Choice(DECODINGS)},
}  # fmt: skip
_NEEDED = {"kind", "weight", "kernel", "factors"}
_LAYERS = {kind: Table(rules, set(rules) - _NEEDED) for kind, rules in _OWN.items()}


class _Layer(Rule):
    """A layer's table."""

    def __str__(self) -> str:
        return f"a table with a kind, {', '.join(_LAYERS)}"

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(kind, str) or kind not in _LAYERS:
            yield Problem(f"{path}.kind", shown(kind), f"one of {', '.join(_LAYERS)}")
        else:
            yield from _LAYERS[kind].problems(value, path)


_FIELDS: Mapping[str, Rule] = {
    "input": _Either(Whole(1, SIZE_MAX), Items(Whole(1, SIZE_MAX), 1, 3)), "steps": Whole(1, STEPS_MAX),
    "clip": Whole(1, INT32.max), "classes": Items(Text(1024), 1), "alpha": Number(0, 1),
    "reset": Choice(RESETS), "reset_order": Choice(RESET_ORDERS), "comparison": Choice(COMPARISONS),
    "state": _NAME, "ignore": Items(_NAME), "layers": Items(_Layer(), 1, 1000),
}  # fmt: skip
DESCRIPTION = Table(_FIELDS, set(_FIELDS) - {"layers", "reset"})


def from_state_dict(
    state: State | str | PathLike[str],
    description: Mapping[str, Any] | str | PathLike[str],
    *,
    name: str | None = None,
    data: FrameSet | None = None,
) -> ImportedNetwork:
    """A network trained elsewhere, from its tensors and a description of what they mean.

    state: names to arrays or tensors, or the path of a file that torch.save wrote of them; nothing in it is
    run. description: a table, or the path of a TOML file; docs/your-network.md says what it holds. name: for
    people; default the file's. data: the recordings that it was trained on, which `compile`, `simulate` and
    calibration find again; steps, input, clip and classes are theirs where the description has none.

    Batch normalisation is folded into the weights, with its running statistics; `notes` says so.

    Raises CheckpointError: a description or a state that does not fit; names all that is wrong.

    >>> told = {"input": 3, "steps": 10, "reset": "subtract", "reset_order": "before-leak", "alpha": 0.9,
    ...         "layers": [{"kind": "dense", "weight": "fc.weight", "threshold": "theta"}]}
    >>> mine = sast.from_state_dict({"fc.weight": np.ones((2, 3)), "theta": [1.0, 0.5]}, told, name="mine")
    >>> sast.compile(mine, "loihi-int8").program.layers[0].vth.tolist()
    [96, 48]
    """
    source: dict[str, Any] = {"format": "state_dict"}
    tensors: Mapping[str, Any]
    where: str | Path = "the description"
    if isinstance(description, str | PathLike):
        where = Path(description)
        description = read_toml(where, TOML)[0]
    refuse(bounded(DESCRIPTION, description), where, CheckpointError)
    if isinstance(state, str | PathLike):
        path = Path(state)
        source |= {"path": str(path), "digest": file_digest(path)}
        name, tensors = name or path.stem, _inside(read_torch(path, STATE_FILE), description, path)
    else:
        tensors = state
    source["described"] = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
    network, notes = build(tensors, description, where, data)
    source["description"] = dict(description)
    made = ImportedNetwork(name or "network", network, source, notes)
    return made if data is None else made.on(data)


def _inside(found: Any, description: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """The table of tensors in a file: all of it, or what stands under the description's `state`."""
    if key := description.get("state"):
        if not isinstance(found, dict) or not isinstance(found.get(key), dict):
            raise CheckpointError(
                f"has no table of tensors {shown(key)}", where=path, expected=_keys(found),
                todo="correct `state`",
            )  # fmt: skip
        return dict(found[key])
    if isinstance(found, dict) and any(isinstance(each, np.ndarray) for each in found.values()):
        return dict(found)
    tables = found if isinstance(found, dict) else {}
    inner = [str(key) for key, each in tables.items() if isinstance(each, dict)]
    if not inner:
        STATE_FILE.refuse(f"holds {shown(found)}", path)
    raise CheckpointError(
        f"holds no tensors, but tables: {', '.join(inner)[:200]}", where=path,
        todo=f'say which in the description: state = "{inner[0]}"',
    )  # fmt: skip


def _keys(found: Any) -> str:
    return f"one of {', '.join(map(str, found))}"[:300] if isinstance(found, dict) else "a table"


def build(
    state: State, description: Mapping[str, Any], where: str | Path, data: FrameSet | None = None
) -> tuple[FloatNetwork, tuple[str, ...]]:
    """The network, and what was folded. Raises CheckpointError: names all that is wrong."""
    tensors = _Tensors(state, tuple(description.get("ignore", ())))
    found = [_layer(each, index, tensors) for index, each in enumerate(description["layers"])]
    layers = [each for each in found if each is not None]
    given = dict(description)
    if data is not None:
        own = {"input": list(data.sensor), "steps": data.options.steps, "clip": data.options.clip}
        given = {**own, "classes": list(data.info.classes), **given}
    problems = tensors.problems + tensors.unused()
    missing = [key for key in ("input", "steps") if key not in given]
    problems += [Problem("", f"missing key {key}", str(_FIELDS[key])) for key in missing]
    if given["reset"] == "subtract" and "reset_order" not in given:
        expected = "before-leak (Norse, SpikingJelly, sinabs) or after-leak (snnTorch): other spikes"
        problems.append(Problem("", "missing key reset_order", expected))
    refuse(iter(problems), where, CheckpointError)
    try:
        network = FloatNetwork(
            layers, given["input"], given["steps"],
            given.get("alpha"), given.get("clip", 1), classes=given.get("classes"), reset=given["reset"],
            reset_order=given.get("reset_order", RESET_ORDERS[0]),
            comparison=given.get("comparison", COMPARISONS[0]),
        )  # fmt: skip
    except ValueError as error:
        raise CheckpointError(str(error), where=where) from None
    return network, tuple(tensors.notes)


@dataclass
class _Tensors:
    """The state, what of it was used, and what was found wrong with it."""

    state: State
    ignored: tuple[str, ...]

    def __post_init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.used: set[str] = set()

    def take(self, name: str, path: str, axes: tuple[int, ...] | None = None) -> Floats | None:
        """A tensor as float64, of one of some numbers of axes; None where something is wrong with it."""
        self.used.add(name)
        if name not in self.state:
            near = difflib.get_close_matches(name, map(str, self.state), n=1)
            some = near or sorted(map(str, self.state))[:8]
            self.problems.append(Problem(path, shown(name), f"a tensor of the state: {', '.join(some)}"))
            return None
        array = _array(self.state[name])
        if array.dtype.kind not in "iuf" or not array.size:
            self.problems.append(Problem(path, f"{name}, {array.dtype} {array.shape}", "a tensor of numbers"))
        elif axes is not None and array.ndim not in axes:
            wanted = " or ".join(map(str, axes))
            self.problems.append(Problem(path, f"{name} of shape {array.shape}", f"{wanted} axes"))
        elif bad := int((~np.isfinite(array)).sum()):
            self.problems.append(Problem(path, f"{name} with {bad} values NaN or infinite", "finite numbers"))
        else:
            return array.astype(np.float64)
        return None

    def parameter(self, value: Any, path: str) -> Any:
        """A number, or a row of them, one for each neuron."""
        if isinstance(value, (int, float)):
            return float(value)
        named = {"tensor": value} if isinstance(value, str) else value
        found = self.take(named["tensor"], path)
        if found is None:
            return None
        with np.errstate(all="ignore"):  # what is no number then is refused by the layer
            found = THROUGH[named["through"]](found) if "through" in named else found
        return found.reshape(-1)

    def unused(self) -> list[Problem]:
        """A problem where tensors are left over."""
        left = [str(name) for name in self.state if name not in self.used]
        left = [name for name in left if not name.startswith(self.ignored)]
        if not left:
            return []
        some = f"{', '.join(left[:6])}{f' and {len(left) - 6} more' if len(left) > 6 else ''}"
        expected = "all tensors in layers, or named in ignore = [...]"
        return [Problem("", f"tensors of the state that no layer uses: {some}", expected)]


def _array(value: Any) -> npt.NDArray[Any]:
    """A tensor as an array, without importing torch."""
    for step in ("detach", "cpu", "float" if "bfloat16" in str(getattr(value, "dtype", "")) else "cpu"):
        value = getattr(value, step)() if hasattr(value, step) else value
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        return np.asarray(None)


def _layer(told: Mapping[str, Any], index: int, tensors: _Tensors) -> FloatLayer | None:
    """The layer; None for one that does nothing, or with what is wrong said to `tensors`."""
    kind, path = told["kind"], f"layers[{index}]"
    if kind == "flatten":
        return None
    try:
        if kind == "pool":
            return FloatPool(told["kernel"])
        if kind == "upsample":
            return FloatUpsample(told["factors"])
        return _weighted(told, path, tensors)
    except ValueError as error:
        tensors.problems.append(Problem(path, *_said(error)))
    return None


def _said(error: ValueError) -> tuple[str, str]:
    found, _, expected = str(error).partition("; expected ")
    return found, expected or "a layer"


def _weighted(told: Mapping[str, Any], path: str, tensors: _Tensors) -> FloatLayer | None:
    before, kind = len(tensors.problems), told["kind"]
    weight = tensors.take(told["weight"], f"{path}.weight", (4,) if kind == "conv" else (2,))
    names = told.get("bias", [])
    biases = [tensors.take(each, f"{path}.bias") for each in ([names] if isinstance(names, str) else names)]
    values = {
        key: tensors.parameter(told[key], f"{path}.{key}")
        for key in ("leak", "current_leak", "threshold", "gain") if key in told
    }  # fmt: skip
    delay = told.get("delay", 0)
    if isinstance(delay, str):
        delay = tensors.take(delay, f"{path}.delay")
    recurrent = tensors.take(told["recurrent"], f"{path}.recurrent", (2,)) if "recurrent" in told else None
    if weight is None or len(tensors.problems) > before:
        return None
    bias = np.zeros(len(weight))
    for each in biases:
        if each is not None and each.shape not in (bias.shape, (1,)):
            raise ValueError(f"bias of shape {each.shape}; expected {bias.shape}")
        bias = bias if each is None else bias + each
    if "norm" in told:
        weight, bias = _folded(told, path, weight, bias, tensors)
    weight, bias = _scaled(weight, bias, values.pop("gain", 1.0))
    common: dict[str, Any] = {"bias": bias, "delay": delay, **values}
    if kind == "conv":
        geometry = {k: _listed(told[k]) for k in ("stride", "padding", "dilation", "groups") if k in told}
        return FloatConv2d(weight, **common, **geometry)
    if kind == "dense":
        return FloatDense(weight, **common, recurrent=recurrent)
    return FloatReadout(weight, **common, decoding=told.get("decoding", DECODINGS[0]))


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _scaled(weight: Floats, bias: Floats, gain: Any) -> tuple[Floats, Floats]:
    """Both times a number, or times one for each neuron."""
    factor = np.atleast_1d(np.asarray(gain, np.float64))
    if len(factor) not in (1, len(weight)):
        raise ValueError(f"gain of shape {factor.shape}; expected one number, or ({len(weight)},)")
    return weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), bias * factor


def _folded(
    told: Mapping[str, Any], path: str, weight: Floats, bias: Floats, tensors: _Tensors
) -> tuple[Floats, Floats]:
    """Batch normalisation, g (W x + b - m) / sqrt(v + eps) + h with running mean m and variance v."""
    prefix, eps = told["norm"], told.get("norm_eps", NORM_EPS)
    tensors.used.add(f"{prefix}.num_batches_tracked")
    parts = {}
    for part, default in (("running_mean", None), ("running_var", None), ("weight", 1.0), ("bias", 0.0)):
        name = f"{prefix}.{part}"
        if default is not None and name not in tensors.state:  # affine = False
            parts[part] = np.full(len(weight), default)
        elif (found := tensors.take(name, f"{path}.norm")) is not None and found.shape != (len(weight),):
            raise ValueError(f"{name} of shape {found.shape}; expected ({len(weight)},)")
        elif found is not None:
            parts[part] = found
    if len(parts) < 4:
        return weight, bias
    if (parts["running_var"] + eps <= 0).any():
        raise ValueError(f"{prefix}.running_var is negative; expected variances")
    factor = parts["weight"] / np.sqrt(parts["running_var"] + eps)
    tensors.notes.append(f"{path}: batch normalisation {prefix} folded into {told['weight']} (eps {eps:g})")
    scaled, moved = _scaled(weight, bias - parts["running_mean"], factor)
    return scaled, moved + parts["bias"]


