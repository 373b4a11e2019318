"""Recordings, idx files, arrays and cached frames."""

from __future__ import annotations

import io
import json
import struct
import zlib
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.data import FrameSet, load_frames
from sast_deploy.data.cache import digest_of
from sast_deploy.data.camera.idx import read_mnist
from sast_deploy.data.events import NMNIST_SENSOR, check_events, read_nmnist
from tools.fuzzing import archives
from tools.fuzzing.inputs import Input, Place, file_of, write
from tools.fuzzing.judge import ACCEPTED, Failed, refusal
from tools.fuzzing.networks import run_stock
from tools.fuzzing.seeds import DATA, OPTIONS
from tools.fuzzing.values import INTEGERS, Rng, change_array, change_bytes, change_tree, pick, to_json


def change_npy(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    path = file_of(made)
    content = path.read_bytes()
    if rng.random() < 0.45:
        try:
            array, what = change_array(rng, np.load(io.BytesIO(content)))
        except Exception:  # damaged before
            return
        new = io.BytesIO()
        np.save(new, array)
        path.write_bytes(new.getvalue())
        made.did(what)
        return
    size = struct.unpack_from("<H", content, 8)[0] if len(content) > 10 else 0
    header, version, body = (
        str(pick(rng, HEADERS)),
        int(pick(rng, (1, 1, 1, 1, 2, 3, 4, 255))),
        content[10 + size :],
    )
    head = header.encode("utf-8", "surrogatepass")
    length = struct.pack("<H" if version == 1 else "<I", len(head) if rng.random() < 0.9 else 60_000)
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + head + body)
    made.did(f"header {header[:50]!r}")


_HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n"
HEADERS = (
    *(
        _HEADER.format(d, "False", "(5, 8)")
        for d in (
            "'|O'",
            "'|u1'",
            "'<f8'",
            "'V9'",
            "[('a','<i4')]",
            "'<U4'",
            "3",
            "'<i99'",
            "'|O8'",
            "[('a','|O')]",
            "None",
            "'<M8[s]'",
            "'>c16'",
            "''",
            "'?'",
            "('<i4', (2,))",
        )
    ),
    *(
        _HEADER.format("'|u1'", "False", s)
        for s in (
            "(5, 8",
            "(-1, 8)",
            "(2**62, 8)",
            "(99999999999, 99999999)",
            "()",
            "(0,)",
            "(5, 8, True)",
            "(5.0, 8)",
            "5",
            "'x'",
            "(1,)*40",
            "(" + "1," * 70 + ")",
            "(4611686018427387904, 4)",
        )
    ),
    *(_HEADER.format("'|u1'", f, "(5, 8)") for f in ("True", "1", "None", "'x'")),
    *(
        "",
        "{}",
        "[]",
        "{",
        "{'descr': '|u1'}",
        "__import__('os').system('touch owned')",
        "(" * 3000,
        "9" * 5000,
        "\0",
    ),
    *("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), 'more': 1}", "{1: 2, 'shape': (5, 8)}"),
)


def probe_npy(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    net = place.folder / "in" / "seed.net"
    write(net, place.seeds.files["stock"][made.seed.replace(".npy", ".net")])
    return run_stock(rng, net, made.path, (made.path.name, net.name), place)


def change_idx(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    path = made.beside["file"]
    if path.suffix == ".gz":
        change_gzip(rng, made)
        return
    data = bytearray(path.read_bytes())
    at = int(rng.integers(0, min(len(data), 16))) if data else 0
    if rng.random() < 0.5 and len(data) > 8:
        where = pick(rng, (4, 8)) if len(data) > 12 else 4
        struct.pack_into(">I", data, where, int(pick(rng, INTEGERS)) & 0xFFFFFFFF)
        what = "a length in the header"
    elif data:
        data[at] = int(rng.integers(256))
        what = f"byte {at}"
    else:
        return
    path.write_bytes(bytes(data))
    made.did(what)


def change_gzip(rng: Rng, made: Input) -> None:
    """One mutation of such a file."""
    path = made.beside["file"]
    content = path.read_bytes()
    way = int(rng.integers(5))
    if way == 0:
        stream, checksum = archives.bomb()
        head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        path.write_bytes(head + stream + struct.pack("<II", checksum, archives.BOMB & 0xFFFFFFFF))
        made.did("a bomb", "unpacks to far more than it may")
    elif way == 1:
        path.write_bytes(content + content)
        made.did("twice")
    elif way == 2:
        path.write_bytes(content + bytes(rng.integers(1, 9)) + b"x" * int(rng.integers(2)))
        made.did("more behind")
    else:
        changed, what = change_bytes(rng, zlib.decompress(content, 31)) if way == 3 else (content, "")
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        new = packer.compress(changed) + packer.flush()
        path.write_bytes(new if way == 3 else change_bytes(rng, new)[0])
        made.did(what or "gzip damaged")


def probe_idx(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    split: Any = "Test" if file_of(made).name.startswith("t10k") else "Train"
    try:
        images, labels = read_mnist(made.path, split)
    except SastError as error:
        return refusal(error, made.path.name)
    if (
        images.shape[1:] != (28, 28)
        or images.dtype != np.uint8
        or len(images) != len(labels)
        or labels.max(initial=0) > 9
    ):
        raise Failed("accepted: images or labels out of range")
    return ACCEPTED


def change_bin(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    data = bytearray(made.path.read_bytes())
    if data:
        at = int(rng.integers(len(data) // 5 or 1)) * 5 + int(rng.integers(5))
        data[min(at, len(data) - 1)] = int(pick(rng, (0, 33, 34, 127, 128, 240, 255)))
        made.path.write_bytes(bytes(data))
        made.did(f"byte {at % 5} of an event")


def probe_bin(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    try:
        events = read_nmnist(made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    check_events(events, NMNIST_SENSOR, "accepted")
    return ACCEPTED


def change_cache(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    path = made.beside["file"]
    if path.suffix == ".npy":
        change_npy(rng, made, place)
        return
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if not isinstance(tree, dict):
        return
    tree.pop("digest_of_rest", None)
    what = change_tree(rng, tree)
    if path.name == "meta.json":
        try:
            tree["digest_of_rest"] = digest_of(tree)
        except (TypeError, ValueError, RecursionError):
            tree["digest_of_rest"] = ""
    path.write_bytes(to_json(tree))
    made.did(what)


_sound: dict[str, FrameSet] = {}


def probe_cache(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    if not _sound:
        _sound["set"] = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=place.base / "cache")
    sound, said = _sound["set"], io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            found = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    for name in ("train", "test"):
        split, right = getattr(found, name), getattr(sound, name)
        if split.frames.shape != right.frames.shape or split.frames.dtype != np.uint8:
            raise Failed("accepted: frames of another shape")
        if split.labels.shape != right.labels.shape or len(split.ids) != len(right.ids):
            raise Failed("accepted: labels or ids of another number")
        if split.labels.min() < 0 or split.labels.max() >= len(found.info.classes):
            raise Failed("accepted: labels without a class")
        if split.frames.max() > OPTIONS.clip:
            raise Failed("accepted: frames beyond clip")
    options, classes = found.options, found.info.classes
    fits = (options.steps, options.size) == (OPTIONS.steps, OPTIONS.size)
    if not fits or not all(isinstance(name, str) for name in classes):
        raise Failed("accepted: other options or classes")
    json.dumps(found.info.to_dict())
    return ACCEPTED
