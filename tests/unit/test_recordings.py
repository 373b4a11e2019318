"""Readers of recordings: every format gives the events that were written, and what is wrong is said."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError
from sast_deploy.data.events import write_nmnist
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.recording import FORMATS, find_format, look_at, read_events, windows
from tests import recordingfiles as files
from tests.recordingfiles import EVERY, some_events

XYTP = ("x", "y", "t", "p")
OPTIONS = {
    "slayer.bs2": {"sensor": (34, 30)},
    "records.npy": {"sensor": (34, 30)},
    "columns.npy": {"sensor": (34, 30), "columns": XYTP},
    "plain.txt": {"sensor": (34, 30), "columns": XYTP},
    "names.csv": {"sensor": (34, 30)},
    "group.h5": {"sensor": (34, 30)},
}


def written(tmp_path, content, name="events.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", EVERY)
def test_every_format_gives_the_events_that_were_written(name, tmp_path):
    make, sensor, _ = EVERY[name]
    events = some_events(300, 1, sensor)
    path = written(tmp_path, make(events), name)
    found, size, facts = read_events(path, RecordingOptions(**OPTIONS.get(name, {})))
    np.testing.assert_array_equal(found, events)
    assert size == sensor
    assert (facts.events, facts.off + facts.on, facts.on) == (300, 300, int(events["p"].sum()))
    assert (facts.first_us, facts.last_us) == (1000, int(events["t"][-1]))
    assert not facts.odd


def test_every_reader_is_tested(tmp_path):
    files.write_every(tmp_path)
    assert {find_format(tmp_path / name) for name in EVERY} == {*FORMATS}


def test_formats_are_known_by_content_whatever_the_name(tmp_path):
    for name in ("stream.es", "dv.aedat4", "two.raw", "cd.dat", "records.npy", "group.h5", "dvs128.aedat"):
        make, sensor, _ = EVERY[name]
        path = written(tmp_path, make(some_events(20, 0, sensor)), "recording.bin")
        assert find_format(path) == find_format(written(tmp_path, path.read_bytes(), name))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.bin", b"", "is empty"),
        ("x.bin", bytes(20), "is full of zeros"),
        ("x.raw", b"\x89PNG\r\n\x1a\n" + bytes(9), "a PNG picture"),
        ("x.xyz", b"\x00\x01\x02\xff" * 9, "of an unknown kind"),
        ("x.aedat", b"#!AER-DAT1.0\r\n", "AEDAT 1.0; expected AEDAT 2.0, 3.1 or 4.0"),
        ("x.dat", b"% Version 1\n\x0c\x08" + bytes(8), "version 1; expected version 2"),
        ("x.dat", b"% a\n\x0e\x08" + bytes(8), "events of type 14"),
        ("x.dat", b"% a\n\x0c\x08" + bytes(9), "leave 1 over"),
        ("x.aedat", b"#!AER-DAT2.0\r\n# AEChip: a.Cochlea\r\n" + bytes(8), "camera cochlea"),
        ("x.aedat", b"#!AER-DAT2.0\r\n# Timestamps tick: 10 us\r\n" + bytes(8), "tick: 10 us"),
        ("x.aedat", b"#!AER-DAT3.1\r\n" + bytes(8), "without the end of its header"),
        ("x.aedat", b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + bytes(8), "cut off at byte"),
        ("x.bs2", b"abc", "3 bytes leave 3 over"),
        ("x.es", b"Event Stream" + bytes(9), "cannot be decoded"),
        ("x.raw", b"% evt 2.1\n" + bytes(16), "neither its header nor its words tell"),
        ("x.csv", b"a,b,c\n1,2,3\n", "expected one of x"),
        ("x.csv", b"x,y,t,p,t_us\n1,2,3,0,5\n", "two columns of t"),
        ("x.csv", b"x,y,t,p\n1,2,3\n", "3 columns under 4 names"),
        ("x.csv", b"x,y,t,p\n1,2,3,0\n1,2,zebra,0\n", "is no table of numbers"),
        ("x.csv", b"x,y,t,p\n", "has no events"),
        ("x.txt", b"1 2 3 0\n", "--columns x,y,t,p"),
        ("x.npy", files.npy(np.zeros((4, 5, 2))), r"shape \(4, 5, 2\)"),
        ("x.npy", files.npy(np.zeros(5, [("a", int)])), "expected one of x"),
        ("x.h5", files.hdf5(lambda file: file.create_group("frames")), "has frames; expected datasets x"),
        ("x.h5", files.hdf5_group(some_events(5), names="x y t q"), "has events; expected datasets x"),
    ],
)
def test_what_is_no_recording_is_named(name, content, message, tmp_path):
    with pytest.raises(DataError, match=message) as found:
        read_events(written(tmp_path, content, name))
    assert name in str(found.value)


def lines(*rows):
    return ("x,y,t,p\n" + "\n".join(rows) + "\n").encode()


MENDED = {
    # what is wrong, what is said, the options that mend it, times, polarities
    "seconds": (
        lines("0,0,0.001,0", "0,0,0.0025,1"), "--time-unit s", {"time_unit": "s"}, [1000, 2500], [0, 1]
    ),
    "milliseconds": (
        lines("0,0,0.5,0", "0,0,1,1"), "--time-unit s", {"time_unit": "ms"}, [500, 1000], [0, 1]
    ),
    "signed": (lines("0,0,1,-1", "0,0,2,1"), "--polarity signed", {"polarity": "signed"}, [1, 2], [0, 1]),
    "unsorted": (lines("0,0,9,1", "0,0,2,0"), "--sort", {"sort": True}, [2, 9], [0, 1]),
    "negative": (lines("0,0,-5,1", "0,0,2,0"), "--shift-time", {"shift_time": True}, [0, 7], [1, 0]),
    "wrapping": (
        lines("0,0,8388600,1", "0,0,5,0"), "--unwrap 23", {"unwrap": 23}, [8388600, 8388613], [1, 0]
    ),
    "beyond": (
        lines("0,0,1,1", "9,0,2,0", "1,0,3,0"), "--sensor 1 10 at least, or --drop-outside",
        {"drop_outside": True}, [1, 3], [1, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MENDED)
def test_what_is_wrong_is_said_and_one_option_mends_it(kind, tmp_path):
    content, said, options, times, polarities = MENDED[kind]
    path = written(tmp_path, content, "events.csv")
    with pytest.raises(DataError, match=said):
        read_events(path, RecordingOptions(sensor=(4, 4)))
    (odd, *_) = look_at(path, RecordingOptions(sensor=(4, 4))).odd
    assert said in odd
    events, _, facts = read_events(path, RecordingOptions(sensor=(4, 4), **options))
    assert events["t"].tolist() == times
    assert events["p"].tolist() == polarities
    assert not facts.odd


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["0.5,0,1,0"], {}, "event 0 has x = 0.5; expected whole numbers"),
        (["0,0,nan,0"], {}, "has t = nan"),
        (["0,0,1e300,0"], {}, "has t = 1e[+]300"),
        (["0,0,1,2"], {}, "has polarity 2; expected 0 or 1"),
        (["0,0,1,0"], {"polarity": "signed"}, "has polarity 0; expected -1 or 1; leave out --polarity"),
        (["0,0,0.5,0"], {"time_unit": "us"}, "t = 0.5; expected whole microseconds"),
        (["-1,0,1,0"], {}, "at x = -1"),
        (["0,3,1,0", "0,0,2,0"], {"sensor": (2, 5)}, "x and y may be exchanged"),
        (["0,0,1,0"], {"crop": (0, 2, 3, 3), "sensor": (4, 4)}, "a part of the sensor's 4 x 4"),
        (["0,0,1,0"], {"crop": (0, 2, 3, 2), "sensor": (4, 4)}, "no event lies within --crop 0 2 3 2"),
        (["9,0,1,0"], {"drop_outside": True, "sensor": (4, 4)}, "no event lies on the sensor"),
        ([f"0,0,{9 * i},0" for i in range(200)], {}, "200 events span 1,791 of an unsaid unit"),
        ([f"0,0,{10**6 * i},0" for i in range(200)], {}, "say it: --time-unit"),
        (["0,0,9007199254740991,0"], {"time_unit": "s"}, "a smaller --time-unit"),
    ],
)
def test_what_no_guess_mends(rows, options, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_events(written(tmp_path, lines(*rows), "events.csv"), RecordingOptions(**options))


def test_what_a_file_says_itself_no_option_of_others_changes(tmp_path):
    """So that a folder may hold files of several kinds: names count, and a format's one bit of polarity."""
    path = written(tmp_path, lines("1,0,5,1", "0,1,6,0"), "events.csv")
    events, _, facts = read_events(path, RecordingOptions(columns=("y", "x", "t", "p")))
    assert events["x"].tolist() == [1, 0]
    assert "its columns have names, which count; --columns does not" in facts.notes
    path = tmp_path / "a.bin"
    write_nmnist(path, events)
    assert read_events(path, RecordingOptions(polarity="signed"))[0]["p"].tolist() == [1, 0]


def test_columns_names_and_units(tmp_path):
    events = some_events(40)
    wide = np.column_stack([np.full(40, 7), files.columns(events, "typx")])
    options = RecordingOptions(columns=("-", "t", "y", "p", "x"))
    path = written(tmp_path, files.npy(wide), "a.npy")
    np.testing.assert_array_equal(read_events(path, options)[0], events)
    late = events.copy()
    late["t"] *= 1000
    for header in ("row;col;Timestamp [ns];POL", "# y; x; t_ns; p"):
        content = files.text(late, "yxtp", ";", header)
        np.testing.assert_array_equal(read_events(written(tmp_path, content))[0], events)
    words = files.text(events, "xytp", ",", "x,y,t,on")
    words = words.replace(b",1\n", b",True\n").replace(b",0\n", b",False\n")
    np.testing.assert_array_equal(read_events(written(tmp_path, words))[0], events)
    with pytest.raises(DataError, match="5 columns and --columns names 4"):
        read_events(path, RecordingOptions(columns=XYTP))


def test_times_are_rounded_to_microseconds(tmp_path):
    path = written(tmp_path, lines("0,0,0.0000014,0", "0,0,0.0000026,0"), "a.csv")
    assert read_events(path, RecordingOptions(time_unit="s"))[0]["t"].tolist() == [1, 3]
    path = written(tmp_path, lines("0,0,1499,0", "0,0,1500,0"), "a.csv")
    assert read_events(path, RecordingOptions(time_unit="ns"))[0]["t"].tolist() == [1, 2]


def test_a_crop_counts_from_its_corner(tmp_path):
    events = some_events(200)
    found, sensor, facts = read_events(
        written(tmp_path, files.dat(events), "a.dat"), RecordingOptions(crop=(10, 5, 8, 12))
    )
    x, y = events["x"].astype(int) - 5, events["y"].astype(int) - 10
    inside = (x >= 0) & (x < 12) & (y >= 0) & (y < 8)
    assert sensor == (8, 12)
    assert found["x"].tolist() == x[inside].tolist()
    assert found["y"].tolist() == y[inside].tolist()
    assert f"{200 - inside.sum()} of 200 events left out" in facts.notes


def test_windows_of_a_recording():
    events = some_events(100, span=10_000)
    events["t"][-1] = 1000 + 9_999
    cut = windows(events, 4000, 1500)
    assert [each.start_us for each in cut] == [0, 1500, 3000, 4500, 6000]
    for each in cut:
        relative = events["t"] - 1000
        wanted = events[(relative >= each.start_us) & (relative < each.start_us + 4000)]
        np.testing.assert_array_equal(each.events, wanted)
        assert each.place == (1000 + each.start_us, 4000)
    assert [each.start_us for each in windows(events, 5000)] == [0, 5000]
    (only,) = windows(events, 1_000_000)
    assert len(only.events) == 100
    late = events.copy()
    late["t"][-1] = 1 << 50
    with pytest.raises(DataError, match="windows of one recording"):
        windows(late, 1)
    with pytest.raises(DataError, match="window_us = 0"):
        windows(events, 0)
    with pytest.raises(DataError, match="no events"):
        windows(events[:0], 5)


def test_a_window_is_divided_by_its_own_length():
    events = some_events(100, span=10_000)
    window = windows(events, 4000, 1500)[2]
    frames = sast.frames_from_events(
        window.events, files.SENSOR, sast.FrameOptions(steps=4, clip=255), window.place
    )
    steps = (window.events["t"].astype(int) - window.place[0]) // 1000
    assert frames.sum(axis=(1, 2, 3)).tolist() == np.bincount(steps, minlength=4).tolist()
    with pytest.raises(DataError, match="duration_us = 5 for windows"):
        sast.frames_from_events(window.events, files.SENSOR, sast.FrameOptions(duration_us=5), window.place)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": ("x", "y", "t", "t")}, "x, y, t and p, each once"),
        ({"crop": (0, 0, 0, 4)}, "a height and a width of 1 up"),
        ({"stride_us": 5}, "stride_us without window_us"),
        ({"time_unit": "h"}, "time_unit = 'h'"),
        ({"unwrap": 3}, "unwrap = 3"),
        ({"sensor": (3,)}, "sensor = "),
    ],
)
def test_options_that_cannot_be(values, message):
    with pytest.raises(DataError, match=message):
        RecordingOptions(**values)


@pytest.mark.slow
def test_what_kills_the_decoder_kills_nobody_else(tmp_path, monkeypatch):
    """A packet that promises more than all memory, a decoder that is killed: one line, and the next works."""
    from sast_deploy.data.readers import decoding

    good = written(tmp_path, files.aedat4(some_events(50)), "good.aedat4")
    content = bytearray(files.aedat4(some_events(50)))
    at = content.rindex(b"EVTS") - 12
    content[at : at + 4] = b"\xff\xff\xff\x7f"
    with pytest.raises(DataError, match=r"x.aedat4: is cut off or damaged: a packet of 2,147,483,647 bytes"):
        read_events(written(tmp_path, bytes(content), "x.aedat4"))
    assert read_events(good)[2].events == 50
    decoding._decoder.child.kill()
    decoding._decoder.child.wait()
    assert read_events(good)[2].events == 50


    class AtOnce(threading.Timer):
        def start(self):
            self.function()

    monkeypatch.setattr(decoding, "threading", SimpleNamespace(Timer=AtOnce))  # it takes too long
    with pytest.raises(DataError, match="its decoder died"):
        read_events(good)


REAL = {  # of event_formats/: events, sensor, microseconds
    "DVS128-2017-03-21-short.aedat": (130_114, (128, 128), 6_181_499),
    "sample.aedat4": (6_676, (260, 346), 169_941),
    "dvSave-2024_11_26_11_34_31.aedat4crop_50x50.aedat4": (37_892, (260, 346), 1_856_465),
    "dvSave-2024_11_26_11_37_32.aedat4crop_50x50.aedat4": (35_484, (260, 346), 1_449_813),
    "obj_004414_td.dat": (1_756, None, 99_935),
    "evt3_sample.raw": (219_596, (720, 1280), 8_811),
    "test.es": (4_407, (239, 54), 99_937),
    "03263.bin": (5_999, (34, 34), 302_938),
    "event.hdf5": (17, None, 5_748),
    "event.txt": (17, None, 5_748),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_files_of_every_format(name, shared_data):
    path = shared_data / "event_formats" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    options = RecordingOptions(
        time_unit="s" if name.startswith("event.") else None,
        columns=("t", "y", "x", "p") if name.endswith(".txt") else None,
    )
    _, sensor, facts = read_events(path, options)
    assert (facts.events, sensor, facts.last_us - facts.first_us) == REAL[name]
    assert not facts.odd
