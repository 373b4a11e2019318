"""Program <-> NetX HDF5. netx_exports/README.md documents the file dataset by dataset.

A .net file holds the same network twice: /layer/<i>, which stock NetX loads, and /sast, the exact
integer program with what is needed to run it and to know what it is. Reading recomputes the digest of all of
/sast, the program's own and the stock view, and refuses a file in which they disagree. Digests guard against
accidents only: whatever they say, every value is checked as if nobody had computed them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sast_deploy.base import rules
from sast_deploy.base.errors import CompileError, NetFileError, ProfileError
from sast_deploy.base.files import write_bytes
from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.reading.files import DAMAGED_HDF5, NET, identify_hdf5
from sast_deploy.base.reading.hdf5 import open_hdf5, read_dataset
from sast_deploy.netx.known_answers import KnownAnswers, read_known, write_known
from sast_deploy.netx.metadata import NET_FILE
from sast_deploy.netx.program_group import EXPECTED, RECOMPILE, put, read_program, refuse, text, write_program
from sast_deploy.netx.stock_view import STATE, StockLayer, stock_layers
from sast_deploy.program.profile import Profile, parse_profile
from sast_deploy.program.program import Program

FORMAT = "sast-deploy-net"
FORMAT_VERSION = 2  # 1 had no digest over all of /sast
UNCOVERED = 1
DIGEST = "digest"
Json = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class NetFile:
    """Everything a .net file carries.

    profile_text: the TOML the program was compiled with; empty where its integers were given. frames, data,
    checkpoint, calibration, created: JSON-able dictionaries (frame options; the data set; checkpoint name,
    digest, recipe, seeds and metrics; steps, samples and data of a calibration, else empty; versions).
    strict_reset: the neuron type is one that stock NetX refuses. known: inputs with their answers; `compile`
    always adds them. covered: whether a digest covers all of this, as in files since format version 2, and
    not the program alone.
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
    covered: bool = True
    earlier: bool = False


def profile_of(net: NetFile, where: Path | str) -> Profile | None:
    """The profile that a file was compiled with, as its network completes it; None where integers were given.

    Raises:
        NetFileError: its text is no profile, or has other rules than the program.
    """
    if not net.profile_text:
        return None
    try:
        found = parse_profile(net.profile_text, where=f"{where} /sast/profile")
    except ProfileError as error:
        raise NetFileError(str(error), todo=RECOMPILE) from error
    rules = net.program.arithmetic
    if (found := found.obeying(rules.reset_order, rules.comparison)).arithmetic != rules:
        refuse(where, "/sast/profile has other rules than the program")
    return found


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
                # Stock Lava computes in the type of thresholds and decays.
                put(file, f"layer/{index}/{name}", value, np.int32 if name in STATE else np.int8)
        sast = file.create_group("sast")
        put(sast, "format", FORMAT)
        put(sast, "format_version", FORMAT_VERSION)
        put(sast, "strict_reset", net.strict_reset)
        if net.profile_text:  # HDF5 has no empty texts
            put(sast, "profile", net.profile_text)
        for name in NET_FILE.fields:
            put(sast, name, json.dumps(getattr(net, name), sort_keys=True))
        put(sast, "program_digest", net.program.digest())
        write_program(sast.create_group("program"), net.program)
        write_known(sast, net.known)
        put(sast, DIGEST, sast_digest(sast))
    write_bytes(path, content.getvalue())


def read_net(path: Path) -> NetFile:
    """Read and check a .net file.

    Raises:
        NetFileError: missing, not HDF5, truncated, not ours, newer than this version, or altered.
    """
    with open_hdf5(path, EXPECTED, ("sast", "layer")) as file:
        return _read(file, path)


def is_export(path: Path) -> bool | None:
    """Whether an HDF5 file is one that `write_net` wrote, of any version; None where it is damaged."""
    kind = identify_hdf5(path)
    if kind != NET:
        return None if kind == DAMAGED_HDF5 else False
    try:
        with open_hdf5(path, EXPECTED, ("sast",)) as file:
            return "format" in file["sast"] and text(file["sast"], "format") == FORMAT
    except NetFileError:
        return None


def sast_digest(sast: h5py.Group) -> str:
    """SHA-256 over every dataset below /sast but the digest itself: name, shape, type and values.

    Datasets in the order of their names; integers little-endian.
    """
    sha, names = hashlib.sha256(), sorted(_datasets(sast))
    for name in names:
        if name != DIGEST:
            values = read_dataset(sast, name)
            values = values.astype(values.dtype.newbyteorder("<"))
            sha.update(f"{name}={values.dtype.str}{list(values.shape)}".encode() + values.tobytes())
    return sha.hexdigest()


def _datasets(group: h5py.Group, prefix: str = "") -> Iterator[str]:
    for name, found in group.items():
        if isinstance(found, h5py.Group):
            yield from _datasets(found, f"{prefix}{name}/")
        else:
            yield prefix + name


def _read(file: h5py.File, path: Path) -> NetFile:
    if "sast/format" not in file or text(file["sast"], "format") != FORMAT:
        EXPECTED.refuse_kind(path)
    sast = file["sast"]
    version = read_dataset(sast, "format_version")
    if version.shape != () or version not in (UNCOVERED, FORMAT_VERSION):
        newer = version.shape == () and version > FORMAT_VERSION
        raise NetFileError(
            f"has format version {version}",
            where=path,
            expected=f"version {UNCOVERED} or {FORMAT_VERSION}",
            todo="update sast-deploy" if newer else RECOMPILE,
        )
    covered = int(version) > UNCOVERED
    if not covered and DIGEST in sast:
        refuse(path, "was altered: a file of version 1 has no digest")
    program = read_program(sast["program"], path)
    if program.digest() != text(sast, "program_digest"):
        refuse(path, "was altered: the program does not match its digest")
    strict = read_dataset(sast, "strict_reset")
    if strict.shape != () or strict.dtype != np.bool_:
        refuse(path, "strict_reset is no truth value")
    earlier = _is_earlier(file, program, bool(strict), path)
    known, facts = read_known(sast, program, path), _metadata(sast, path)
    # Last, since the other digests say where.
    if covered and sast_digest(sast) != text(sast, DIGEST):
        refuse(path, "was altered: /sast does not match its digest")
    profile = text(sast, "profile") if "profile" in sast else ""
    return NetFile(
        program, profile, **facts, strict_reset=bool(strict), known=known, covered=covered, earlier=earlier
    )


def _metadata(sast: h5py.Group, path: Path) -> dict[str, Json]:
    kept = (name for name in NET_FILE.fields if name in sast or name not in NET_FILE.optional)
    found = {name: text(sast, name) for name in kept}
    values = {name: parse_json(each, f"{path} /sast/{name}", EXPECTED) for name, each in found.items()}
    rules.refuse(NET_FILE.problems(values, ""), f"{path} /sast", NetFileError, RECOMPILE)
    return values


def _is_earlier(file: h5py.File, program: Program, strict: bool, path: Path) -> bool:
    """Whether the stock view is one of an earlier version, not today's; one of them it must be."""
    try:
        today, before = stock_layers(program, strict), stock_layers(program, strict, earlier=True)
    except CompileError as error:
        refuse(path, f"holds a program that no file can: {error}")
    problem = _differing(file, today)
    if problem and _differing(file, before):
        raise NetFileError(f"was altered: {problem}", where=path)
    groups = (file[f"layer/{index}"] for index in range(len(today)))
    return bool(problem) or any(g[name].dtype.itemsize < 4 for g in groups for name in STATE if name in g)


def _differing(file: h5py.File, layers: list[StockLayer]) -> str:
    """The first dataset that is not as `layers` have it; "" where there is none."""
    if len(file["layer"]) != len(layers):
        return f"{len(file['layer'])} stock layers; expected {len(layers)}"
    for index, layer in enumerate(layers):
        for name, value in layer.items():
            place = f"layer/{index}/{name}"
            if place not in file or not np.array_equal(read_dataset(file, place), value):
                return f"/{place} differs from the program"
    return ""
