"""Data sets through tonic's own classes, from the layout in which tonic unpacks them."""

from __future__ import annotations

import re
import urllib.error

import numpy as np
import pytest
import tonic

from sast_deploy.base.errors import DataError, InstallationError
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.events import EVENT
from tests.unit.data_samples import random_events, slow_frames, write_folder

OPTIONS = FrameOptions(steps=5)
GESTURES = 11


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)


@pytest.fixture
def load(tmp_path):
    def call(dataset, options=OPTIONS, **more):
        return load_frames(dataset, options, data_root=tmp_path, cache_dir=tmp_path / "cache", **more)

    return call


def gesture_events(seed):
    """Events with times in whole milliseconds, as the gesture files hold them."""
    events = random_events(seed, n=60, sensor=(128, 128))
    events["t"] = np.sort(events["t"] // 1000)
    return events


def write_gestures(root, per_part=(99, 99)):
    """tonic's layout: rows (x, y, p, t in ms) in <part>/userNN_<light>/<label>.npy beside the archive."""
    for part, users in (("ibmGestureTrain", per_part[0]), ("ibmGestureTest", per_part[1])):
        (root / "DVSGesture").mkdir(parents=True, exist_ok=True)
        (root / "DVSGesture" / f"{part}.tar.gz").write_bytes(b"")
        for number in range(users + 1):
            user, label = divmod(number, GESTURES)
            folder = root / "DVSGesture" / part / f"user{user:02d}_led"
            folder.mkdir(parents=True, exist_ok=True)
            events = gesture_events(seed=number + 1000 * (part == "ibmGestureTest"))
            rows = np.stack([events[name].astype(np.int64) for name in "xypt"], axis=1)
            np.save(folder / f"{label}.npy", rows)


@pytest.mark.slow
def test_dvsgesture_is_read_through_tonic_and_summed_to_48_by_48(tmp_path, load):
    write_gestures(tmp_path)
    frame_set = load("dvsgesture")
    assert frame_set.sensor == (2, 48, 48)
    assert frame_set.options.size == (48, 48)
    assert (frame_set.info.n_train, frame_set.info.n_test) == (100, 100)
    assert frame_set.info.classes[3] == "Right arm cw"
    assert frame_set.info.provenance == f"recordings of tonic.datasets.DVSGesture from {tmp_path}/DVSGesture"
    assert load(frame_set.info.dataset).info == frame_set.info
    assert frame_set.info.root == str(tmp_path)
    assert frame_set.train.ids[1] == "ibmGestureTrain/user00_led/1.npy"
    for split, first in ((frame_set.train, 0), (frame_set.test, 1000)):
        assert list(split.ids) == sorted(split.ids)
        for frames, label, name in zip(split.frames, split.labels, split.ids, strict=True):
            user, gesture = map(int, re.search(r"user(\d+)_led/(\d+)\.npy", name).groups())
            assert label == gesture
            events = gesture_events(first + GESTURES * user + gesture)
            events["t"] *= 1000
            expected = slow_frames(events, (128, 128), FrameOptions(steps=5, size=(48, 48)))
            assert np.array_equal(frames, expected)


@pytest.mark.slow
def test_dvsgesture_at_the_sensors_own_size(tmp_path, load):
    write_gestures(tmp_path)
    assert load("tonic:DVSGesture", FrameOptions(steps=1, size=(128, 128))).sensor == (2, 128, 128)


def test_tonics_own_nmnist_class_gives_the_same_frames_as_the_fast_path(tmp_path, load):
    write_folder(tmp_path / "NMNIST", {"Train": {3: 2, 9: 3}, "Test": {3: 1}})
    fast, slow = load("nmnist"), load("tonic:NMNIST")
    for ours, theirs in ((fast.train, slow.train), (fast.test, slow.test)):
        assert ours.ids == theirs.ids
        assert np.array_equal(ours.frames, theirs.frames)
        assert np.array_equal(ours.labels, theirs.labels)


def test_tonics_nmnist_class_does_not_hide_a_simulated_folder(tmp_path, load):
    root = write_folder(tmp_path / "NMNIST", {"Train": {3: 2}, "Test": {3: 1}})
    (root / "SIMULATED.json").write_text('{"source": "pictures"}')
    with pytest.raises(DataError, match=r"SIMULATED.json says that this is no camera data"):
        load("tonic:NMNIST")


@pytest.mark.slow
def test_cifar10dvs_needs_a_holdout_and_is_read_with_its_class_names(tmp_path, load, monkeypatch):
    names = sorted(tonic.datasets.CIFAR10DVS.classes)
    (tmp_path / "CIFAR10DVS").mkdir()
    (tmp_path / "CIFAR10DVS" / "CIFAR10DVS.zip").write_bytes(b"")
    for name in names:
        (tmp_path / "CIFAR10DVS" / name).mkdir()
        for i in range(100):
            (tmp_path / "CIFAR10DVS" / name / f"cifar10_{name}_{i}.aedat4").write_bytes(b"")

    def read(path):
        dtype = [("timestamp", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]
        events = random_events(len(path), n=20, sensor=(128, 128))
        return np.array(list(zip(events["t"], events["x"], events["y"], events["p"] > 0, strict=True)), dtype)

    monkeypatch.setattr("tonic.datasets.cifar10dvs.read_aedat4", read)
    with pytest.raises(DataError, match=r"there is no test split.*--holdout"):
        load("cifar10dvs")
    frame_set = load("cifar10dvs", holdout=0.1)
    assert (frame_set.info.n_train, frame_set.info.n_test) == (900, 100)
    assert list(frame_set.info.classes) == names
    assert np.bincount(frame_set.test.labels).tolist() == [10] * 10
    assert frame_set.sensor == (2, 48, 48)


def make_set(monkeypatch, events=None, targets=(0, 1, 0, 1), **attributes):
    """A tonic data set class of four recordings under the name ASLDVS."""
    recordings = [random_events(i, sensor=(5, 7)) if events is None else events for i in range(len(targets))]

    class ASLDVS(tonic.dataset.Dataset):
        dtype = EVENT
        sensor_size = (7, 5, 2)

        def __init__(self, save_to):
            super().__init__(save_to)
            self.data, self.targets = recordings, list(targets)

        def __getitem__(self, index):
            return self.data[index], self.targets[index]

    for name, value in attributes.items():
        setattr(ASLDVS, name, value)
    monkeypatch.setattr(tonic.datasets, "ASLDVS", ASLDVS)
    return recordings


def test_a_set_in_memory_with_labels_by_name(monkeypatch, load):
    recordings = make_set(monkeypatch, targets=("owl", "cat", "owl", "cat"))
    frame_set = load("tonic:ASLDVS", holdout=0.5)
    assert frame_set.info.classes == ("cat", "owl")
    assert frame_set.sensor == (2, 5, 7)
    train = frame_set.train
    for frames, label, name in zip(train.frames, train.labels, train.ids, strict=True):
        index = int(name.removeprefix("train/"))
        assert label == (index + 1) % 2
        assert np.array_equal(frames, slow_frames(recordings[index], (5, 7), OPTIONS))


def test_columns_are_flattened(monkeypatch, load):
    recordings = make_set(monkeypatch)
    make_set(monkeypatch, events=recordings[2].reshape(-1, 1))
    frames = load("tonic:ASLDVS", holdout=0.5).train.frames
    assert np.array_equal(frames[0], slow_frames(recordings[2], (5, 7), OPTIONS))


def changed(name, value, dtype=None):
    kinds = [(field, dtype if field == name and dtype else "<i8") for field in "xytp"]
    events = random_events(0, sensor=(5, 7)).astype(kinds)
    events[name][3] = value
    return events


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (changed("x", 7), "event 3 has x = 7; expected 0 to 6"),
        (changed("x", -1), "event 3 has x = -1; expected 0 to 65535"),
        (changed("y", 65536), "event 3 has y = 65536; expected 0 to 65535"),
        (changed("p", 2), "event 3 has p = 2; expected 0 to 1"),
        (changed("p", -1), "event 3 has p = -1"),
        (changed("t", 10**9), "time runs backwards: event 4"),
        (changed("t", 0.5, "<f8"), r"t of type float64; expected integers \(t in microseconds\)"),
        (np.zeros(0, EVENT), "has no events"),
    ],
)
def test_events_that_cannot_be_used_name_the_recording_and_the_value(monkeypatch, load, events, message):
    make_set(monkeypatch, events=events)
    with pytest.raises(DataError, match=rf"ASLDVS/train/\d+: {message}"):
        load("tonic:ASLDVS", holdout=0.5)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"sensor_size": None}, "has sensor size None"),
        ({"sensor_size": (7, 5, 1)}, r"has sensor size \(7, 5, 1\)"),
        ({"targets": ()}, "tonic finds no recordings"),
        ({"targets": (0, 3, 0, -1)}, "train recording 3 has label -1; expected one of 0, 1, 2, 3"),
        ({"targets": ({"box": 1}, 0, 0, 0)}, "labels such as .*; expected one class per recording"),
        ({"classes": ["a"]}, "train recording 1 has label 1; expected one of 0"),
        ({"classes": ["a"], "targets": ("a", "a", "b", "a")}, "train recording 2 has label 'b'"),
    ],
)
def test_sets_without_classes_or_a_fixed_sensor_are_refused(monkeypatch, load, attributes, message):
    make_set(monkeypatch, **attributes)
    with pytest.raises(DataError, match=message):
        load("tonic:ASLDVS", holdout=0.5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tonic:DVSGestures", "tonic has no data set 'DVSGestures'; expected .*DVSGesture"),
        ("tonic:dvsgesture", "expected .*DVSGesture"),
        ("tonic:zzzzzz", "expected one of ASLDVS, CIFAR10DVS"),
        ("tonic:SHD", r"tonic.datasets.SHD has events of \(t, x, p\); expected events of \(x, y, t, p\)"),
        ("dvsgesture", r"tonic gives no DVSGesture \(<urlopen error Name or service not known>\)"),
        ("tonic:DVSLip", r"tonic gives no DVSLip \(.*by hand\)"),
    ],
)
def test_unknown_unfit_and_unreachable_sets_are_one_clear_line(load, tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        load(name, download=True)
    assert not (tmp_path / "DVSGesture").exists()


def test_a_package_that_tonic_lacks_is_named(monkeypatch, load):
    make_set(monkeypatch)

    def lacking(self, index):
        raise ModuleNotFoundError("No module named 'aedat'", name="aedat")

    monkeypatch.setattr(tonic.datasets.ASLDVS, "__getitem__", lacking)
    with pytest.raises(InstallationError, match="tonic needs the package 'aedat'; pip install aedat"):
        load("tonic:ASLDVS", holdout=0.5)
