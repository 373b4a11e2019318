from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sast_deploy.base.errors import OutputError
from sast_deploy.base.progress import observe
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.events import write_nmnist
from sast_deploy.show.terminal import Terminal
from tests.unit.data_samples import random_events, write_folder

OPTIONS = FrameOptions(steps=2)


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "data", {"Train": {0: 2, 1: 2}, "Test": {0: 1}})


@pytest.fixture
def load(tmp_path, root):
    def load(options=OPTIONS):
        with observe(Terminal()):
            return load_frames("nmnist", options, data_root=root, cache_dir=tmp_path / "cache")

    return load


@pytest.fixture
def builds(monkeypatch):
    """The number of times frames are built."""
    import sast_deploy.data.build as module

    calls = []
    original = module.build
    monkeypatch.setattr(module, "build", lambda *arguments: calls.append(1) or original(*arguments))
    return calls


def entry(tmp_path, frame_set):
    return tmp_path / "cache" / "frames" / frame_set.info.frame_digest


def test_the_second_time_nothing_is_built(load, builds):
    first, second = load(), load()
    assert len(builds) == 1
    assert isinstance(second.train.frames, np.memmap)
    assert np.array_equal(first.train.frames, second.train.frames)
    assert first.info == second.info


def test_a_cached_run_imports_neither_tonic_nor_numba_nor_torch(load, root, tmp_path):
    load()
    code = (
        "import sys; from pathlib import Path; from sast_deploy.data import FrameOptions, load_frames;"
        "root, cache = map(Path, sys.argv[1:]);"
        "load_frames('nmnist', FrameOptions(steps=2), data_root=root, cache_dir=cache);"
        "print([name for name in ('tonic', 'numba', 'torch', 'sklearn') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, root, tmp_path / "cache"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
    assert run.stderr == ""


def test_other_options_are_other_entries(load, builds):
    digests = {
        load(options).info.frame_digest
        for options in (OPTIONS, FrameOptions(3), FrameOptions(2, clip=5), FrameOptions(2, "count"))
    }
    assert len(digests) == len(builds) == 4


def test_a_size_asked_for_and_the_same_size_by_default_are_one_entry(load):
    assert load().info.frame_digest == load(FrameOptions(steps=2, size=(34, 34))).info.frame_digest


def test_the_digest_depends_on_content_not_on_place_or_time(load, root, tmp_path):
    first = load()
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    os.utime(moved / "Train" / "0" / "00001.bin", (1, 1))
    second = load_frames("nmnist", OPTIONS, data_root=moved, cache_dir=tmp_path / "cache")
    assert second.info.frame_digest == first.info.frame_digest
    assert len(list((tmp_path / "cache" / "frames").iterdir())) == 1


def test_changed_content_is_noticed_even_with_the_old_size_and_modification_time(load, root):
    path = root / "Train" / "0" / "00001.bin"
    state = path.stat()
    first = load()
    write_nmnist(path, random_events(seed=99))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    second = load()
    assert second.info.frame_digest != first.info.frame_digest
    assert not np.array_equal(second.train.frames[0], first.train.frames[0])


def test_a_new_recording_is_noticed(load, root):
    load()
    write_nmnist(root / "Train" / "5" / "00001.bin", random_events(seed=98))
    assert load().info.n_train == 5


def truncate(folder):
    with open(folder / "train.npy", "r+b") as file:
        file.truncate(5000)


def flip_a_bit(folder):
    with open(folder / "train.npy", "r+b") as file:
        file.seek(-100, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def change_a_label(folder):
    text = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(text.replace('"labels": [0, 0, 1, 1]', '"labels": [0, 1, 1, 1]'))


DAMAGES = [
    truncate,
    flip_a_bit,
    change_a_label,
    lambda folder: (folder / "meta.json").write_text('{"digest_of_rest": '),
    lambda folder: (folder / "meta.json").write_text("[]"),
    lambda folder: (folder / "meta.json").unlink(),
    lambda folder: (folder / "test.npy").unlink(),
    lambda folder: (folder / "test.npy").write_bytes(b""),
    lambda folder: (folder / "test.npy").write_bytes(b"\x93NUMPY nonsense"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_built_again_with_a_notice(load, tmp_path, builds, capsys, damage):
    first = load()
    expected = np.array(first.train.frames)
    folder = entry(tmp_path, first)
    del first
    damage(folder)
    second = load()
    assert np.array_equal(second.train.frames, expected)
    assert second.train.labels.tolist() == [0, 0, 1, 1]
    assert len(builds) == 2
    assert f"cached frames in {folder} are damaged" in capsys.readouterr().err
    load()
    assert len(builds) == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_index_and_a_removed_entry_are_built_again(load, tmp_path, builds, capsys):
    first = load()
    for path in (tmp_path / "cache" / "index").iterdir():
        path.write_text("{")
    load()
    assert "index is damaged" in capsys.readouterr().err
    shutil.rmtree(entry(tmp_path, first))
    load()
    assert len(builds) == 3


def test_builders_at_the_same_time_do_not_clash(load, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: load(), range(8)))
    assert len({frame_set.info.frame_digest for frame_set in sets}) == 1
    assert all(np.array_equal(sets[0].train.frames, other.train.frames) for other in sets)
    assert len(list((tmp_path / "cache" / "frames").iterdir())) == 1


def test_leftovers_of_a_killed_builder_are_removed_after_a_day(load, tmp_path):
    old, new = (tmp_path / "cache" / "frames" / name for name in (".building-old", ".building-new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (1, 1))
    load()
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be_made_names_the_folder_and_the_way_out(root, tmp_path):
    (tmp_path / "file").write_text("")
    message = r"file/cache: frames cannot be cached: Not a directory; .*SAST_CACHE_DIR"
    with pytest.raises(OutputError, match=message):
        load_frames("nmnist", OPTIONS, data_root=root, cache_dir=tmp_path / "file" / "cache")


def test_a_full_disk_is_one_line_and_leaves_nothing(load, tmp_path):
    first = load(FrameOptions(steps=3))  # so that the kernels are compiled before the disk is full
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OutputError, match=r"train.npy: frames cannot be cached: File too large"):
            load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folders = (tmp_path / "cache" / "frames").iterdir()
    assert [path.name for path in folders] == [first.info.frame_digest]


def test_the_environment_names_the_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path / "named"))
    load_frames("nmnist", OPTIONS, data_root=root)
    assert (tmp_path / "named" / "frames").is_dir()
