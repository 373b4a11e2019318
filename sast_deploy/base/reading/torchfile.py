"""What `torch.save` wrote of plain values and tensors, read without torch: nothing in it is run or believed.

The file is a zip archive: `data.pkl`, a pickle that refers to storages, and one member for each storage. Here
the archive's members, the pickle's opcodes, the few names it may look up, and every tensor's shape against
its storage are checked before anything of that size is made. Tensors become NumPy arrays of their strides.
Source: torch/serialization.py and torch/_utils.py (`_rebuild_tensor_v2`).
"""

from __future__ import annotations

import io
import itertools
import math
import pickle
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sast_deploy.base.reading.files import BROKEN_ZIP, PICKLE_MARK, ZIP_MARK, Expected, read_bytes
from sast_deploy.base.rules import shown

FILE_BYTES, PICKLE_BYTES = 1 << 30, 16 << 20
MEMBERS, OPCODES, AXES = 10_000, 3_000_000, 8
DAMAGED = "is truncated or damaged"
UNSAFE = "holds objects that could run code, and was not loaded"
OTHER = "is a torch file of some other kind"
# All that torch.save needs for plain values and tensors: none of these makes more than the file holds.
SAFE = frozenset((
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "GLOBAL", "REDUCE",
    "BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE",
))  # fmt: skip
DTYPES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
}  # fmt: skip


class _DamagedError(Exception):
    """Why a file is not read."""


def read_torch(path: Path, expected: Expected) -> Any:
    """The plain values of a torch file, its tensors as writable NumPy arrays with the strides they had.

    Raises `expected.error`: no regular file, no zip archive of torch's, changed or cut off, objects that are
    neither plain values nor dense tensors, tensors that their storages do not hold.
    """
    content = read_bytes(path, expected, FILE_BYTES)
    if content.startswith(PICKLE_MARK):
        expected.refuse("is a pickle, which could run code, and was not loaded", path)
    if not content.startswith(ZIP_MARK):
        expected.refuse_kind(path)
    try:
        members = _members(content)
        if members is None:
            expected.refuse_kind(path)
        builds = _check_opcodes(members.pickle)
        return (_Builder if builds else _Unpickler)(members).load()
    except _DamagedError as error:
        expected.refuse(str(error), path)
    except expected.error:
        raise
    except Exception:  # a pickle may make the unpickler raise anything
        expected.refuse(DAMAGED, path)


@dataclass(frozen=True, eq=False)
class _Members:
    """The archive: the pickle, the storages by name, and whether their values begin with the high byte."""

    pickle: bytes
    storages: dict[str, bytes]
    big_endian: bool


def _members(content: bytes) -> _Members | None:
    """What the archive holds, None for one of another kind; nothing in it is packed: it fits the file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found = archive.infolist()
        names = [each.filename for each in found]
        packed = any(each.compress_type != zipfile.ZIP_STORED for each in found)
        tops = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if not tops:
            return None
        if packed or len(set(names)) < len(found) or len(found) > MEMBERS or len(tops) > 1:
            raise _DamagedError("is no archive as torch writes them: members packed, twice or too many")
        if sum(each.file_size for each in found) > len(content):
            raise _DamagedError(DAMAGED)
        # Reading a member checks its sum.
        parts = {each.filename.removeprefix(tops[0]): archive.read(each) for each in found}
    storages = {name.removeprefix("data/"): part for name, part in parts.items() if name.startswith("data/")}
    return _Members(parts["data.pkl"], storages, parts.get("byteorder") == b"big")


def _check_opcodes(content: bytes) -> bool:
    """Whether BUILD is among the opcodes, as where torch wrote a `state_dict()`.

    Raises _DamagedError for opcodes that torch does not write, and memos that would fill the memory.
    """
    if len(content) > PICKLE_BYTES:
        raise _DamagedError(f"has {len(content):,} bytes of plain values, more than {PICKLE_BYTES:,}")
    opcode: Any
    value: Any
    builds = False
    for number, (opcode, value, _) in enumerate(pickletools.genops(content)):
        if opcode.name == "GLOBAL" and not value.startswith(("torch ", "torch._", "collections ")):
            raise _DamagedError(UNSAFE)
        builds |= opcode.name == "BUILD"
        if opcode.name not in SAFE and opcode.name != "BUILD":
            raise _DamagedError(OTHER if opcode.name == "NEWOBJ" else UNSAFE)
        if number > OPCODES or ("PUT" in opcode.name and value > number):
            raise _DamagedError(DAMAGED)
    return builds


class _Names:
    """Looks up nothing but the names of storages, of two functions that rebuild tensors, and OrderedDict.

    All of them are ours.
    """

    def __init__(self, members: _Members) -> None:
        super().__init__(io.BytesIO(members.pickle))  # type: ignore[call-arg]  # of an unpickler
        self.members = members
        self.room = sum(map(len, members.storages.values()))  # for all tensors together

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global name."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _data
        if (module, name) == ("collections", "OrderedDict"):
            return _nothing
        if module == "torch" and name in DTYPES:
            return np.dtype(DTYPES[name])
        raise _DamagedError(f"{OTHER}: it holds {shown(name)}")

    def persistent_load(self, pid: Any) -> npt.NDArray[Any]:
        """A storage: ("storage", its dtype, the member's name, device, number of values)."""
        kind, dtype, name, _device, values = pid
        content = self.members.storages.get(name)
        if kind != "storage" or not isinstance(dtype, np.dtype) or type(values) is not int:
            raise _DamagedError(DAMAGED)
        if content is None or values * dtype.itemsize != len(content):
            raise _DamagedError(f"{DAMAGED}: storage {shown(name)} does not hold what it says")
        return np.frombuffer(content, dtype.newbyteorder(">" if self.members.big_endian else "<"))

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, _gradient: Any, _hooks: Any, *_more: Any
    ) -> npt.NDArray[Any]:
        """A tensor of a storage: every value of a part of it, once."""
        sizes = (offset, *shape, *strides)
        if not isinstance(storage, np.ndarray) or len(shape) != len(strides) or len(shape) > AXES:
            raise _DamagedError(DAMAGED)
        if not all(type(each) is int and 0 <= each <= 1 << 48 for each in sizes):
            raise _DamagedError(DAMAGED)
        count = math.prod(shape)
        self.room -= count * storage.itemsize
        if offset + count > len(storage) or self.room < 0 or not _is_dense(shape, strides):
            found = f"a tensor of shape {shape} over {len(storage):,} values"
            raise _DamagedError(f"is not safe to read: {found}")
        part = np.array(storage[offset : offset + count], storage.dtype.newbyteorder("="))
        steps = [stride * part.itemsize for stride in strides]
        return np.ndarray(shape, part.dtype, part.data, 0, steps) if count else np.zeros(shape, part.dtype)


class _Unpickler(_Names, pickle.Unpickler):
    """Python's own, in C."""


class _Builder(_Names, pickle._Unpickler):
    """In Python, which looks at what an object is before its attributes are set: only our OrderedDict's are.

    Of NumPy's arrays and types BUILD could make anything. What it would set, versions of modules, is dropped.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def load_build(self) -> None:
        """The opcode BUILD: the state on top of the stack, the object below it."""
        self.stack.pop()
        if type(self.stack[-1]) is not _Ordered:
            raise _DamagedError(OTHER)

    dispatch[pickle.BUILD[0]] = load_build


class _Ordered(dict[Any, Any]):
    """An OrderedDict."""


def _data(data: Any, *_gradient: Any) -> Any:
    """A parameter's values."""
    return data


def _is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the values lie side by side, in whatever order of the axes."""
    axes = sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1)
    wanted = itertools.accumulate((size for _, size in axes), lambda a, b: a * b, initial=1)
    return 0 in shape or all(stride == each for (stride, _), each in zip(axes, wanted, strict=False))


def _nothing(*arguments: Any) -> _Ordered:
    """An OrderedDict as it begins: empty."""
    if arguments:
        raise _DamagedError(DAMAGED)
    return _Ordered()


def holds_format(path: Path, form: str) -> bool | None:
    """Whether a file of torch's holds the name of a format, unpickling nothing; None where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(each for each in archive.infolist() if each.filename.endswith("/data.pkl"))
            return name.file_size <= PICKLE_BYTES and form.encode() in archive.read(name)
    except StopIteration:
        return False
    except BROKEN_ZIP:
        return None
