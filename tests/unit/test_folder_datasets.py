"""folder:PATH: recordings of one's own as a data set, whole or in windows, found again for a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.data import DataInfo, FrameOptions, RecordingOptions, load_frames
from sast_deploy.data.request import DataRequest, load_recorded
from tests import recordingfiles as files
from tests.recordingfiles import SENSOR, some_events

FRAMES = FrameOptions(steps=3)
READ = RecordingOptions(sensor=SENSOR)
MAKERS = {
    "a.dat": files.dat,
    "b.bs2": files.bs2,
    "c.npy": files.npy,
    "d.csv": lambda events: files.text(events, "txyp", ",", "t,x,y,p"),
    "e.h5": files.hdf5_group,
}


def put(path: Path, events, make=files.dat) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make(events))
    return path


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Two classes of five recordings, each of another format."""
    for label, name in enumerate(("left", "right")):
        for number, (file, make) in enumerate(MAKERS.items()):
            put(tmp_path / "mine" / name / file, some_events(80, 10 * label + number, span=100_000), make)
    return tmp_path / "mine"


@pytest.fixture
def load(tmp_path):
    def call(dataset, options=FRAMES, recordings=READ, **more):
        return load_frames(
            f"folder:{dataset}", options, recordings=recordings, cache_dir=tmp_path / "cache", **more
        )

    return call


def test_class_folders_of_any_mixture(mixed, load):
    data = load(mixed, holdout=0.4)
    assert data.info.classes == ("left", "right")
    assert (data.info.dataset, data.info.root) == ("folder:mine", str(mixed.parent))
    assert (len(data.train), len(data.test)) == (6, 4)
    assert sorted((*data.train.ids, *data.test.ids)) == sorted(
        f"{label}/{file}" for label in data.info.classes for file in MAKERS
    )
    for split in (data.train, data.test):
        for frames, label, name in zip(split.frames, split.labels, split.ids, strict=True):
            assert data.info.classes[label] == name.split("/")[0]
            events = some_events(80, 10 * int(label) + [*MAKERS].index(name.split("/")[1]), span=100_000)
            np.testing.assert_array_equal(frames, sast.frames_from_events(events, SENSOR, FRAMES))


def test_train_and_test_folders_and_numbers_in_order(tmp_path, load):
    for split, label, seed in (("Train", "2", 0), ("Train", "10", 1), ("Test", "10", 2)):
        put(tmp_path / "mine" / split / label / "x.dat", some_events(50, seed))
    (tmp_path / "mine" / "README.md").write_text("of no class")
    data = load(tmp_path / "mine")
    assert data.info.classes == ("2", "10")
    assert data.train.ids == ("Train/10/x.dat", "Train/2/x.dat")
    assert data.test.ids == ("Test/10/x.dat",)
    assert data.test.labels.tolist() == [1]


def test_a_list_of_labels(tmp_path, load):
    for number in range(4):
        put(tmp_path / "mine" / "deep" / f"{number}.dat", some_events(50, number))
    listed = tmp_path / "mine" / "labels.csv"
    rows = [f"deep/{n}.dat,{'ab'[n % 2]},{'train' if n < 2 else 'test'}" for n in range(4)]
    listed.write_text("\n".join(["File, label,split", *rows, ""]))
    data = load(listed)
    assert data.info.dataset == "folder:mine/labels.csv"
    assert data.info.classes == ("a", "b")
    assert data.test.ids == ("deep/2.dat", "deep/3.dat")
    listed.write_text("file,label\n" + "".join(f"deep/{n}.dat,{'ab'[n % 2]}\n" for n in range(4)))
    assert len(load(listed, holdout=0.5).test) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"columns \[\]; expected file,label"),
        ("name,label\n", "expected file,label or file,label,split"),
        ("file,label\n../x.dat,a\n", "line 2 has file '../x.dat'"),
        ("file,label\n/etc/passwd,a\n", "line 2 has file"),
        ("file,label\na/../../x.dat,a\n", "line 2 has file"),
        ("file,label\n0.dat,a\n./0.dat,a\n", "line 3 names '0.dat' again"),
        ("file,label\n0.dat\n", "line 2 has 1 columns; expected 2"),
        ("file,label\n0.dat,\n", "line 2 has label ''"),
        ("file,label,split\n0.dat,a,validation\n", "split 'validation'; expected train or test"),
        ('file,label\n"0.dat,a\n', "is no CSV"),
        ("file,label\nnowhere.dat,a\n", "nowhere.dat: no such file"),
        ("file,label\n", "has no recordings"),
    ],
)
def test_lists_that_cannot_be(text, message, tmp_path, load):
    put(tmp_path / "mine" / "0.dat", some_events())
    (tmp_path / "mine" / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load(tmp_path / "mine" / "labels.csv", holdout=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_windows_of_a_recording_are_never_divided(seed, tmp_path, load):
    for label in "ab":
        for number in range(6):
            events = some_events(200, 100 * number + ord(label), span=60_000 + 10_000 * number)
            put(tmp_path / "mine" / label / f"{number}.dat", events)
    cut = RecordingOptions(window_us=20_000, stride_us=10_000)
    data = load(tmp_path / "mine", recordings=cut, holdout=1 / 3, holdout_seed=seed)
    of = [{name.split("@")[0] for name in split.ids} for split in (data.train, data.test)]
    assert not of[0] & of[1]
    assert [len(each) for each in of] == [8, 4]
    assert len({*data.train.ids, *data.test.ids}) == len(data.train) + len(data.test) > 60
    name, place = data.test.ids[3].split("@")
    events, _, _ = sast.read_events(tmp_path / "mine" / name)
    start = int(place.partition("-")[0])
    (wanted,) = (each for each in sast.windows(events, 20_000, 10_000) if each.start_us == start)
    assert place == f"{start}-{start + 20_000}us"
    frames = sast.frames_from_events(wanted.events, SENSOR, FRAMES, wanted.place)
    np.testing.assert_array_equal(data.test.frames[3], frames)


def test_windows_without_events_are_left_out_and_counted(tmp_path, load):
    for name in ("a/0.dat", "b/0.dat", "a/1.dat", "b/1.dat"):
        events = some_events(50, span=10_000)
        events["t"][25:] += 100_000
        put(tmp_path / "mine" / name, events)
    data = load(tmp_path / "mine", recordings=RecordingOptions(window_us=10_000), holdout=0.5)
    assert "windows without events left out" in data.info.provenance
    again = load(tmp_path / "mine", recordings=RecordingOptions(window_us=10_000), holdout=0.5)
    assert again.info == data.info


def test_bad_recordings_are_named_or_skipped_and_counted(mixed, load):
    put(mixed / "left" / "bad.dat", some_events(), lambda events: files.dat(events)[:-3])
    with pytest.raises(DataError, match=r"left/bad\.dat: is cut off"):
        load(mixed, holdout=0.4)
    skipping = RecordingOptions(sensor=SENSOR, skip_bad=True)
    for _ in range(2):  # built, and from the cache
        data = load(mixed, recordings=skipping, holdout=0.4)
        assert "1 of 11 recordings skipped, the first" in data.info.provenance
        assert len(data.train) + len(data.test) == 10
    for path in mixed.rglob("*.*"):
        path.write_bytes(b"% no\n")
    with pytest.raises(DataError, match="none of 11 recordings can be used"):
        load(mixed, recordings=skipping, holdout=0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "left" / "more").mkdir(), "has a folder 'more'; expected recordings only"),
        (lambda root: (root / "train").mkdir(), "has 'left' beside train and test"),
        (lambda root: (root / "left").rename(root / "test"), "a test folder and no train folder"),
        (lambda root: shutil.rmtree(root), "cannot be read"),
        (lambda root: [shutil.rmtree(each) for each in root.iterdir()], "has no recordings"),
        (lambda root: os.mkfifo(root / "left" / "pipe"), "left/pipe: is a pipe"),
        (lambda root: (root / "left" / "x").symlink_to("/dev/zero"), "left/x: is a device"),
        (lambda root: (root / "left" / "x").symlink_to(".."), "too many levels|Too many levels"),
        (lambda root: put(root / "left" / "0.dat", some_events(), lambda e: files.dat(e, header="")), None),
    ],
)
def test_folders_that_cannot_be(change, message, mixed, load):
    change(mixed)
    if message is None:  # what the file does not say, the option does
        load(mixed, holdout=0.4)
        message = "nothing says the sensor's size"
        with pytest.raises(DataError, match=message):
            load(mixed, recordings=RecordingOptions(), holdout=0.4)
        return
    with pytest.raises(DataError, match=message):
        load(mixed, holdout=0.4)


def test_sensors_that_differ_and_a_crop_that_all_have(tmp_path, load):
    for label in "ab":
        put(tmp_path / "mine" / label / "0.dat", some_events())
        put(tmp_path / "mine" / label / "1.aedat", some_events(500, sensor=(128, 128)), files.aedat2)
    with pytest.raises(DataError, match=r"a/1\.aedat is of 128 x 128 pixels, a/0.dat of 34 x 30"):
        load(tmp_path / "mine", recordings=RecordingOptions(), holdout=0.5)
    data = load(tmp_path / "mine", recordings=RecordingOptions(crop=(2, 3, 30, 20)), holdout=0.5)
    assert data.sensor == (2, 30, 20)


def test_a_changed_file_or_option_is_read_again(mixed, load):
    first = load(mixed, holdout=0.4)
    assert load(mixed, holdout=0.4).info == first.info
    cropped = load(mixed, recordings=RecordingOptions(sensor=SENSOR, crop=(0, 0, 20, 20)), holdout=0.4)
    assert cropped.info.frame_digest != first.info.frame_digest
    put(mixed / "left" / "a.dat", some_events(81, 0, span=100_000))
    assert load(mixed, holdout=0.4).info.frame_digest != first.info.frame_digest


def test_the_record_finds_the_same_frames_again(mixed, load, tmp_path, monkeypatch):
    cut = RecordingOptions(sensor=SENSOR, window_us=40_000, crop=(0, 0, 30, 30))
    data = load(mixed, recordings=cut, holdout=0.4, holdout_seed=3)
    record = DataInfo.from_dict(data.info.to_dict())
    assert record == data.info
    assert record.recordings == cut
    wanted = DataRequest(cache_dir=tmp_path / "cache")
    again = load_recorded("net", record, data.options, wanted)
    assert again.info.unlike(record) is None
    np.testing.assert_array_equal(np.asarray(again.test.frames), np.asarray(data.test.frames))
    shutil.move(mixed, tmp_path / "elsewhere" / "mine")
    moved = DataRequest(f"folder:{tmp_path}/elsewhere/mine", cache_dir=tmp_path / "cache")
    assert load_recorded("net", record, data.options, moved).info.unlike(record) is None
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert DataRequest("folder:mine") == DataRequest(f"folder:{tmp_path}/elsewhere/mine")
    assert moved.identity(record)["recordings"] == cut.to_dict()


def test_older_records_stay_as_they_were():
    from tests.tinydata import tiny_set

    info = tiny_set().info
    assert "recordings" not in info.to_dict()
    assert DataInfo.from_dict(info.to_dict()) == info
    assert [*DataRequest("nmnist").identity(None)] == ["data", "folder", "holdout", "holdout seed"]


def test_options_that_would_change_nothing_are_refused(tmp_path):
    with pytest.raises(UsageError, match="expected --dataset folder:PATH"):
        DataRequest("nmnist", recordings=READ).refuse_idle()
    with pytest.raises(DataError, match="expected folder:PATH"):
        load_frames("digits-saccade", FRAMES, recordings=READ, cache_dir=tmp_path)
    for name in ("folder:", "folder:/", "folder:a\0b"):
        with pytest.raises(DataError, match="expected folder:PATH"):
            load_frames(name, FRAMES)
