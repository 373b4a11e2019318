"""Recordings of every format: cut off anywhere, bits flipped, sizes that promise what no machine has."""

from __future__ import annotations

import io
import json
import struct
import zlib

import h5py
import numpy as np
import pytest

from tests import recordingfiles as files
from tests.recordingfiles import EVERY, some_events

HUGE = 2**31 - 1


def info(path, name):
    return ["data", "info", str(path), *EVERY[name][2]]


def good(name, n=200):
    make, sensor, _ = EVERY[name]
    return make(some_events(n, 4, sensor))


@pytest.fixture
def ends(work, capfd):
    """A function that runs a command which must end well, or with one line that names the file."""
    from sast_deploy.cli import run

    def check(arguments, name):
        code = run(arguments)
        shown = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("sast-deploy: ")]
        assert code in (0, 2), shown
        if code == 2:
            assert len(shown) == 1
            assert name in shown[0]
            assert "internal error" not in shown[0]
        return code

    return check


@pytest.mark.parametrize("name", EVERY)
def test_cut_off_anywhere(name, work, ends):
    content, path, codes = good(name), work / name, []
    for end in sorted({*range(0, 40, 3), *range(40, len(content), len(content) // 23), len(content) - 1}):
        path.write_bytes(content[:end])
        codes.append(ends(info(path, name), name))
    assert 2 in codes
    path.write_bytes(content)
    assert ends(info(path, name), name) == 0


@pytest.mark.parametrize("name", EVERY)
def test_bits_flipped(name, work, ends):
    rng = np.random.default_rng(0)
    content, path = good(name), work / name
    for number in range(40):
        changed = bytearray(content)
        for _ in range(1 + number % 3):
            near = min(len(content), 300) if number % 2 else len(content)
            changed[int(rng.integers(near))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        ends(info(path, name), name)


def aedat3_packet(kind=1, size=8, offset=4, number=1):
    head = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    return head + struct.pack("<hhiiiiii", kind, 1, size, offset, 0, number, number, number) + bytes(16)


def aedat4_sized(where, value):
    content = bytearray(files.aedat4(some_events(50)))
    at = {"header": 14, "packet": content.index(b"EVTS") - 12, "vector": content.index(b"EVTS") + 24}[where]
    content[at : at + 4] = struct.pack("<I", value)
    return bytes(content)


def hdf5_of(make):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name in "xyt":
            file[f"events/{name}"] = np.arange(5)
        make(file["events"])
    return content.getvalue()


def packed(group):
    group.create_dataset("p", (1 << 40,), "u1", compression="gzip", chunks=(1 << 20,))


def linked(group):
    group["p"] = h5py.ExternalLink("secret.h5", "/values")


def elsewhere(group):
    group.create_dataset("p", (5,), "u1", external=[("/etc/passwd", 0, 5)])


def npy_header(text):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + bytes(50)


HOSTILE = {
    "packets without end.aedat": aedat3_packet(number=HUGE),
    "packets of nothing.aedat": aedat3_packet(size=0, number=HUGE),
    "packets backwards.aedat": aedat3_packet(number=-1),
    "packets of large events.aedat": aedat3_packet(size=HUGE),
    "events elsewhere.aedat": aedat3_packet(offset=99),
    "no polarity.aedat": aedat3_packet(kind=2, number=2),
    "a header of 4 GB.aedat4": aedat4_sized("header", 0xFFFFFFFF),
    "a packet of 2 GB.aedat4": aedat4_sized("packet", HUGE),
    "a packet below 0.aedat4": aedat4_sized("packet", 0xFFFFFFFF),
    "a vector of 4 G.aedat4": aedat4_sized("vector", 0xFFFFFFFF),
    "only a mark.aedat4": b"#!AER-DAT4.0\r\n",
    "a line without end.dat": b"% " + b"x" * 100_000,
    "a hundred thousand lines.dat": b"%\n" * 100_001 + b"\x0c\x08" + bytes(8),
    "no size.raw": b"% evt 3.0\n% geometry 0x0\n" + bytes(64),
    "absurd size.raw": b"% evt 3.0\n% geometry 99999999999x9\n" + bytes(64),
    "odd.raw": files.evt2(some_events())[:-1],
    "a sensor of nothing.es": b"Event Stream\2\0\0\1\0\0\0\0" + bytes(9),
    "another type.es": b"Event Stream\2\0\0\7" + bytes(99),
    "a version of later.es": b"Event Stream\xff\xff\xff\1" + bytes(99),
    "packed to nothing.h5": hdf5_of(packed),
    "a link.h5": hdf5_of(linked),
    "another file.h5": hdf5_of(elsewhere),
    "texts.h5": hdf5_of(lambda group: group.create_dataset("p", data=["a"] * 5)),
    "fewer.h5": hdf5_of(lambda group: group.create_dataset("p", data=[1, 0])),
    "complex.h5": hdf5_of(lambda group: group.create_dataset("p", data=np.ones(5, complex))),
    "a group.h5": hdf5_of(lambda group: group.create_group("p")),
    "nothing.h5": hdf5_of(lambda group: group.create_dataset("p", data=h5py.Empty("u1"))),
    "objects.npy": npy_header("{'descr': [('x','|O')], 'fortran_order': False, 'shape': (5,), }\n"),
    "nested.npy": npy_header("{'descr': [('x',[('y','<i4')])], 'fortran_order': False, 'shape': (5,), }\n"),
    "arrays.npy": npy_header(
        "{'descr': [('x','<i4',(999999999,))], 'fortran_order': False, 'shape': (5,), }\n"
    ),
    "huge.npy": npy_header(
        "{'descr': [('x','<i4')], 'fortran_order': False, 'shape': (4611686018427387904,), }\n"
    ),
    "a thousand columns.npy": files.npy(np.zeros((5, 1000))),
    "brackets.csv": b"[" * 100_000,
    "digits.csv": b"x,y,t,p\n1,2," + b"9" * 5000 + b",0\n",
    "nan.csv": b"x,y,t,p\n1,2,nan,0\n",
    "a line of a million.csv": b"x,y,t,p\n" + b"1," * 1_000_000,
    "marks.csv": b"x,y,t,p\n" + b"," * 100_000,
    "names.csv": b",".join(b"n%d" % n for n in range(50_000)) + b"\n1\n",
    "quotes.csv": b'x,y,t,p\n"1,2,3,0\n',
    "controls.csv": b"x,y,t,p\n1,2,3,\x1b[31m0\n",
    "zip.npz": b"PK\x03\x04" + zlib.compress(bytes(999)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name, work, refuses):
    (work / name).write_bytes(HOSTILE[name])
    kind = name.endswith(("aedat4", "h5", "npy"))
    refuses(["data", "info", name, "--sensor", "9", "9"], name, child=kind)


def test_windows_without_end(work, refuses):
    """A recording of a year is not cut into windows of a microsecond."""
    events = some_events(50)
    events["t"][-1] = 31_536_000_000_000
    for number in range(2):
        (work / "mine" / "a").mkdir(parents=True, exist_ok=True)
        (work / "mine" / "a" / f"{number}.npy").write_bytes(files.npy(events))
    words = ["data", "info", "--dataset", "folder:mine", "--holdout", "0.5", "--sensor", "34", "30"]
    refuses([*words, "--time-unit", "us", "--window-us", "1"], "0.npy")


def test_a_record_of_options_in_a_net_is_believed_only_where_it_can_be(seeds):
    from sast_deploy.base.errors import DataError
    from sast_deploy.data import DataInfo
    from tests.tinydata import tiny_set

    right = tiny_set().info.to_dict()
    assert "recordings" not in json.loads(json.dumps(right))
    for wrong in (3, [], "x", {"sensor": [1]}, {"nothing": 1}, {"window_us": -1}, {"columns": ["x"] * 4}):
        with pytest.raises(DataError):
            DataInfo.from_dict({**right, "recordings": wrong})
