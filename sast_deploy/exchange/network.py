"""A network that was trained elsewhere, with what is known of where it came from, and its file.

The file is HDF5, written and read without torch, and nothing in it is run. Below /sast_float:

    format, format_version      what it is
    network                     JSON: all of a FloatNetwork but its layers
    layers/<i>/options          JSON: kind, and fields that are no arrays
    layers/<i>/<field>          an array: float32, or int32 for delays
    facts                       JSON: name, source, notes, frames, data, metrics, created
    digest                      SHA-256 over all of the above

Digests guard against accidents; every value is checked as if nobody had computed them.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from sast_deploy.base.errors import CheckpointError, SastError
from sast_deploy.base.files import write_bytes
from sast_deploy.base.outputs import Found, Kind, check_output
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.reading.files import DAMAGED_HDF5, FLOAT, identify_hdf5
from sast_deploy.base.reading.hdf5 import open_hdf5, read_dataset
from sast_deploy.base.rules import (
    Array,
    Items,
    Maybe,
    Named,
    Number,
    Plain,
    Rule,
    Table,
    Text,
    bounded,
    refuse,
)
from sast_deploy.base.settings import ruled
from sast_deploy.base.versions import package_versions
from sast_deploy.compiler.floatnet import FloatLayer, FloatNetwork
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.data import DataInfo, FrameOptions, FrameSet, FrameSplit
from sast_deploy.netx.file import sast_digest
from sast_deploy.netx.metadata import METRICS
from sast_deploy.netx.program_group import COMPRESSED, text
from sast_deploy.reports.accuracy import Accuracy

FORMAT, FORMAT_VERSION = "sast-deploy-float-network", 1
ROOT = "sast_float"
EXPECTED = Expected(
    "a network that `sast-deploy import` wrote", CheckpointError, "import it again with `sast-deploy import`"
)
KINDS: Mapping[str, type[FloatLayer]] = {
    kind.__name__.removeprefix("Float").lower(): kind for kind in get_args(FloatLayer)
}
AT_ONCE = 256  # samples that are run together
PRECISION = np.float32  # in which they are run
_NETWORK: Mapping[str, Rule] = {
    **ruled(FloatNetwork),
    "alpha": Maybe(Number(0, 1)), "classes": Items(Text(1024), 1),
}  # fmt: skip
_FACTS = Table({
    "name": Text(255, "/\0", blank=False), "source": Named(Plain()), "notes": Items(Text()),
    "frames": Maybe(Named(Plain())), "data": Maybe(Named(Plain())), "metrics": METRICS,
    "created": Named(Text(255)),
})  # fmt: skip


@dataclass(frozen=True)
class FloatEvaluation:
    """A float network with its own, hard spikes on labelled samples.

    accuracy: share of right predictions, with its interval. rates: mean spikes per neuron and step of every
    spiking layer. seconds: wall time.
    """

    accuracy: Accuracy
    rates: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """A network trained elsewhere, ready to compile, and where it came from.

    name: names the exports. network: its equations. source: plain values: the format, the file's path and
    digest, the description. notes: what was folded, dropped or scaled, one line each. frames, data: the
    recordings that belong to it, or None, see `on`. metrics: {"test": {"samples": n, "hard": accuracy}}.

    Raises CheckpointError: frames or classes that are not the network's.

    >>> layers = [{"kind": "dense", "weight": "fc.weight", "leak": 0.5}]
    >>> told = {"input": 2, "steps": 4, "reset": "zero", "layers": layers}
    >>> mine = sast.from_state_dict({"fc.weight": np.eye(2)}, told, name="mine")
    >>> sast.load_network(mine.save("mine.h5")).network.layers[0].weight.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    name: str
    network: FloatNetwork
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    frames: FrameOptions | None = None
    data: DataInfo | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    created: Mapping[str, str] = field(default_factory=package_versions)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        refuse(_FACTS.problems(self._facts(), ""), None, CheckpointError)
        if (self.frames is None) != (self.data is None):
            raise CheckpointError("frames without their data set, or the other way", where=self.name)
        if self.frames is None or self.data is None:
            return
        network = self.network
        size = self.frames.size or network.input_shape[1:]
        said = (self.frames.steps, self.frames.clip, (2, *size), self.data.classes)
        needed = (network.steps, network.input_clip, network.input_shape, network.classes)
        for what, found, wanted in zip(("steps", "clip", "input", "classes"), said, needed, strict=True):
            if found != wanted:
                raise CheckpointError(f"frames of {what} {found}", where=self.name, expected=f"{wanted}")

    def on(self, data: FrameSet) -> ImportedNetwork:
        """With these recordings as its own, and its accuracy on their test split.

        Raises CheckpointError: frames or classes that are not the network's.
        """
        own = replace(self, frames=data.options, data=data.info, metrics={})
        if not len(data.test):
            return own
        found = own.evaluate(data.test)
        share, rates = found.accuracy, list(found.rates)
        test = {"samples": share.samples, "hard": share.value, "hard_rates": rates}
        return replace(own, metrics={"test": test})

    def evaluate(self, split: FrameSplit) -> FloatEvaluation:
        """Run it in floating point on all samples of a split, with the spikes that it was trained for.

        Raises DataError: frames of another shape.
        """
        start, right = time.perf_counter(), 0
        rates = np.zeros(sum(hasattr(layer, "threshold") for layer in self.network.layers))
        for low in range(0, len(split), AT_ONCE):
            frames, labels = np.asarray(split.frames[low : low + AT_ONCE]), split.labels[low : low + AT_ONCE]
            found = run_float(self.network, frames, PRECISION)
            right += int((found.predictions == labels).sum())
            rates += [float(count.mean()) * len(labels) / self.network.steps for count in found.counts]
        shares = tuple((rates / max(1, len(split))).tolist())
        return FloatEvaluation(Accuracy(right, len(split)), shares, time.perf_counter() - start)

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write its file, whole or not at all; the path.

        Raises OutputError: it cannot be written, or another network lies there and may not go.
        """
        path = Path(path)
        check_output(path, FLOAT_FILE, self.origin, overwrite=overwrite, option="path")
        write_bytes(path, _content(self))
        return path

    @property
    def origin(self) -> dict[str, Any]:
        """What made it, for the guard of outputs."""
        digest = None if self.frames is None or self.data is None else self.data.frame_digest
        return {"network": self.source.get("digest"), "description": self.source.get("described"),
                "frames": digest}  # fmt: skip

    def _facts(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            each.name: getattr(self, each.name) for each in fields(self) if each.name != "network"
        }
        plain["notes"] = list(self.notes)
        for name in ("frames", "data"):
            plain[name] = None if plain[name] is None else plain[name].to_dict()
        return plain


def load_network(path: str | PathLike[str]) -> ImportedNetwork:
    """Read and check what `ImportedNetwork.save` or `sast-deploy import` wrote.

    Raises CheckpointError: missing, truncated, foreign, altered, newer than this version.

    >>> told = {"input": 1, "steps": 4, "reset": "zero",
    ...         "layers": [{"kind": "dense", "weight": "w", "leak": 0.5}]}
    >>> path = sast.from_state_dict({"w": [[2.0]]}, told, name="mine").save("other.h5")
    >>> sast.load_network(path).name
    'mine'
    """
    path = Path(path)
    with open_hdf5(path, EXPECTED, (ROOT,)) as file:
        if ROOT not in file or text(file[ROOT], "format") != FORMAT:
            EXPECTED.refuse_kind(path)
        group, version = file[ROOT], read_dataset(file[ROOT], "format_version")
        if version.shape != () or version != FORMAT_VERSION:
            raise CheckpointError(
                f"has format version {version}", where=path, expected=f"{FORMAT_VERSION}",
                todo="update sast-deploy",
            )  # fmt: skip
        if sast_digest(group) != text(group, "digest"):
            EXPECTED.refuse("was altered: it does not match its digest", path)
        facts = _json(group, "facts", _FACTS, path)
        options = _json(group, "network", Table(_NETWORK), path)
        try:
            layers = [_layer(group[f"layers/{index}"], path) for index in range(len(group["layers"]))]
            network = FloatNetwork(layers, **options)
        except ValueError as error:
            EXPECTED.refuse(f"holds a wrong value: {error}", path)
    return _made(facts, network, path)


def _made(facts: dict[str, Any], network: FloatNetwork, path: Path) -> ImportedNetwork:
    try:
        for name, kind in (("frames", FrameOptions), ("data", DataInfo)):
            facts[name] = None if facts[name] is None else kind.from_dict(facts[name])
        return ImportedNetwork(network=network, **{**facts, "notes": tuple(facts["notes"])})
    except SastError as error:
        raise CheckpointError(f"holds a wrong value: {error}", where=path, expected=EXPECTED.what) from error


def _content(imported: ImportedNetwork) -> bytes:
    content, network = io.BytesIO(), imported.network
    with h5py.File(content, "w", track_order=False) as file:
        group = file.create_group(ROOT)
        _put(group, "format", FORMAT)
        _put(group, "format_version", FORMAT_VERSION)
        _put(group, "facts", json.dumps(imported._facts(), sort_keys=True, allow_nan=False))
        _put(group, "network", json.dumps({name: getattr(network, name) for name in _NETWORK}))
        for index, layer in enumerate(network.layers):
            names = {each.name: getattr(layer, each.name) for each in fields(layer)}
            arrays = {name: value for name, value in names.items() if isinstance(value, np.ndarray)}
            kind = next(name for name, kind in KINDS.items() if type(layer) is kind)
            plain = {name: value for name, value in names.items() if name not in arrays and value is not None}
            _put(group, f"layers/{index}/options", json.dumps({"kind": kind, **plain}))
            for name, value in arrays.items():
                _put(group, f"layers/{index}/{name}", value)
        _put(group, "digest", sast_digest(group))
    return content.getvalue()


def _put(group: h5py.Group, name: str, value: Any) -> None:
    data = np.bytes_(value.encode()) if isinstance(value, str) else np.asarray(value)
    packed = {"compression": "gzip", "shuffle": True} if data.size >= COMPRESSED else {}
    group.create_dataset(name, data=data, **packed)


def _json(group: h5py.Group, name: str, rule: Rule, path: Path) -> dict[str, Any]:
    found = parse_json(text(group, name), f"{path} {group.name}/{name}", EXPECTED)
    refuse(bounded(rule, found), f"{path} {group.name}/{name}", CheckpointError, EXPECTED.todo)
    return dict(found)


def _layer(group: h5py.Group, path: Path) -> FloatLayer:
    named = parse_json(text(group, "options"), f"{path} {group.name}/options", EXPECTED)
    kind = named.pop("kind", None) if isinstance(named, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        EXPECTED.refuse(f"{group.name} has no kind of layer", path)
    rules = ruled(KINDS[kind])
    arrays = {name for name, rule in rules.items() if isinstance(rule, Array)}
    unknown = sorted({*named} - {*rules} | {*named} & arrays | {*group} - {"options"} - arrays)
    if unknown:
        EXPECTED.refuse(f"{group.name} has an unknown {unknown[0]!r}", path)
    values: dict[str, Any] = {name: read_dataset(group, name) for name in group if name != "options"}
    values |= {name: tuple(each) if isinstance(each, list) else each for name, each in named.items()}
    try:
        layer: FloatLayer = KINDS[kind](**values)
    except TypeError:  # of an argument that is missing
        EXPECTED.refuse(f"{group.name} lacks a field", path)
    return layer


def _read_origin(path: Path) -> Found:
    try:
        return load_network(path).origin
    except SastError:
        return {FLOAT: True, DAMAGED_HDF5: None}.get(identify_hdf5(path), False)


FLOAT_FILE = Kind("file of an imported network", rb"\x89HDF\r\n\x1a\n", _read_origin)
