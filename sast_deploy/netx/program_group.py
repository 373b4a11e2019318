"""/sast/program, the exact integer program, dataset by dataset as the rules of its fields say.

Every field is one dataset of its name; a layer's stand in /sast/program/layers/<i> beside `kind`, the rules
in /sast/program/arithmetic. A field that is None, or says no more than before it was there, has no dataset.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set as AbstractSet
from pathlib import Path
from typing import Any, NoReturn, get_args

import h5py
import numpy as np

from sast_deploy.base.errors import NetFileError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.reading.hdf5 import read_dataset
from sast_deploy.base.rules import INT32, Choice, Ints, Items, Rule, Text, Whole
from sast_deploy.base.settings import ruled
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import LABEL, Layer, Program

RECOMPILE = "compile the checkpoint again"
EXPECTED = Expected(
    "a .net file that `sast-deploy compile` wrote", NetFileError, RECOMPILE,
    "`sast-deploy compile CHECKPOINT` writes one",
)  # fmt: skip
KINDS: Mapping[str, type[Layer]] = {kind.kind: kind for kind in get_args(Layer)}
PARTS = ("classes", "arithmetic", "layers")  # written otherwise than as one dataset of the field's name
PROGRAM = {name: rule for name, rule in ruled(Program).items() if name not in PARTS}
RULES = {name: rule for name, rule in ruled(Arithmetic).items() if name != "state"}
COMPRESSED = 1024  # numbers from which on an array is compressed


def write_program(group: h5py.Group, program: Program) -> None:
    """Fill /sast/program."""
    for name, value in program.said():
        if name in PROGRAM:
            put(group, name, value)
    put(group, "classes", json.dumps(program.classes))
    put(group, "arithmetic/state_bits", program.arithmetic.state.bits)
    put(group, "arithmetic/state_fraction_bits", program.arithmetic.state.fraction_bits)
    for name, value in program.arithmetic.said():
        if name in RULES:
            put(group, f"arithmetic/{name}", value)
    for index, layer in enumerate(program.layers):
        put(group, f"layers/{index}/kind", layer.kind)
        for name, value in layer.said():
            if value is not None:
                put(group, f"layers/{index}/{name}", value)


def read_program(group: h5py.Group, path: Path) -> Program:
    """The program of /sast/program.

    Raises:
        NetFileError: a dataset is missing, unknown, or holds what its field may not; names it.
    """
    layers, later = group["layers"], Program.added_later
    _check_names(group, {*PROGRAM, *PARTS} - later, later, path)
    _check_names(layers, {str(index) for index in range(len(layers))}, set(), path)
    classes = parse_json(_value(group, "classes", LABEL, path), path, EXPECTED)
    if not isinstance(classes, list):
        refuse(path, f"{group.name}/classes has no list", "a list of texts")
    plain = {name: _value(group, name, rule, path) for name, rule in PROGRAM.items() if name in group}
    parts = tuple(_read_layer(layers[str(index)], path) for index in range(len(layers)))
    try:
        rules = _read_rules(group["arithmetic"], path)
        return Program(classes=tuple(classes), arithmetic=rules, layers=parts, **plain)
    except ValueError as error:
        refuse(path, f"{group.name} holds a wrong value: {error}")


def put(group: h5py.File | h5py.Group, name: str, value: Any, least: type[np.integer[Any]] = np.int8) -> None:
    """One dataset: text as a fixed-length byte string, big arrays compressed losslessly.

    least: the narrowest type of big arrays.
    """
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, bytes):
        group.create_dataset(name, data=np.bytes_(value))
        return
    array = np.asarray(value)
    if array.size < COMPRESSED:
        group.create_dataset(name, data=array)
        return
    width = least if narrow(array) else np.int32
    group.create_dataset(name, data=array.astype(width), compression="gzip", shuffle=True)


def narrow(array: np.ndarray) -> bool:
    """Whether an array is large, and its values small enough for 8 bits."""
    return array.size >= COMPRESSED and array.min() > -128 and array.max() < 128


def text(group: h5py.Group, name: str) -> str:
    """A dataset of text in UTF-8. Raises KeyError, ValueError."""
    value = read_dataset(group, name)[()]
    if not isinstance(value, (bytes, str)):
        raise ValueError(f"{group.name}/{name} is no text")
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _read_rules(group: h5py.Group, path: Path) -> Arithmetic:
    bits, state = ruled(QFormat)["bits"], ("state_bits", "state_fraction_bits")
    later = Arithmetic.added_later
    _check_names(group, {*RULES, *state} - later, later, path)
    form = QFormat(*(_value(group, name, bits, path) for name in state))
    found = {name: _value(group, name, rule, path) for name, rule in RULES.items() if name in group}
    return Arithmetic(form, **found)


def _read_layer(group: h5py.Group, path: Path) -> Layer:
    if "kind" not in group or text(group, "kind") not in KINDS:
        refuse(path, f"{group.name} has no kind of layer", f"kind {', '.join(KINDS)}")
    kind = KINDS[text(group, "kind")]
    rules = ruled(kind)
    optional = {name for name, rule in rules.items() if isinstance(rule, Ints) and rule.optional}
    optional |= kind.added_later
    _check_names(group, {"kind", *rules} - optional, optional, path)
    values = {name: _value(group, name, rule, path) for name, rule in rules.items() if name in group}
    try:
        return kind(**values)
    except ValueError as error:
        refuse(path, f"{group.name} holds a wrong value: {error}")


def _value(group: h5py.Group, name: str, rule: Rule, path: Path) -> Any:
    """The value of a dataset as its field has it; int8 and int64 will do where the values fit 32 bits."""
    stored = read_dataset(group, name)
    integers, place = stored.dtype.kind in "iu", f"{group.name}/{name}"
    if isinstance(rule, Ints) and integers:
        if stored.size and (stored.min() < INT32.min or stored.max() > INT32.max):
            refuse(path, f"{place} has {stored.min()}..{stored.max()}", str(rule))
        return stored.astype(np.int32)
    if isinstance(rule, Whole) and integers and stored.shape == ():
        return int(stored)
    if isinstance(rule, Items) and integers and stored.ndim == 1:
        return tuple(map(int, stored))
    value = stored[()]
    if isinstance(rule, Text | Choice) and isinstance(value, bytes | str):
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    refuse(path, f"{place} has {stored.dtype} {stored.shape}", str(rule))


def _check_names(group: h5py.Group, wanted: set[str], allowed: AbstractSet[str], path: Path) -> None:
    if missing := sorted(wanted - set(group)):
        refuse(path, f"{group.name} has no {missing[0]}", ", ".join(sorted(wanted)))
    if unknown := sorted(set(group) - wanted - allowed):
        refuse(path, f"{group.name} has an unknown {unknown[0]!r}", ", ".join(sorted(wanted | allowed)))


def refuse(path: Path | str, what: str, expected: str | None = None) -> NoReturn:
    """Raise the NetFileError for a file that is to be compiled again."""
    raise NetFileError(what, where=path, expected=expected, todo=RECOMPILE)
