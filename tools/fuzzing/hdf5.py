"""Mutations of HDF5 files, dataset by dataset, after which the file's own digests are right again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import h5py
import numpy as np

from sast_deploy.netx import known_answers
from sast_deploy.netx.file import DIGEST, UNCOVERED, sast_digest
from sast_deploy.netx.program_group import put, read_program
from sast_deploy.netx.stock_view import stock_layers
from sast_deploy.program import program
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from tools.fuzzing.values import Rng, change_array, change_tree, number, pick, text, to_json

REACHES_OUT = "reaches out of the file"
CIRCLE = "is another hard link"  # perhaps to a group around it: whoever walks through the file never ends
HUGE = (168, 6_000_000)


def datasets(file: h5py.File) -> list[str]:
    """Names of all datasets."""
    found: list[str] = []
    file.visititems(lambda name, each: found.append(name) if isinstance(each, h5py.Dataset) else None)
    return found


def groups(file: h5py.File) -> list[str]:
    """Names of all groups but the root."""
    found: list[str] = []
    file.visititems(lambda name, each: found.append(name) if isinstance(each, h5py.Group) else None)
    return found


def change_hdf5(rng: Rng, file: h5py.File, secrets: Path) -> tuple[str, str]:
    """One mutation of an open file, in place: (what was done, why the file must be refused or "").

    secrets: a folder with secret.raw and secret.h5, which no reader of the file may open.
    """
    change: Change = pick(rng, CHANGES)
    return change(rng, file, secrets)


Change = Callable[[Rng, h5py.File, Path], tuple[str, str]]


def _value(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    name = pick(rng, datasets(file))
    old = file[name][()]
    if isinstance(old, bytes):
        new, what = _other_text(rng, old)
    else:
        new, what = change_array(rng, np.asarray(old))
    _put(file, name, new)
    return f"{_short(name)} {what}", ""


def _other_text(rng: Rng, old: bytes) -> tuple[object, str]:
    try:
        tree = json.loads(old)
    except ValueError:
        tree = None
    if isinstance(tree, (dict, list)) and rng.random() < 0.8:
        box = {"top": tree}
        what = change_tree(rng, box)
        return np.bytes_(to_json(box.get("top", {})) or b" "), what
    way = rng.random()
    if way < 0.6:
        return np.bytes_(text(rng).encode("utf-8", "surrogatepass") or b" "), "another text"
    if way < 0.7:
        return np.bytes_(rng.bytes(int(rng.integers(1, 40)))), "random bytes"
    if way < 0.8:
        return text(rng).replace("\0", ""), "text of any length"
    return pick(
        rng, (np.array([old, old]), np.array(number(rng)), np.float64(0.5), old[:-1] or b"x")
    ), "no text"


def _put(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    array = np.asarray(value)
    if array.size > 1024 and array.dtype.kind in "biuf":
        file.create_dataset(name, data=array, compression="gzip", shuffle=True)
    else:
        file[name] = value


def _delete(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    name = pick(rng, datasets(file) + groups(file))
    del file[name]
    return f"{_short(name)} deleted", ""


def _extra(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    where, name = (
        pick(rng, groups(file)),
        pick(rng, ("x", "99", "-1", "recurrent", "delay", "calibration", "bias")),
    )
    if name not in file[where]:
        if rng.random() < 0.5:
            file[where].create_group(name)
        else:
            file[where][name] = number(rng)
    return f"{_short(where)} has {name} too", ""


def _other_node(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    """A group in place of a dataset, a dataset in place of a group, an empty space, a named type."""
    name = pick(rng, datasets(file) + groups(file))
    del file[name]
    way = int(rng.integers(5))
    if way == 0:
        file.create_group(name)
    elif way == 1:
        file[name] = number(rng)
    elif way == 2:
        file[name] = h5py.Empty("i4")
    elif way == 3:
        file[name] = np.dtype("i4")
    else:
        kinds = (
            [("a", "i4"), ("b", "f8")],
            h5py.special_dtype(ref=h5py.Reference),
            h5py.special_dtype(vlen=np.int32),
        )
        file.create_dataset(name, (3,), dtype=pick(rng, kinds))
    return f"{_short(name)} is another node ({way})", ""


def _link(rng: Rng, file: h5py.File, secrets: Path) -> tuple[str, str]:
    name = pick(rng, datasets(file) + groups(file))
    parent, _, last = name.rpartition("/")
    other = pick(rng, datasets(file) + groups(file))
    way = int(rng.integers(5))
    if way == 4:  # a hard link: the group holds itself, or the other one
        target = file[parent or "/"] if rng.random() < 0.5 else file[other]
        del file[name]
        file[parent or "/"][last] = target
        return f"{_short(name)} {CIRCLE}", ""
    del file[name]
    outside = {
        0: h5py.ExternalLink(str(secrets / "secret.h5"), "/values"),
        1: h5py.ExternalLink("../secret.h5", "/"),
    }
    if way in outside:
        file[name] = outside[way]
        return f"{_short(name)} is an external link", REACHES_OUT
    file[name] = h5py.SoftLink(f"/{other}" if way == 2 else pick(rng, (f"/{name}", "/", ".", "/nowhere")))
    return f"{_short(name)} is a soft link", ""


def _elsewhere(rng: Rng, file: h5py.File, secrets: Path) -> tuple[str, str]:
    """Values in another file: external storage, or a virtual dataset of another file or of itself."""
    name = pick(rng, datasets(file))
    old = np.asarray(file[name][()])
    shape, dtype = old.shape or (1,), old.dtype if old.dtype.kind in "biu" else np.dtype("u1")
    del file[name]
    if rng.random() < 0.5:
        size = int(np.prod(shape)) * dtype.itemsize
        file.create_dataset(name, shape, dtype, external=[(str(secrets / "secret.raw"), 0, max(size, 1))])
        return f"{_short(name)} in external storage", REACHES_OUT
    itself = rng.random() < 0.3
    layout = h5py.VirtualLayout(shape, dtype)
    source = h5py.VirtualSource(
        "." if itself else str(secrets / "secret.h5"), name if itself else "values", shape
    )
    layout[...] = source
    file.create_virtual_dataset(name, layout)
    return f"{_short(name)} a virtual dataset{' of itself' if itself else ''}", REACHES_OUT


def _huge(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    """Far more values than the file has bytes: chunks that were never written, or that pack well."""
    name = pick(rng, datasets(file))
    ndim = max(1, np.ndim(file[name][()]))
    shape = {1: (500_000_000,), 2: HUGE}.get(ndim, (30_000, 30_000, *(1,) * (ndim - 2)))
    del file[name]
    chunks = tuple(min(n, 1000) for n in shape)
    file.create_dataset(name, shape, pick(rng, ("i1", "i4", "i8")), chunks=chunks, compression="gzip")
    return f"{_short(name)} huge and never written", "unpacks to far more than it holds"


def _layout(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    """The same values, packed otherwise."""
    name = pick(rng, datasets(file))
    old = np.asarray(file[name][()])
    if old.dtype.kind not in "biuf" or not old.ndim:
        return "nothing", ""
    del file[name]
    packs = (
        {"compression": "lzf"},
        {"fletcher32": True, "chunks": True},
        {"scaleoffset": 3},
        {"chunks": True},
        {"maxshape": (None,) * old.ndim, "chunks": True},
        {"compression": "gzip", "shuffle": True},
        {"fillvalue": 3},
    )
    try:
        file.create_dataset(name, data=old.astype("i4") if old.dtype.kind == "f" else old, **pick(rng, packs))
    except (ValueError, TypeError):
        file[name] = old
    return f"{_short(name)} packed otherwise", ""


def _shuffle(rng: Rng, file: h5py.File, _secrets: Path) -> tuple[str, str]:
    """A layer copied, moved or exchanged with another."""
    layers = [name for name in groups(file) if name.rpartition("/")[2].isdigit()]
    if not layers:
        return "nothing", ""
    one, two = pick(rng, layers), pick(rng, layers)
    parent = one.rpartition("/")[0]
    way = int(rng.integers(3))
    if way == 0:
        file.copy(one, f"{parent}/{len(file[parent])}")
        return f"{parent} has {_short(one)} twice", ""
    if way == 1 and one != two:
        file.move(one, "spare")
        file.move(two, one)
        file.move("spare", two)
        return f"{_short(one)} and {_short(two)} exchanged", ""
    del file[f"{parent}/{max(map(int, file[parent]))}"]
    return f"{parent} lacks the last", ""


CHANGES: tuple[Change, ...] = (
    *(_value,) * 14,
    *(_delete,) * 2,
    _extra,
    *(_other_node,) * 2,
    _link,
    _elsewhere,
    _huge,
    _layout,
    _shuffle,
)


def mend(file: h5py.File) -> bool:
    """Make every digest of a .net file of ours right for what is in it now; False where that is impossible.

    The program is read without the checks of its construction, so that whoever trusts the digest alone
    accepts it.
    """
    done = True
    for part in (_mend_program, _mend_known, _mend_whole):
        try:
            part(file)
        except Exception:  # the part is too damaged to have a digest
            done = False
    return done


@contextmanager
def unchecked() -> Iterator[None]:
    """Within it, programs of any nonsense can be constructed."""
    kinds = (*get_args(program.Layer), program.Program, Arithmetic, QFormat)
    checked = [kind for kind in kinds if "__post_init__" in vars(kind)]
    before = {kind: kind.__post_init__ for kind in checked}  # type: ignore[attr-defined]
    for kind in checked:
        kind.__post_init__ = lambda self: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for kind, function in before.items():
            kind.__post_init__ = function  # type: ignore[attr-defined]


def _mend_program(file: h5py.File) -> None:
    sast = file["sast"]
    with unchecked():
        content = read_program(sast["program"], Path("x"))
        _put(file, "sast/program_digest", np.bytes_(content.digest()))
        layers = stock_layers(content, bool(sast["strict_reset"][()]))
    if "layer" in file:
        del file["layer"]
    for index, layer in enumerate(layers):
        for name, value in layer.items():
            put(file, f"layer/{index}/{name}", value)


def _mend_known(file: h5py.File) -> None:
    group = file["sast"][known_answers.GROUP]
    sums = {}
    for name in datasets(group):
        if name == "frames" or name == "logits" or name.startswith("counts/"):
            sums[name] = known_answers._checksum(group[name][()])
    sums["trace_digests"] = hashlib.sha256(bytes(group["trace_digests"][()])).hexdigest()
    _put(file, f"sast/{known_answers.GROUP}/checksums", np.bytes_(json.dumps(sums, sort_keys=True)))


def _mend_whole(file: h5py.File) -> None:
    _put(file, f"sast/{DIGEST}", np.bytes_(sast_digest(file["sast"])))


def make_older(file: h5py.File) -> None:
    """Say that the file is of the version that had no digest over all of /sast."""
    del file[f"sast/{DIGEST}"]
    _put(file, "sast/format_version", UNCOVERED)


def _short(name: str) -> str:
    return name.removeprefix("sast/program/").removeprefix("layers/")
