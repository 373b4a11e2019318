"""Simulated data sets: layout, marker, split, idx files and what is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from sast_deploy.base.errors import DataError, OutputError
from sast_deploy.data.camera import saccade
from sast_deploy.data.camera.digits import digit_images, digits_split, enlarge
from sast_deploy.data.camera.idx import read_idx, read_mnist
from sast_deploy.data.camera.matching import part_starts
from sast_deploy.data.camera.pixelmodel import PixelModel, simulate_recording
from sast_deploy.data.camera.saccade import recording_key, simulate_mnist
from sast_deploy.data.camera.sessions import session_model
from sast_deploy.data.events import read_nmnist
from sast_deploy.data.readers.nmnist import read_marker


def images(n):
    generator = np.random.Generator(np.random.PCG64(0))
    made = np.zeros((n, 28, 28), np.uint8)
    made[:, 8:20, 10:18] = generator.integers(0, 256, (n, 12, 8))
    return made


def idx_bytes(values):
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Six training and three test images in idx files, one of them plain, the others .gz."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem, n in (("train", 6), ("t10k", 3)):
        labels = (np.arange(n) % 3).astype(np.uint8)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images(n))))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_data_set_is_the_recordings_in_nmnists_layout_and_a_marker(mnist, tmp_path):
    out = simulate_mnist(mnist, tmp_path / "out", 4, 1, seed=5)
    recordings = ["Test/0/00001.bin", "Train/0/00001.bin", "Train/0/00004.bin", "Train/1/00002.bin"]
    assert sorted(tree(out)) == ["SIMULATED.json", *recordings, "Train/2/00003.bin"]
    model = session_model(PixelModel(), 4, "Train")
    expected = simulate_recording(images(6)[3], seed=5, number=recording_key(4, "Train"), model=model)
    assert read_nmnist(out / "Train/0/00004.bin").tobytes() == expected.tobytes()
    marker = read_marker(out)
    assert marker["simulated"] is True
    assert "not camera data" in marker["note"]
    assert marker["counts"] == {"Train": {"0": 2, "1": 1, "2": 1}, "Test": {"0": 1}}
    assert marker["seed"] == 5
    assert marker["session_onsets"] is True
    assert marker["generator_version"] == saccade.GENERATOR_VERSION
    assert marker["model"]["threshold_on"] == PixelModel().threshold_on
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mnist", "out"]


def test_mnist_is_simulated_from_idx_files_and_the_splits_noise_differs(mnist, tmp_path):
    out = simulate_mnist(mnist, tmp_path / "out", 4, 3)
    names = [n[:-4] for n in tree(out) if n.endswith(".bin")]
    assert names == ["Test/0/00001", "Test/1/00002", "Test/2/00003",
                     "Train/0/00001", "Train/0/00004", "Train/1/00002", "Train/2/00003"]  # fmt: skip
    assert tree(out)["Test/0/00001.bin"] != tree(out)["Train/0/00001.bin"]
    assert read_marker(out)["selection"] == "first 4 train, first 3 test"
    again = simulate_mnist(mnist, tmp_path / "again", 4, 3)
    assert tree(again) == tree(out)


def test_any_number_of_threads_writes_the_same_bytes(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(saccade, "RUN", 2)
    for threads in (1, 4):
        monkeypatch.setattr("sast_deploy.base.threads.processors", lambda n=threads: n)
        simulate_mnist(mnist, tmp_path / f"out{threads}", 6, 3, seed=9)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out4")
    assert len(tree(tmp_path / "out1")) == 10


@pytest.mark.parametrize(("n_train", "n_test"), [(0, 1), (7, 1), (1, 0), (1, 4), (-1, 1)])
def test_more_or_fewer_images_than_there_are_is_refused(mnist, tmp_path, n_train, n_test):
    with pytest.raises(DataError, match="images; expected 1 to"):
        simulate_mnist(mnist, tmp_path / "out", n_train, n_test)
    assert not (tmp_path / "out").exists()


def test_a_used_folder_is_left_alone(mnist, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="exists already; expected a new or empty folder"):
        simulate_mnist(mnist, tmp_path / "out", 1, 1)
    assert tree(tmp_path / "out") == {"mine.txt": b"keep me"}


def test_an_empty_folder_is_used(mnist, tmp_path):
    (tmp_path / "out").mkdir()
    simulate_mnist(mnist, tmp_path / "out", 1, 1)
    assert (tmp_path / "out/Test/0/00001.bin").is_file()


def test_an_empty_folder_behind_a_link_is_used_and_the_link_stays(mnist, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to("there")
    simulate_mnist(mnist, tmp_path / "out", 1, 1)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "there/Test/0/00001.bin").is_file()


def test_a_failure_midway_leaves_nothing(mnist, tmp_path, monkeypatch):
    calls = []

    def fail_at_two(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return simulate_recording(*arguments, **options)

    monkeypatch.setattr(saccade, "simulate_recording", fail_at_two)
    monkeypatch.setattr(saccade, "RUN", 1)
    with pytest.raises(OutputError, match="No space left on device"):
        simulate_mnist(mnist, tmp_path / "out", 3, 1)
    assert list(tmp_path.iterdir()) == [mnist]


def test_idx_files_plain_and_compressed(mnist):
    pictures, labels = read_mnist(mnist, "Train")
    assert np.array_equal(pictures, images(6))
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "starts with nothing"), (b"\0\0\x0d\3" + bytes(12), "starts with 00000d03; expected 00000803"),
     (bytes([0, 0, 8, 3]) + bytes(4), "8 bytes; expected a header of 16"),
     (bytes([0, 0, 8, 3]) + b"\0\0\0\2" * 3 + bytes(7),
      r"7 values; expected 8 as the header says \(2 x 2 x 2\)"),
     (bytes([0, 0, 8, 3]) + b"\xff" * 12, "79228162458924105385300197375 values in a file of 16 bytes")],
)  # fmt: skip
def test_a_broken_idx_file_is_refused(tmp_path, data, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(path, 3)


def test_a_truncated_or_foreign_gzip_is_refused(mnist):
    path = mnist / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for data in (whole[:-20], b"PK\3\4" + whole):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a whole gzip file"):
            read_mnist(mnist, "Train")


def test_a_missing_idx_file_is_named(mnist):
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\[.gz\] not found"):
        read_mnist(mnist, "Test")


def test_labels_that_do_not_fit_are_refused(mnist):
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(DataError, match="5 labels; expected 6"):
        read_mnist(mnist, "Train")
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(6, 10, np.uint8)))
    with pytest.raises(DataError, match="label 10; expected 0 to 9"):
        read_mnist(mnist, "Train")


def test_enlarging_keeps_a_full_cell_full_and_paper_paper():
    cells = np.zeros((8, 8), np.int64)
    assert enlarge(cells).max() == 0
    cells[2:6, 2:6] = 16
    image = enlarge(cells)
    assert image.shape == (28, 28)
    assert (image[11:17, 11:17] == 255).all()  # 4 + 2.5 * (2..6), less a rim
    assert image[:8].max() == image[:, 20:].max() == 0
    assert np.array_equal(image, image.T)
    assert np.array_equal(image, image[::-1, ::-1])


def test_the_digits_are_split_by_digit_and_nothing_is_lost():
    _, labels = digit_images()
    train, test = digits_split(labels, saccade.DIGITS_SEED)
    assert len(train) == 1348
    assert len(test) == 449
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    assert set(np.bincount(labels[test])) <= {43, 44, 45, 46}


@pytest.mark.parametrize(("limit", "expected"), [(None, "abcdefgh"), (8, "abcdefgh"), (3, "acf"), (1, "a")])
def test_a_limit_takes_the_first_of_equal_parts(limit, expected):
    assert "".join(part_starts(list("abcdefgh"), limit)) == expected
