"""The reader of torch files: what torch wrote comes back as it was, and nothing else is believed."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import time
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import CheckpointError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.torchfile import DTYPES, read_torch
from sast_deploy.base.rules import Plain

WANTED = Expected("a torch file of the test", CheckpointError)
SECONDS, MEGABYTES = 5.0, 300


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(path: Path, parts: list[tuple[str, bytes]], packed: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as made:
        for name, content in parts:
            made.writestr(name, content)
    return path


def pickled(path: Path, content: bytes, **storages: bytes) -> Path:
    """A torch file around any pickle."""
    return archive(path, [("x/data.pkl", content), *((f"x/data/{k}", v) for k, v in storages.items())])


class Spelled:
    """Pickles as a call of anything, by name: what an attacker writes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def tensor(offset: int, shape: Any, strides: Any, values: int = 4, **more: Any) -> bytes:
    """The pickle of a tensor (or `times` of them) over a storage, with whatever sizes."""
    kind, key = more.get("kind", torch.FloatStorage), more.get("key", "0")

    class Pickler(pickle.Pickler):
        def persistent_id(self, each: Any) -> Any:
            return ("storage", kind, key, "cpu", values) if each == "STORAGE" else None

    def rebuilt() -> Spelled:
        function = torch._utils._rebuild_tensor_v2
        return Spelled(function, "STORAGE", offset, shape, strides, False, OrderedDict())

    out = io.BytesIO()
    Pickler(out, 2).dump({"a": rebuilt(), "more": [rebuilt() for _ in range(more.get("times", 0))]})
    return out.getvalue()


def refused(path: Path) -> str:
    """The one line for a file, found out soon and in little memory."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as caught:
        read_torch(path, WANTED)
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES << 10
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.int32,
                                   torch.int16, torch.int8, torch.uint8])  # fmt: skip
@pytest.mark.parametrize(
    "make",
    [
        lambda t: t, lambda t: t.contiguous(memory_format=torch.channels_last), lambda t: t[1],
        lambda t: t[:0], lambda t: t[0, 0, 0, 0], lambda t: t.transpose(1, 3),
        lambda t: t[:, :1].contiguous(),
    ],
)  # fmt: skip
def test_tensors_come_back_with_their_strides(tmp_path: Path, dtype: torch.dtype, make: Any) -> None:
    value = make(torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(dtype))
    found = read_torch(saved(tmp_path / "a.pt", {"a": value}), WANTED)["a"]
    assert torch.equal(torch.from_numpy(found), value)
    if value.numel():
        wanted = [s for s, size in zip(value.stride(), value.shape, strict=True) if size > 1]
        steps = [s // found.itemsize for s, size in zip(found.strides, found.shape, strict=True) if size > 1]
        assert steps == wanted
        found[...] = 1  # memory of its own
    assert len(DTYPES) == 8


def test_plain_values_come_back(tmp_path: Path) -> None:
    numbers = [1, -(2**40), 2.5, None, True, False]
    value = {"a": [*numbers, (), (1,), (1, 2, 3, 4), "é" * 300], "b": {1: {}, "": []}}
    assert read_torch(saved(tmp_path / "a.pt", value), WANTED) == value
    state = {"w": torch.ones(2), "v": torch.ones(2)}
    state["v"] = state["w"]
    assert read_torch(saved(tmp_path / "a.pt", state), WANTED)["v"].tolist() == [1, 1]


def unusual(folder: Path) -> dict[str, Path]:
    """Files that torch itself writes, and that hold more than dense tensors and plain values."""
    values = {
        "sparse": torch.eye(3).to_sparse(), "complex": torch.zeros(3, dtype=torch.complex64),
        "meta": torch.zeros(3, device="meta"), "bool": torch.zeros(3, dtype=torch.bool),
        "expanded": torch.zeros(1).expand(1000), "module": torch.nn.Linear(2, 2),
        "set": {1, 2}, "bytes": b"abc", "array": np.zeros(3), "dtype": torch.float32, "size": torch.Size([1]),
        "overlapping": torch.zeros(9).as_strided((4, 4), (1, 1)), "complex number": 1j,
    }  # fmt: skip
    return {name: saved(folder / f"{name}.pt", {"a": value}) for name, value in values.items()}


def test_what_torch_has_besides_is_refused(tmp_path: Path) -> None:
    for name, path in unusual(tmp_path).items():
        assert any(word in refused(path) for word in ("some other kind", "could run code", "not safe")), name


def test_a_state_dict_and_parameters_come_back(tmp_path: Path) -> None:
    """torch sets an attribute of the OrderedDict, the versions of its modules: of no use, and dropped."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    for value in (net.state_dict(), dict(net.named_parameters())):
        found = read_torch(saved(tmp_path / "a.pt", {"epoch": 1, "net": value}), WANTED)["net"]
        assert list(found) == list(value)
        for name, each in value.items():
            assert np.array_equal(found[name], each.detach().numpy())


def built(target: bytes, state: bytes) -> bytes:
    """The pickle of something whose attributes are set."""
    return b"\x80\x02" + target + state + b"b."


BUILDS = {
    "an array": built(tensor(0, (4,), (1,))[2:-1], b"}"),
    "a type": built(b"ctorch\nFloatStorage\n", b"}"),
    "a function": built(b"ctorch._utils\n_rebuild_tensor_v2\n", b"}"),
    "a list": built(b"]", b"}"),
    "a number": built(b"K\x01", b"}"),
    "nothing": b"\x80\x02b.",
}


@pytest.mark.parametrize("name", BUILDS)
def test_attributes_of_nothing_else_are_set(tmp_path: Path, name: str) -> None:
    path = pickled(tmp_path / "a.pt", BUILDS[name], **{"0": bytes(16)})
    assert any(word in refused(path) for word in ("some other kind", "truncated or damaged"))


def test_what_python_unpickles_takes_no_longer(tmp_path: Path) -> None:
    many = b"ccollections\nOrderedDict\n)R}b" * 60_000
    assert "damaged" in refused(pickled(tmp_path / "a.pt", b"\x80\x02(" + many + b"l."))


def bomb_of_references(depth: int = 40, width: int = 10) -> bytes:
    value: Any = []
    for _ in range(depth):
        value = [value] * width
    return pickle.dumps(value, 2)


@pytest.mark.parametrize(
    "content", [bomb_of_references(), b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."]
)
def test_a_bomb_of_references_is_read_and_takes_nothing(tmp_path: Path, content: bytes) -> None:
    value = read_torch(pickled(tmp_path / "a.pt", content), WANTED)
    start = time.process_time()
    assert [each.expected for each in Plain().problems(value, "a")] == [
        "at most 1,000,000 values, nested at most 16 deep"
    ]
    assert time.process_time() - start < SECONDS


ATTACKS = {
    "huge by strides": (tensor(0, (10**9,), (0,)), 16),
    "huge": (tensor(0, (10**6, 10**6), (10**6, 1)), 16),
    "negative": (tensor(0, (-4,), (1,)), 16),
    "negative offset": (tensor(-1, (4,), (1,)), 16),
    "behind the end": (tensor(1, (4,), (1,)), 16),
    "negative stride": (tensor(3, (4,), (-1,)), 16),
    "overlapping": (tensor(0, (2, 2), (1, 1)), 16),
    "no shape": (tensor(0, 4, 1), 16),
    "shape of floats": (tensor(0, (4.0,), (1,)), 16),
    "shape of truths": (tensor(0, (True,), (1,)), 16),
    "unequal": (tensor(0, (2, 2), (1,)), 16),
    "of many axes": (tensor(0, (1,) * 40, (1,) * 40), 16),
    "storage too small": (tensor(0, (4,), (1,)), 12),
    "storage larger": (tensor(0, (4,), (1,)), 20),
    "storage that promises": (tensor(0, (4,), (1,), values=10**12), 16),
    "storage elsewhere": (tensor(0, (4,), (1,), key="../../etc/passwd"), 16),
    "storage of no kind": (tensor(0, (4,), (1,), kind=OrderedDict), 16),
    "memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", 0),
    "memo that fits": (b"\x80\x02Nr" + struct.pack("<I", 60_000_000) + b".", 0),
    "memo of text": (b"\x80\x02Np99999999999\n.", 0),
    "bytearray": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", 0),
    "long": (b"\x80\x02\x8b\xff\xff\xff\x7f.", 0),
    "text": (b"\x80\x02X\xff\xff\xff\x7fabc.", 0),
    "digits": (b"L" + b"9" * 9000 + b"L\n.", 0),
    "code": (pickle.dumps(Spelled(print, "ran"), 2), 0),
    "torch's code": (b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.", 0),
    "hooks": (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", 0),
    "no end": (b"\x80\x02]", 0), "nothing": (b"", 0), "a stop": (b".", 0),
    "opcodes": (b"\x80\x02" + b"N0" * 100 + b".", 0), "many": (b"\x80\x02(" + b"N" * 5_000_000 + b"t.", 0),
    "extension": (b"\x80\x02\x82\x01.", 0), "build": (b"\x80\x02}]b.", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_pickles_are_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    content, size = ATTACKS[name]
    refused(pickled(tmp_path / "a.pt", content, **{"0": bytes(size)}))
    assert capsys.readouterr().out == ""


def test_a_tensor_may_be_deep_in_the_file_and_is_bounded_by_it(tmp_path: Path) -> None:
    """The attack above with right sizes is read: it is the sizes that are refused."""
    path = pickled(tmp_path / "a.pt", tensor(0, (2, 2), (2, 1)), **{"0": np.arange(4, dtype="<f4").tobytes()})
    assert read_torch(path, WANTED)["a"].tolist() == [[0, 1], [2, 3]]
    parts = [("x/data.pkl", tensor(0, (4,), (1,))), ("x/data/0", np.arange(4, dtype=">f4").tobytes())]
    archive(path, [*parts, ("x/byteorder", b"big")])
    assert read_torch(path, WANTED)["a"].tolist() == [0, 1, 2, 3]


def test_one_storage_may_not_become_many_tensors(tmp_path: Path) -> None:
    path = pickled(tmp_path / "a.pt", tensor(0, (4,), (1,), times=1000), **{"0": bytes(16)})
    assert "not safe to read" in refused(path)


def test_archives_that_torch_does_not_write(tmp_path: Path) -> None:
    good = members(saved(tmp_path / "good.pt", {"a": torch.zeros(1000)}))
    path, parts = tmp_path / "a.pt", list(good.items())
    assert "members packed" in refused(archive(path, parts, packed=True))
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(path, [*parts, parts[0]])
    assert "twice" in refused(path)
    assert "twice" in refused(archive(path, [*parts, ("y/data.pkl", b".")]))
    assert "too many" in refused(archive(path, [*parts, *((f"good/data/x{i}", b"") for i in range(10_001))]))
    assert "is a zip archive" in refused(archive(path, [("readme", b"x")]))
    assert "NumPy archive" in refused(archive(path, [("a.npy", b"x")]))


@pytest.mark.parametrize("new", [True, False])
def test_old_torch_files_and_bare_pickles_are_no_archives(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "a.pt"
    if new:
        path.write_bytes(pickle.dumps({"a": 1}))
    else:
        torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert "is a pickle, which could run code" in refused(path)


def test_every_flipped_byte_is_seen_or_harmless(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.arange(8.0), "b": [1, "x"]})
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 300, replace=False):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            found = read_torch(path, WANTED)
        except CheckpointError:
            continue
        assert found["a"].tolist() == list(range(8))
        assert found["b"] == [1, "x"]
