"""Recordings, idx files, arrays and cached frames."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct

import numpy as np
import pytest

from sast_deploy.data import load_frames
from sast_deploy.data.cache import digest_of
from tests.attacks.readers import DATA, commands, place
from tools.fuzzing import archives
from tools.fuzzing.recordings import HEADERS
from tools.fuzzing.seeds import OPTIONS

IDX = {
    "nothing": b"",
    "a short header": b"\0\0\x08\3\0\0",
    "no bytes": b"\0\0\x0d\3" + bytes(12),
    "one axis": b"\0\0\x08\1" + bytes(4),
    "200 axes": b"\0\0\x08\xc8" + b"\0\0\0\1" * 200,
    "2**96 values": b"\0\0\x08\3" + b"\xff" * 12 + bytes(9),
    "other pixels": b"\0\0\x08\3" + struct.pack(">III", 1, 27, 28) + bytes(27 * 28),
    "too few": b"\0\0\x08\3" + struct.pack(">III", 4, 28, 28) + bytes(5),
    "none": b"\0\0\x08\3" + struct.pack(">III", 0, 28, 28),
}
EVENTS = {
    "nothing": b"",
    "a byte too many": bytes(6),
    "x = 34": bytes([34, 0, 0, 0, 0]),
    "y = 34": bytes([0, 34, 0, 0, 0]),
    "backwards": bytes([1, 1, 0, 0, 9, 1, 1, 0, 0, 1]),
    "only marks": bytes([0, 240, 0, 0, 0]) * 9,
    "text": b"hello",
}


def gzip_bomb():
    stream, checksum = archives.bomb()
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stream + struct.pack("<II", checksum, archives.BOMB & 0xFFFFFFFF)


@pytest.mark.parametrize("kind", IDX)
def test_idx(kind, seeds, work, refuses):
    path = place("idx", seeds, work)
    path.write_bytes(IDX[kind])
    refuses(commands("idx")[0], "mnist/train-")  # or the labels, where they are more than the images
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(IDX[kind]))
    refuses(commands("idx")[0], "mnist/train-")


@pytest.mark.parametrize(
    "content",
    [gzip.compress(bytes(99), mtime=0)[:-9], b"\x1f\x8b\x08", gzip.compress(b"", mtime=0) + b"more"],
)
def test_gzip(content, seeds, work, refuses):
    path = place("idxgz", seeds, work)
    path.write_bytes(content)
    refuses(commands("idxgz")[0], path.name)


def test_a_gzip_bomb(seeds, work, refuses):
    path = place("idxgz", seeds, work)
    path.write_bytes(gzip_bomb())
    assert path.stat().st_size < 10 << 20
    refuses(commands("idxgz")[0], path.name, child=True)


@pytest.mark.parametrize("kind", EVENTS)
def test_recordings(kind, seeds, work, refuses):
    path = place("bin", seeds, work)
    path.write_bytes(EVENTS[kind])
    for words in commands("bin"):
        refuses(words, "x.bin")


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[:60])
@pytest.mark.parametrize("version", [1, 2, 9])
def test_headers_of_arrays(header, version, seeds, work, refuses):
    path = place("npy", seeds, work)
    head = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(head))
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + head + bytes(20))
    refuses(commands("npy")[0], "x.npy")


def array_of(values):
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        array_of(np.full((5, 8), np.nan)),
        array_of(np.full((5, 8), np.inf)),
        array_of(np.full((5, 8), 1j)),
        array_of(np.full((5, 8), "x")),
        array_of(np.zeros((0, 8))),
        array_of(np.zeros((5, 7))),
        array_of(np.float64(3)),
        array_of(np.zeros((1,) * 30)),
        array_of(np.zeros((5, 8), [("a", "i4"), ("b", "i4")])),
        array_of(np.zeros((5, 8), "M8[s]")),
        array_of(np.ones(40))[:-200],
        b"PK\x03\x04" + bytes(200),
        b"\x93NUMPY\1\0\xff\xff" + b" " * 70_000,
        b"\x93NUMPY\2\0\xff\xff\xff\xff{",
    ],
    ids=lambda content: repr(content[10:60]),
)
def test_arrays(content, seeds, work, refuses):
    path = place("npy", seeds, work)
    path.write_bytes(content)
    refuses(commands("npy")[0], "x.npy")


META = {
    "null": lambda meta: None,
    "a list": lambda meta: [],
    "no digest": lambda meta: {**meta, "digest": None},
    "labels of numbers": lambda meta: changed(meta, "labels", 7),
    "labels too few": lambda meta: changed(meta, "labels", [1]),
    "labels as text": lambda meta: changed(meta, "labels", ["x"] * 12),
    "labels beyond": lambda meta: changed(meta, "labels", [99] * 12),
    "ids of numbers": lambda meta: changed(meta, "ids", [3] * 12),
    "checksums": lambda meta: changed(meta, "crc32", "x"),
    "another shape": lambda meta: changed(meta, "shape", [12, 3, 2, 6]),
    "events nan": lambda meta: changed(meta, "n_events", float("nan")),
    "classes": lambda meta: {**meta, "classes": 3},
    "no options": lambda meta: {**meta, "options": None},
    "options without a size": lambda meta: {
        **meta,
        "options": {key: value for key, value in meta["options"].items() if key != "size"},
    },
    "other options": lambda meta: {**meta, "options": {**meta["options"], "steps": 99}},
}


def changed(meta, key, value):
    return {**meta, "train": {**meta["train"], key: value}}


@pytest.mark.parametrize("kind", META)
def test_cached_frames_of_nonsense_are_built_again(kind, seeds, work, made):
    right = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=made[0] / "cache")
    for name, content in seeds.files["cache"].items():
        (work / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("meta.json"):
            meta = json.loads(content)
            meta.pop("digest_of_rest")
            meta = META[kind](meta)
            content = json.dumps(
                {**meta, "digest_of_rest": digest_of(meta)} if isinstance(meta, dict) else meta
            ).encode()
        (work / "cache" / name).write_bytes(content)
    found = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=work / "cache")
    assert found.info == right.info
    assert found.options == right.options
    assert np.array_equal(found.train.frames, right.train.frames)
    assert np.array_equal(found.train.labels, right.train.labels)
    assert found.train.ids == right.train.ids
    assert found.train.n_events == right.train.n_events


@pytest.mark.parametrize(
    "node", ["null", "[]", '{"digest": null}', '{"digest": "../../.."}', '{"digest": 3}', "fifo"]
)
def test_an_index_of_nonsense(node, seeds, work):
    for name, content in seeds.files["cache"].items():
        path = work / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name.startswith("index"):
            path.unlink()
            if node == "fifo":
                os.mkfifo(path)
            else:
                path.write_text(node)
    assert len(load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=work / "cache").train) == 12
