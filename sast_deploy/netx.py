"""Program <-> NetX HDF5. netx_exports/README.md documents the file dataset by dataset.

A .net file holds the same network twice: /layer/<i>, which stock NetX loads, and /sast, the exact
integer program with what is needed to run it and to know what it is. Reading recomputes the program's
digest and the stock view from /sast and refuses a file in which they disagree.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sast_deploy.errors import NetFileError
from sast_deploy.fileio import write_bytes
from sast_deploy.fixedpoint import Arithmetic, QFormat
from sast_deploy.netx_known import KnownAnswers, read_known, write_known
from sast_deploy.netx_stock import StockLayer, stock_layers
from sast_deploy.program import Conv2d, Dense, Layer, Program, Readout, SumPool, frozen_ints

FORMAT = "sast-deploy-net"
FORMAT_VERSION = 1
RECOMPILE = "compile the checkpoint again"
METADATA = ("frames", "data", "checkpoint", "calibration", "created")
Json = Mapping[str, Any]
KINDS = {kind.kind: kind for kind in (Dense, Conv2d, SumPool, Readout)}


@dataclass(frozen=True, eq=False)
class NetFile:
    """Everything a .net file carries.

    profile_text: the TOML the program was compiled with. frames, data, checkpoint, calibration, created:
    JSON-able dictionaries (frame options; the data set; checkpoint name, digest, recipe, seeds and metrics;
    steps, samples and data of a calibration, else empty; versions). strict_reset: the neuron type is one
    that stock NetX refuses. known: inputs with their answers; `compile` always adds them.
    """

    program: Program
    profile_text: str
    frames: Json = field(default_factory=dict)
    data: Json = field(default_factory=dict)
    checkpoint: Json = field(default_factory=dict)
    created: Json = field(default_factory=dict)
    calibration: Json = field(default_factory=dict)
    strict_reset: bool = False
    known: KnownAnswers | None = None


def write_net(path: Path, net: NetFile) -> None:
    """Write a .net file atomically.

    Raises:
        OutputError: the file cannot be written. CompileError: stock NetX would alter a weight.
    """
    layers = stock_layers(net.program, net.strict_reset)
    # In memory first: what HDF5 raises on a full disk says neither that nor which file.
    content = io.BytesIO()
    with h5py.File(content, "w", track_order=False) as file:
        for index, layer in enumerate(layers):
            for name, value in layer.items():
                _put(file, f"layer/{index}/{name}", value)
        sast = file.create_group("sast")
        _put(sast, "format", FORMAT)
        _put(sast, "format_version", FORMAT_VERSION)
        _put(sast, "strict_reset", net.strict_reset)
        _put(sast, "profile", net.profile_text)
        for name in METADATA:
            _put(sast, name, json.dumps(getattr(net, name), sort_keys=True))
        _put(sast, "program_digest", net.program.digest())
        _write_program(sast.create_group("program"), net.program)
        write_known(sast, net.known)
    write_bytes(path, content.getbuffer())


def read_net(path: Path) -> NetFile:
    """Read and check a .net file.

    Raises:
        NetFileError: missing, not HDF5, truncated, not ours, newer than this version, or altered.
    """
    if not Path(path).is_file():
        raise NetFileError(
            "no such file", where=path, expected="a .net file that `sast-deploy compile` wrote"
        )
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except NetFileError:
        raise
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        IndexError,
        UnicodeDecodeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetFileError(f"is damaged or no NetX file ({reason})", where=path, todo=RECOMPILE) from error


def _read(file: h5py.File, path: Path) -> NetFile:
    if "sast/format" not in file or _text(file["sast/format"]) != FORMAT:
        raise NetFileError(
            "was not written by sast-deploy: group /sast is missing", where=path, todo=RECOMPILE
        )
    sast = file["sast"]
    version = int(sast["format_version"][()])
    if version != FORMAT_VERSION:
        raise NetFileError(
            f"has format version {version}",
            where=path,
            expected=f"version {FORMAT_VERSION}",
            todo="update sast-deploy" if version > FORMAT_VERSION else RECOMPILE,
        )
    program = _read_program(sast["program"])
    if program.digest() != _text(sast["program_digest"]):
        raise NetFileError("was altered: the program does not match its digest", where=path, todo=RECOMPILE)
    strict = bool(sast["strict_reset"][()])
    _check_stock_view(file, stock_layers(program, strict), path)
    # Files from before calibration have no record of it.
    meta = {name: json.loads(_text(sast[name])) for name in METADATA if name in sast or name != "calibration"}
    known = read_known(sast, sum(1 for _ in program.spiking()), path)
    return NetFile(program, _text(sast["profile"]), strict_reset=strict, known=known, **meta)


def _check_stock_view(file: h5py.File, layers: list[StockLayer], path: Path) -> None:
    if len(file["layer"]) != len(layers):
        raise NetFileError(
            f"was altered: {len(file['layer'])} stock layers", where=path, expected=str(len(layers))
        )
    for index, layer in enumerate(layers):
        for name, value in layer.items():
            if not np.array_equal(file[f"layer/{index}/{name}"][()], value):
                raise NetFileError(f"was altered: /layer/{index}/{name} differs from the program", where=path)


def _write_program(group: h5py.Group, program: Program) -> None:
    for name in ("name", "input_max", "steps", "reset_interval"):
        _put(group, name, getattr(program, name))
    _put(group, "input_shape", np.array(program.input_shape))
    _put(group, "classes", json.dumps(program.classes))
    rules = program.arithmetic
    _put(group, "arithmetic/state_bits", rules.state.bits)
    _put(group, "arithmetic/state_fraction_bits", rules.state.fraction_bits)
    for name in ("weight_bits", "overflow", "leak_rounding", "shift_rounding", "comparison", "reset"):
        _put(group, f"arithmetic/{name}", getattr(rules, name))
    for index, layer in enumerate(program.layers):
        _put(group, f"layers/{index}/kind", layer.kind)
        for name, value in vars(layer).items():
            if value is None:
                continue
            _put(group, f"layers/{index}/{name}", np.array(value) if isinstance(value, tuple) else value)


def _read_program(group: h5py.Group) -> Program:
    rules = group["arithmetic"]
    texts = ("overflow", "leak_rounding", "shift_rounding", "comparison", "reset")
    state = QFormat(int(rules["state_bits"][()]), int(rules["state_fraction_bits"][()]))
    arithmetic = Arithmetic(
        state=state, weight_bits=int(rules["weight_bits"][()]), **{name: _text(rules[name]) for name in texts}
    )
    return Program(
        name=_text(group["name"]),
        input_shape=_ints(group["input_shape"]),
        input_max=int(group["input_max"][()]),
        steps=int(group["steps"][()]),
        classes=tuple(json.loads(_text(group["classes"]))),
        arithmetic=arithmetic,
        layers=tuple(_read_layer(group[f"layers/{i}"]) for i in range(len(group["layers"]))),
        reset_interval=int(group["reset_interval"][()]),
    )


def _read_layer(group: h5py.Group) -> Layer:
    kind = KINDS[_text(group["kind"])]
    values = {field.name: _field(group, field.name) for field in fields(kind)}
    return kind(**values)


def _field(group: h5py.Group, name: str) -> Any:
    """One field of a layer: a pair of rows and columns, an integer, an array, or None where it is absent."""
    if name == "recurrent" and name not in group:
        return None
    value = group[name][()]
    if name in ("kernel", "stride", "padding", "dilation"):
        rows, columns = value
        return (int(rows), int(columns))
    return int(value) if np.ndim(value) == 0 else frozen_ints(value)


def _put(group: h5py.File | h5py.Group, name: str, value: Any) -> None:
    """One dataset: text as a fixed-length byte string, big arrays compressed losslessly."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, bytes):
        group.create_dataset(name, data=np.bytes_(value))
        return
    array = np.asarray(value)
    if array.size < 1024:
        group.create_dataset(name, data=array)
        return
    width = np.int8 if np.abs(array).max() < 1 << 7 else np.int32
    group.create_dataset(name, data=array.astype(width), compression="gzip", shuffle=True)


def _text(dataset: h5py.Dataset) -> str:
    return bytes(dataset[()]).decode("utf-8")


def _ints(dataset: h5py.Dataset) -> Any:
    return tuple(int(value) for value in dataset[()])
