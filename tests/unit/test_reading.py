"""Every reader helper: what it takes, and one line for each thing that it does not."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tracemalloc

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError, SastError
from sast_deploy.base.reading import Expected, open_regular, read_bytes
from sast_deploy.base.reading.arrays import read_npy
from sast_deploy.base.reading.documents import parse_json, parse_toml, read_json, read_toml
from sast_deploy.base.reading.files import identify
from sast_deploy.base.reading.hdf5 import open_hdf5, read_dataset

WANTED = Expected("a file of the test", NetFileError, "make one")


def h5(path, **groups):
    with h5py.File(path, "w") as file:
        for name, value in groups.items():
            file[name.replace("__", "/")] = value
    return path


def irregular(path, kind):
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        held = socket.socket(socket.AF_UNIX)
        held.bind(str(path))
        held.close()
    return path


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a socket"])
@pytest.mark.parametrize("reader", [open_regular, read_json, read_toml, read_npy])
def test_only_regular_files_are_opened_and_none_waits(tmp_path, monkeypatch, kind, reader):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with pytest.raises(NetFileError, match=kind.split()[-1]) as error:
        reader(irregular(tmp_path / "x", kind), WANTED)
    assert "expected a file of the test" in str(error.value)


def test_a_device_is_named():
    with pytest.raises(NetFileError, match="is a device"):
        read_bytes("/dev/zero", WANTED, 9)


@pytest.mark.parametrize("path", ["missing", "missing/below", "x\0y"])
def test_missing_files_are_named(tmp_path, path):
    with pytest.raises(NetFileError, match=r"no such file|is no name"):
        open_regular(str(tmp_path / path), WANTED)


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "there").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("there")
    assert read_bytes(tmp_path / "link", WANTED, 3) == b"abc"
    with pytest.raises(NetFileError, match="has 3 bytes, more than the 2"):
        read_bytes(tmp_path / "link", WANTED, 2)


def contents(folder):
    h5(folder / "ours.net", sast__format=b"x", layer__0__type=b"dense")
    h5(folder / "stock.net", layer__0__type=b"dense")
    h5(folder / "keras.h5", model_weights__dense=np.zeros(3))
    h5(folder / "other.h5", data=np.zeros(3))
    whole = (folder / "ours.net").read_bytes()
    np.savez(folder / "a.npz", a=np.zeros(3))
    np.save(folder / "a.npy", np.zeros(3))
    simple = {
        "cut.net": whole[:700], "empty": b"", "zeros": bytes(99), "text": "# é\n".encode() * 300,
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "noise": bytes(range(128, 256)), "zip": b"PK\x03\x04abc",
    }  # fmt: skip
    for name, content in simple.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ours.net", "a .net file of ours"), ("stock.net", "a stock NetX file"),
        ("keras.h5", "a Keras model"), ("other.h5", "an HDF5 file without /layer (it has data)"),
        ("cut.net", "a truncated or damaged HDF5 file"),
        ("a.npz", "a NumPy archive (.npz)"), ("a.npy", "a NumPy array (.npy)"), ("lfs", "a Git LFS pointer"),
        ("empty", "empty"), ("zeros", "full of zeros"), ("text", "a text"), ("noise", "a pickle"),
        ("zip", "a truncated or damaged archive (a checkpoint?)"),
    ],
)  # fmt: skip
def test_files_are_identified(tmp_path, name, kind):
    contents(tmp_path)
    assert identify(tmp_path / name) == kind


def test_a_checkpoint_is_identified_and_what_to_do_with_it(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": 1}, tmp_path / "c.pt")
    with pytest.raises(NetFileError, match=r"is a checkpoint; .*sast-deploy compile .*c\.pt"):
        WANTED.refuse_kind(tmp_path / "c.pt")


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 70 + "]" * 70, "{", "9" * 5000, "", '{"a": \xff}'])
def test_no_json_does_harm(text):
    with pytest.raises(NetFileError, match=r"where: is (no JSON|nested)"):
        parse_json(text, "where", WANTED)


@pytest.mark.parametrize("text", ["a = " + "[" * 3000, "a = " + "9" * 5000, "a = ", "a." * 90 + "a = 1"])
def test_no_toml_does_harm(text):
    with pytest.raises(NetFileError, match=r"where: is (not valid TOML|nested)"):
        parse_toml(text, "where", WANTED)


def test_documents_that_are_right_are_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, 2.5, None]}), encoding="utf-8")
    assert read_json(tmp_path / "a.json", WANTED) == {"a": [1, 2.5, None]}
    (tmp_path / "a.toml").write_text("a = 1\n", encoding="utf-8")
    assert read_toml(tmp_path / "a.toml", WANTED) == ({"a": 1}, "a = 1\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9 \xff\xfe")
    with pytest.raises(NetFileError, match="is of an unknown kind"):
        read_json(tmp_path / "latin", WANTED)


@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i4", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", "CF")
def test_arrays_of_numbers_are_mapped(tmp_path, dtype, order):
    array = np.array(np.arange(24).reshape(2, 3, 4) % 2, dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy", WANTED)
    assert isinstance(found, np.memmap)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3, [("x", "u2"), ("t", "i8")]), "holds records of x, t"),
        (np.array(["a"]), "values of type <U1"),
        (np.zeros(3, complex), "values of type complex128"), (np.array([{}]), "holds Python objects"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_named(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(NetFileError, match=reason):
        read_npy(tmp_path / "a.npy", WANTED)


def header(text, version=1):
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY", b"\x93NUMPY\x09\x00", header(b"{}"), header(b"(" * 9000), header(b"x" * 10**6, 2),
        header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, 10**9)}"),
        header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (99, 99)}\n") + b"abc",
        header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 99)}\n") + b"abc",
        b"PK\x03\x04abc", b"", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr': ",
        header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,)")[:40],
    ],
)  # fmt: skip
def test_damaged_arrays_are_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(NetFileError, match=r"a\.npy: (is|has|holds) "):
        read_npy(tmp_path / "a.npy", WANTED)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22  # bytes, whatever a header promises
    tracemalloc.stop()


def test_no_part_of_an_error_acts_on_a_terminal():
    text = "a\x1b[31m\x00\u202e\u2028b"
    error = SastError(text, where=text, expected=text, todo=text)
    assert str(error).isprintable()
    assert str(error).count(r"\x1b[31m\x00\u202e") == 4


def escaping(folder):
    """One HDF5 file for each way to reach out of it, or to promise more than it holds."""
    secret = h5(folder / "secret.h5", layer__0=np.arange(9))
    (folder / "raw").write_bytes(b"secret" * 9)
    layout = h5py.VirtualLayout((9,), "i8")
    layout[:] = h5py.VirtualSource(str(secret), "layer/0", (9,))
    makers = {
        "external link": lambda f: f.__setitem__("layer/0", h5py.ExternalLink(str(secret), "/layer/0")),
        "the root's link": lambda f: f.__setitem__("layer", h5py.ExternalLink(str(secret), "/layer")),
        "soft link": lambda f: f.__setitem__("layer/0", h5py.SoftLink("/elsewhere")),
        "circle": lambda f: f.create_group("layer").__setitem__("self", f["layer"]),
        "virtual": lambda f: f.create_virtual_dataset("layer/0", layout),
        "external": lambda f: f.create_dataset("layer/0", (9,), "u1", external=[(str(folder / "raw"), 0, 9)]),
        "unwritten": lambda f: f.create_dataset("layer/0", (168, 6_000_000), "i1", chunks=(168, 1000)),
        "many": lambda f: [f.create_dataset(f"layer/{i}", (2**20,), "i4", chunks=(9,)) for i in range(40)],
        "packed": lambda f: f.create_dataset("layer/0", data=np.zeros(80 << 20, np.int8), compression=9),
        "records": lambda f: f.create_dataset("layer/0", data=np.zeros(3, [("x", "i4")])),
        "references": lambda f: f.create_dataset("layer/0", data=f.ref, dtype=h5py.ref_dtype),
        "texts": lambda f: f.create_dataset("layer/0", (10**6,), h5py.string_dtype()),
        "type": lambda f: f.__setitem__("layer/0", np.dtype("i4")),
        "deep": lambda f: f.create_group("layer/" + "/".join("abcdefghi")),
    }  # fmt: skip
    for name, make in makers.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            make(file)
    return list(makers)


def test_nothing_reaches_out_of_an_hdf5_file(tmp_path):
    for name in escaping(tmp_path):
        path, roots = tmp_path / f"{name}.h5", ("layer",)
        with pytest.raises(NetFileError, match="is not safe to read"), open_hdf5(path, WANTED, roots):
            pytest.fail(name)


def test_hdf5_that_is_right_is_read_and_what_is_not_asked_for_is_left_alone(tmp_path):
    path = h5(tmp_path / "a.h5", layer__0=np.arange(9), text=b"abc", packed=np.zeros(9))
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("nowhere.h5", "/")
        file.create_dataset("layer/1", data=np.zeros(5000, np.int8), compression="gzip", shuffle=True)
        file["layer/text"] = "of any length"
    with open_hdf5(path, WANTED, ("layer", "missing")) as file:
        assert read_dataset(file, "layer/0").tolist() == list(range(9))
    with pytest.raises(NetFileError, match="is damaged"), open_hdf5(path, WANTED, ("layer",)) as file:
        read_dataset(file, "layer/9")
    with pytest.raises(NetFileError, match="is damaged"), open_hdf5(path, WANTED, ("layer",)) as file:
        read_dataset(file, "layer")


def test_a_truncated_and_a_locked_hdf5_file_say_so(tmp_path):
    path = h5(tmp_path / "a.h5", layer__0=np.arange(9))
    with open(path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NetFileError, match="is locked"), open_hdf5(path, WANTED, ()):
            pass
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(NetFileError, match="is truncated"), open_hdf5(path, WANTED, ()):
        pass
