"""Mutations of torch's zip archives: trees of tensors, pickles, members, bombs."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from tools.fuzzing import marker
from tools.fuzzing.values import Raw, Rng, change_bytes, leaf, number, pick

RUNS_CODE = "holds code"
BOMB = 3 << 30  # bytes that a bomb unpacks to


class Payload:
    """Pickled, this calls a function when loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def payloads() -> tuple[Payload, ...]:
    """Objects that leave a mark where a reader runs their code."""
    return (
        Payload(marker.hit),
        Payload(eval, "__import__('tools.fuzzing.marker').fuzzing.marker.hit()"),
        Payload(exec, "from tools.fuzzing import marker; marker.hit()"),
        Payload(torch.load, "/etc/hostname"),
        Payload(open, "owned", "w"),
    )


def tensor_or_leaf(rng: Rng, old: Any) -> Any:
    """Another value in place of `old`: tensors become other tensors."""
    if isinstance(old, torch.Tensor) and rng.random() < 0.85:
        return pick(rng, TENSORS)(rng, old)
    if isinstance(old, Raw) or rng.random() < 0.1:
        return pick(rng, OBJECTS)()
    new = leaf(rng, old)
    return float("nan") if isinstance(new, Raw) else new


def _poisoned(rng: Rng, old: torch.Tensor) -> torch.Tensor:
    made = old.clone()
    if made.numel():
        made.view(-1)[int(rng.integers(made.numel()))] = float(
            pick(rng, (float("nan"), float("inf"), -1e30, 0, 1e38, -1))
        )
    return made


TENSORS: tuple[Callable[[Rng, torch.Tensor], Any], ...] = (
    _poisoned,
    _poisoned,
    _poisoned,
    lambda _, t: t * 1e20,
    lambda _, t: torch.zeros_like(t),
    lambda _, t: t.double(),
    lambda _, t: t.half(),
    lambda _, t: t.to(torch.int64),
    lambda _, t: t.to(torch.complex64),
    lambda _, t: t.to(torch.bfloat16),
    lambda _, t: t.bool(),
    lambda _, t: t.to_sparse(),
    lambda _, t: t.to("meta"),
    lambda _, t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    lambda _, t: t.reshape(-1),
    lambda _, t: t[None],
    lambda _, t: t[:0] if t.ndim else t,
    lambda _, t: t[:-1] if t.ndim else t,
    lambda _, t: t.t() if t.ndim == 2 else t,
    lambda _, t: torch.cat([t, t]) if t.ndim else t,
    lambda _, t: torch.tensor(0.0).expand(60_000, 60_000),
    lambda _, t: torch.zeros(1).expand(t.shape) if t.ndim else t,
    lambda _, t: torch.tensor(0.0).as_strided((5, 2**40), (0, 0)),
    lambda _, t: torch.nn.Parameter(t.float()),
    lambda _, t: t.float().requires_grad_(),
    lambda _, t: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    lambda _, t: t.tolist(),
    lambda _, t: t.numpy().copy() if not t.requires_grad else t,
)
OBJECTS: tuple[Callable[[], Any], ...] = (
    lambda: torch.float32,
    lambda: torch.Size([1, 2]),
    lambda: torch.device("cpu"),
    lambda: {1: 2},
    lambda: (1, 2),
    lambda: {"x": {"y": [torch.ones(2)]}},
    lambda: b"bytes",
    lambda: bytearray(3),
    lambda: 1j,
    lambda: {1, 2},
    lambda: torch.ones(()),
    lambda: torch.nn.Linear(1, 1),
    lambda: __import__("collections").OrderedDict(a=1),
    lambda: {(1, 2): 3},
    lambda: {None: 1},
    lambda: 10**400,
)


def change_archive(rng: Rng, content: bytes) -> tuple[bytes, str, str]:
    """One mutation of a torch archive: (content, what was done, why it must be refused or "")."""
    members = _members(content)
    if not members:
        return (*change_bytes(rng, content), "")
    change: Change = pick(rng, CHANGES)
    return change(rng, members)


Members = list[tuple[str, bytes]]
Change = Callable[[Rng, Members], tuple[bytes, str, str]]


def _members(content: bytes) -> Members:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, EOFError):
        return []


def packed(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive with right checksums."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return content.getvalue()


def _pickle_bytes(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    """Bits and opcodes of data.pkl, with its checksum right."""
    changed = []
    for name, data in members:
        if name.endswith("data.pkl"):
            if rng.random() < 0.5:
                data, _ = change_bytes(rng, data)
            else:
                at = int(rng.integers(len(data)))
                data = data[:at] + bytes([pick(rng, OPCODES)]) + data[at + int(rng.integers(2)) :]
        changed.append((name, data))
    return packed(changed), "pickle damaged", ""


OPCODES = b"(.0N)]}lduaestRbcioPQhjgrqpKMJGXTUB\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x93\x94\x95"


def _pickle_numbers(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    """Another number in the pickle: sizes, strides, offsets of tensors among them."""
    changed = []
    for name, data in members:
        if name.endswith("data.pkl"):
            at = [i for i in range(len(data) - 1) if data[i : i + 1] in b"KMJ" and data[i : i + 1]]
            where = pick(rng, at)
            width = {b"K": 2, b"M": 3, b"J": 5}[data[where : where + 1]]
            new = int(pick(rng, (0, -1, 1, 2**31 - 1, -(2**31), 2**16, 100, 7)))
            data = data[:where] + b"J" + struct.pack("<i", new) + data[where + width :]
        changed.append((name, data))
    return packed(changed), "a number in the pickle changed", ""


def _code(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    hostile = pickle.dumps({"format": "sast-deploy-checkpoint", "x": pick(rng, payloads())}, protocol=2)
    if rng.random() < 0.2:
        return hostile, "a bare pickle that runs code", RUNS_CODE
    return packed([(n, hostile if n.endswith("data.pkl") else d) for n, d in members]), "runs code", RUNS_CODE


def _storages(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    """Storages cut, lengthened or missing."""
    index = int(rng.integers(len(members)))
    name, data = members[index]
    way = int(rng.integers(4))
    rest = [*members[:index], *members[index + 1 :]]
    if way == 0:
        return packed(rest), f"{_last(name)} missing", ""
    if way == 1:
        return packed([*rest, (name, data[: len(data) // 2])]), f"{_last(name)} cut", ""
    if way == 2:
        return packed([*rest, (name, data + bytes(1000))]), f"{_last(name)} longer", ""
    other = pick(rng, members)[1]
    return packed([*rest, (name, other)]), f"{_last(name)} another's", ""


def _names(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    odd = (
        "../x",
        "/etc/x",
        "a/b/c/data.pkl",
        "",
        "x" * 60_000,
        "é\u202e",
        "archive/data.pkl",
        "data.pkl",
        "a\\b",
        "/",
    )
    index = int(rng.integers(len(members)))
    name, data = members[index]
    changed = list(members)
    if rng.random() < 0.5:
        changed[index] = (pick(rng, odd), data)
        return packed(changed), "a member renamed", ""
    changed.append((pick(rng, (*odd, name)), data))
    return packed(changed), "a member more", ""


def _packing(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    method = pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    return packed(members, method), f"packed by method {method}", ""


def _header(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    """A field of a local or central header changed: method, flags, sizes, offsets."""
    data = bytearray(packed(members))
    mark, length = pick(rng, ((b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22)))
    starts = [i for i in range(len(data) - length) if data[i : i + 4] == mark] or [len(data) - length]
    at = pick(rng, starts) + 4 + int(rng.integers(length - 4))
    data[at : at + 2] = struct.pack("<H", int(number(rng, 1)) & 0xFFFF if rng.random() < 0.5 else 0xFFFF)[
        : len(data) - at
    ]
    return bytes(data), "a zip header changed", ""


def _bomb(rng: Rng, members: Members) -> tuple[bytes, str, str]:
    """A deflated member of zeros, some megabytes for gigabytes."""
    index = int(rng.integers(len(members)))
    return (
        with_bomb(members, index),
        f"{_last(members[index][0])} a bomb",
        "unpacks to far more than it holds",
    )


def with_bomb(members: Members, index: int) -> bytes:
    """The archive with a member of 3 GB of zeros in place of one of its own."""
    stream, checksum = bomb()
    mark = b"@here is the bomb@"
    data = packed([(n, mark if i == index else d) for i, (n, d) in enumerate(members)])
    at = data.index(mark)
    cut = bytearray(data[:at] + stream + data[at + len(mark) :])
    sizes = struct.pack("<HIII", 8, checksum, len(stream), BOMB)
    local = cut.rindex(b"PK\x03\x04", 0, at)
    cut[local + 8 : local + 10], cut[local + 14 : local + 26] = sizes[:2], sizes[2:]
    name = members[index][0].encode()
    central = cut.index(b"PK\x01\x02", at + len(stream))
    while cut[central + 46 : central + 46 + len(name)] != name:
        central = cut.index(b"PK\x01\x02", central + 4)
    cut[central + 10 : central + 12], cut[central + 16 : central + 28] = sizes[:2], sizes[2:]
    return bytes(_moved(cut, local, len(stream) - len(mark)))


def _moved(data: bytearray, start: int, by: int) -> bytearray:
    """Offsets of everything behind `start` moved by so many bytes."""
    end = data.rindex(b"PK\x05\x06")
    directory = struct.unpack_from("<I", data, end + 16)[0] + by
    struct.pack_into("<I", data, end + 16, directory)
    at = directory
    while data[at : at + 4] == b"PK\x01\x02":
        offset = struct.unpack_from("<I", data, at + 42)[0]
        if offset > start:
            struct.pack_into("<I", data, at + 42, offset + by)
        at += 46 + sum(struct.unpack_from("<HHH", data, at + 28))
    return data


@cache
def bomb() -> tuple[bytes, int]:
    """A raw deflate stream of 3 GB of zeros, and their CRC-32."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum, count = 0, BOMB >> 20
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    return first * count + packer.flush(zlib.Z_FINISH), checksum


def _last(name: str) -> str:
    last = name.rpartition("/")[2]
    return "a storage" if last.isdigit() else last


CHANGES: tuple[Change, ...] = (
    *(_pickle_bytes,) * 6,
    *(_pickle_numbers,) * 4,
    *(_storages,) * 3,
    _names,
    _packing,
    *(_header,) * 2,
    _code,
    _bomb,
)
