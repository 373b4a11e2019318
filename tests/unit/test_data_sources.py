"""load_frames on N-MNIST's layout: which data set is taken from where, splits, refusals."""

from __future__ import annotations

import json
import shutil
import urllib.error

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.base.progress import observe
from sast_deploy.data import DataInfo, FrameOptions, describe, frameset, load_frames
from sast_deploy.data.events import read_nmnist
from sast_deploy.data.readers.nmnist import SERVER
from sast_deploy.data.readers.official import KNOWN, SUSPECT, nmnist_provenance
from sast_deploy.show.terminal import Terminal
from tests.unit.data_samples import slow_frames, write_folder

OPTIONS = FrameOptions(steps=4)


@pytest.fixture
def load(tmp_path):
    """load_frames with its cache in the test's own folder."""

    def call(dataset, root, options=OPTIONS, **more):
        return load_frames(dataset, options, data_root=root, cache_dir=tmp_path / "cache", **more)

    return call


@pytest.fixture
def offline(monkeypatch):
    """tonic finds no server."""

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)


@pytest.fixture
def complete(tmp_path):
    return write_folder(tmp_path / "data", {"Train": {2: 3, 7: 2}, "Test": {2: 1, 7: 2}})


def simulated(root):
    (root / "SIMULATED.json").write_text(json.dumps({"source": "pictures"}))
    return root


def test_frames_labels_and_ids_are_those_of_the_files(complete, load):
    frame_set = load("nmnist", complete)
    names = ("2/00001", "2/00002", "2/00003", "7/00001", "7/00002")
    assert frame_set.train.ids == tuple(f"Train/{name}.bin" for name in names)
    assert frame_set.test.labels.tolist() == [2, 7, 7]
    assert frame_set.sensor == (2, 34, 34)
    assert frame_set.options == FrameOptions(steps=4, size=(34, 34))
    for split in (frame_set.train, frame_set.test):
        for frames, name in zip(split.frames, split.ids, strict=True):
            assert np.array_equal(frames, slow_frames(read_nmnist(complete / name), (34, 34), OPTIONS))


def test_frames_and_labels_cannot_be_written(complete, load):
    train = load("nmnist", complete).train
    with pytest.raises(TypeError, match="does not support item assignment"):
        train.frames[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        train.frames.count[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        train.labels[0] = 0


def test_info_says_everything_and_survives_json(complete, load):
    info = load("nmnist", complete).info
    assert (info.requested, info.dataset, info.simulated) == ("nmnist", "nmnist", False)
    assert info.provenance == (
        f"recordings in N-MNIST's layout, not verified: Test/7/00001.bin is not N-MNIST's; from {complete}"
    )
    assert (info.n_train, info.n_test, info.holdout, info.holdout_seed) == (5, 3, None, None)
    assert info.classes == tuple("0123456789")
    assert info.missing_classes == tuple("01345689")
    assert DataInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info
    assert "5 training and 3 test samples" in info.summary()
    assert info.summary().endswith("; no training samples of 0, 1, 3, 4, 5, 6, 8, 9")


def test_info_refuses_foreign_keys(complete, load):
    values = load("nmnist", complete).info.to_dict()
    with pytest.raises(DataError, match="unknown key colour"):
        DataInfo.from_dict({**values, "colour": 1})
    del values["root"]
    with pytest.raises(DataError, match="missing key root"):
        DataInfo.from_dict(values)


def test_tonics_layout_and_the_environment_variable(tmp_path, load, monkeypatch):
    write_folder(tmp_path / "data" / "NMNIST", {"Train": {1: 2}, "Test": {1: 1}})
    monkeypatch.setenv("SAST_DATA_ROOT", str(tmp_path / "data"))
    assert load("nmnist", None).info.root == str(tmp_path / "data" / "NMNIST")
    monkeypatch.delenv("SAST_DATA_ROOT")
    monkeypatch.chdir(tmp_path)
    assert load("nmnist", None).info.root == str(tmp_path / "data" / "NMNIST")


def test_without_a_test_folder_holdout_is_named_and_makes_a_stratified_split(tmp_path, load):
    root = write_folder(tmp_path / "data", {"Train": {0: 10, 5: 5}})
    with pytest.raises(DataError, match=r"there is no test split; .*--holdout 0\.2"):
        load("nmnist", root)
    frame_set = load("nmnist", root, holdout=0.2, holdout_seed=3)
    assert np.bincount(frame_set.train.labels).tolist() == [8, 0, 0, 0, 0, 4]
    assert np.bincount(frame_set.test.labels).tolist() == [2, 0, 0, 0, 0, 1]
    assert not set(frame_set.train.ids) & set(frame_set.test.ids)
    assert (frame_set.info.holdout, frame_set.info.holdout_seed) == (0.2, 3)
    other = load("nmnist", root, holdout=0.2, holdout_seed=4)
    assert other.test.ids != frame_set.test.ids
    assert other.info.frame_digest != frame_set.info.frame_digest


def test_holdout_beside_a_test_folder_is_refused(complete, load):
    with pytest.raises(DataError, match=r"holdout 0\.2 beside the data set's own test split of 3"):
        load("nmnist", complete, holdout=0.2)


def test_absent_data_says_where_it_was_looked_for_and_names_the_default(tmp_path, load, offline, capsys):
    with pytest.raises(DataError) as error, observe(Terminal()):
        load("nmnist", tmp_path / "nowhere", download=True)
    text = str(error.value)
    assert f"N-MNIST is not in {tmp_path}/nowhere or {tmp_path}/nowhere/NMNIST" in text
    assert "Train/<digit>/<number>.bin" in text
    assert "mendeley.com" in text
    assert "the embedded simulated data, called digits-saccade" in text
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sast-deploy: downloading N-MNIST from https://data.mendeley.com")
    assert not (tmp_path / "nowhere").exists()


def test_absent_data_is_downloaded_by_tonic(tmp_path, load, monkeypatch, capsys):
    def fake(url, location, filename, md5):
        folder = {"train.zip": "Train", "test.zip": "Test"}[filename]
        assert location == str(tmp_path / "data" / "NMNIST")
        print(f"Downloading {url}")
        write_folder(tmp_path / "data" / "NMNIST", {folder: {4: 2}})

    monkeypatch.setattr("tonic.dataset.download_and_extract_archive", fake)
    with pytest.raises(DataError):
        load("nmnist", tmp_path / "data")
    first = load("nmnist", tmp_path / "data", download=True)
    captured = capsys.readouterr()
    assert captured.out == ""  # standard output belongs to results
    assert captured.err.count("Downloading https://") == 2
    assert (first.info.dataset, first.info.n_train, first.info.n_test) == ("nmnist", 2, 2)
    assert load("nmnist", tmp_path / "data").info == first.info


@pytest.mark.parametrize(
    ("dataset", "size", "server"),
    [
        ("nmnist", "about 1.2 GB", "https://data.mendeley.com"),
        ("dvsgesture", "about 3 GB", "https://figshare.com/"),
        ("cifar10dvs", "several GB", "https://figshare.com/"),
        ("tonic:NCALTECH101", "perhaps gigabytes", "https://"),
    ],
)
def test_nothing_is_downloaded_unasked(tmp_path, load, monkeypatch, dataset, size, server):
    """One line says what it would be, from where and how large, and what allows it."""

    def download(*_, **__):
        pytest.fail("it downloads")

    monkeypatch.setattr("urllib.request.urlopen", download)
    with pytest.raises(DataError) as caught:
        load(dataset, tmp_path / "empty")
    text = str(caught.value)
    assert f"{dataset} is not here, and is not downloaded unasked: {size} from {server}" in text
    assert f"--download --data-root {tmp_path / 'empty'} fetches it there" in text
    assert "\n" not in text
    assert not list(tmp_path.rglob("*.zip"))


def test_the_server_that_is_named_is_tonics():
    from tonic.datasets import NMNIST

    assert NMNIST.base_url.startswith(SERVER)


def test_an_interrupted_unpacking_is_not_taken_for_a_part(complete, load):
    (complete / "train.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"5 recordings beside train.zip, which holds 60000"):
        load("nmnist", complete)


def test_a_folder_that_calls_itself_simulated_is_no_nmnist(complete, load):
    simulated(complete)
    with pytest.raises(DataError, match=r"simulated from pictures; .*--dataset nmnist-simulated"):
        load("nmnist", complete)
    info = load("nmnist-simulated", complete).info
    assert (info.dataset, info.simulated) == ("nmnist-simulated", True)
    assert info.provenance.startswith("SIMULATED from pictures")


def test_nmnist_simulated_wants_the_marker_and_the_data(complete, load, tmp_path):
    with pytest.raises(DataError, match=r"no SIMULATED.json; .*--dataset nmnist for a real one"):
        load("nmnist-simulated", complete)
    with pytest.raises(DataError, match=r"no simulated N-MNIST in .*sast-deploy data simulate"):
        load("nmnist-simulated", tmp_path / "nowhere")
    (complete / "SIMULATED.json").write_text("{")
    with pytest.raises(DataError, match=r"SIMULATED.json: is no JSON"):
        load("nmnist-simulated", complete)


def test_auto_takes_real_data_where_it_is(complete, load):
    info = load("auto", complete).info
    assert (info.requested, info.dataset, info.simulated) == ("auto", "nmnist", False)


@pytest.mark.parametrize("kind", ["absent", "simulated"])
def test_auto_takes_the_embedded_default_otherwise_and_says_so(tmp_path, load, monkeypatch, complete, kind):
    embedded = simulated(write_folder(tmp_path / "embedded", {"Train": {1: 2}, "Test": {1: 1}}))
    monkeypatch.setattr("sast_deploy.data.camera.saccade.build_digits", lambda cache_dir: embedded)
    root = tmp_path / "nowhere" if kind == "absent" else simulated(complete)
    info = load("auto", root).info
    assert (info.requested, info.dataset, info.simulated) == ("auto", "digits-saccade", True)
    assert info.provenance.startswith("SIMULATED: scikit-learn")
    assert "real N-MNIST was not used" in info.provenance
    explicit = load("digits-saccade", root).info
    assert "not used" not in explicit.provenance
    assert explicit.frame_digest == info.frame_digest


def remove_recordings(folder):
    for path in folder.rglob("*.bin"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "Train/seven").mkdir(), r"Train: label folder 'seven'; expected folders"),
        (lambda root: (root / "Train/10").mkdir(), r"label folder '10'"),
        (lambda root: remove_recordings(root / "Train"), "Train: has no .bin files"),
        (lambda root: remove_recordings(root / "Test"), "Test: has no .bin files"),
        (lambda root: (root / "Train/2/00002.bin").write_bytes(b"\0" * 12), r"2.bin: 12 bytes leave 2 over"),
        (lambda root: (root / "Test/7/00002.bin").write_bytes(b""), r"Test/7/00002.bin: has no events"),
        (lambda root: (root / "Test/7/9.bin").symlink_to("gone"), r"9.bin: cannot be read: No such file"),
        (lambda root: (root / "Test/7/9.bin").mkdir(), r"9.bin: is a folder"),
    ],
)
def test_bad_files_are_named_and_leave_nothing_in_the_cache(complete, load, tmp_path, spoil, message):
    spoil(complete)
    with pytest.raises(DataError, match=message):
        load("nmnist", complete)
    assert [path for path in (tmp_path / "cache").rglob("*") if not path.is_dir()] == []
    assert list((tmp_path / "cache" / "frames").glob("*")) == []


def test_hidden_and_foreign_files_are_passed_over(complete, load):
    (complete / "Train" / ".DS_Store").write_bytes(b"x")
    (complete / "Train" / "notes.txt").write_bytes(b"x")
    (complete / "Train" / "2" / "readme.txt").write_bytes(b"x")
    assert load("nmnist", complete).info.n_train == 5


def test_a_test_folder_alone_is_refused_without_a_download(tmp_path, load, offline):
    root = write_folder(tmp_path / "data", {"Test": {1: 1}})
    with pytest.raises(DataError, match="has a Test folder but no Train folder"):
        load("nmnist", root)


def test_an_unknown_name_lists_the_known_ones(tmp_path, load):
    with pytest.raises(DataError, match="unknown data set 'mnist'; expected one of auto, nmnist, "):
        load("mnist", tmp_path)


def test_frames_larger_than_the_sensor_are_refused(complete, load):
    with pytest.raises(DataError, match="size = 40 x 34; expected at most the sensor's 34 x 34"):
        load("nmnist", complete, options=FrameOptions(size=(40, 34)))


def test_describe_equals_numpy(complete, load):
    frame_set = load("nmnist", complete, options=FrameOptions(steps=1, clip=2))
    train, test = describe(frame_set)
    frames = np.asarray(frame_set.train.frames)
    assert (train.split, train.samples, test.split, test.samples) == ("train", 5, "test", 3)
    assert train.per_class == (0, 0, 3, 0, 0, 0, 0, 2, 0, 0)
    assert train.mean_events == 200
    assert train.density == np.count_nonzero(frames) / frames.size
    assert train.mean_count == frames.sum() / 5
    assert train.max_count == frames.max()
    assert train.clipped == (frames == 2).sum() / (frames > 0).sum() > 0


@pytest.mark.slow
def test_the_real_small_set_has_the_published_figures(shared_data, load):
    root = shared_data / "nmnist_small10"
    frame_set = load("nmnist", root, options=FrameOptions(clip=255))
    train, test = describe(frame_set)
    assert (train.samples, test.samples, train.max_count) == (1000, 100, 12)
    assert round(train.density, 3) == 0.081
    assert frame_set.info.missing_classes == ()


def test_only_known_recordings_are_called_real(shared_data, tmp_path):
    real = shared_data / "nmnist_small10"
    said = nmnist_provenance(real)
    assert said.startswith(f"real N-MNIST recordings from {real} (verified: 20 of 20 known ones are there")
    part = tmp_path / "Test/0"
    part.mkdir(parents=True)
    shutil.copy(real / "Test/0/00004.bin", part)
    shutil.copy(real / "Test/0/00011.bin", part)
    assert "(verified: 1 of 20 known ones are there" in nmnist_provenance(tmp_path)
    (part / "00004.bin").unlink()
    assert SUSPECT in nmnist_provenance(tmp_path)


@pytest.mark.parametrize("name", ["Test/1/3.bin", "Train/5/00007.bin", "Test/0/10001.bin", "Test/0/1.bin"])
def test_a_genuine_recording_makes_no_others_real(name, shared_data, tmp_path):
    genuine = tmp_path / "Test/0/00004.bin"
    genuine.parent.mkdir(parents=True)
    shutil.copy(shared_data / "nmnist_small10/Test/0/00004.bin", genuine)
    assert nmnist_provenance(tmp_path).startswith("real N-MNIST recordings")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\1\1\1\1\1")
    assert SUSPECT in nmnist_provenance(tmp_path)


@pytest.mark.parametrize("name", KNOWN)
def test_one_other_recording_in_the_place_of_a_known_one_is_enough(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\1\1\1\1\1")
    said = nmnist_provenance(tmp_path)
    assert said == f"recordings {SUSPECT}: {name} is not N-MNIST's; from {tmp_path}"


@pytest.mark.parametrize("split", ["train", "test"])
def test_describing_a_large_set_says_how_far_it_is(split, complete, load, monkeypatch):
    said = []
    monkeypatch.setattr(frameset, "track", lambda items, text: said.append(text) or items)
    data = load("nmnist", complete)
    assert describe(data) == describe(data)
    assert f"looking at {split} frames" in said
