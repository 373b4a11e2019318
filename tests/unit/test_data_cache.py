from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sast_deploy.base.errors import OutputError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.progress import observe
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.cache import FORMAT_VERSION, LISTS, digest_of
from sast_deploy.data.events import read_nmnist, write_nmnist
from sast_deploy.show.terminal import Terminal
from tests.unit.data_samples import random_events, slow_frames, write_folder

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


def bases(array):
    while array is not None:
        yield array
        array = getattr(array, "base", None)


def entry(tmp_path, frame_set):
    return tmp_path / "cache" / "frames" / frame_set.info.frame_digest


def test_the_second_time_nothing_is_built(load, builds):
    first, second = load(), load()
    assert len(builds) == 1
    assert isinstance(second.train.frames, EventFrames)
    for name in LISTS:
        array = getattr(second.train.frames, name)
        assert any(isinstance(each, np.memmap) for each in bases(array))
        assert np.array_equal(array, getattr(first.train.frames, name))
    assert first.info == second.info


@pytest.mark.slow
def test_a_cached_run_imports_neither_tonic_nor_torch(load, root, tmp_path):
    load()
    code = (
        "import sys; from pathlib import Path; from sast_deploy.data import FrameOptions, load_frames;"
        "root, cache = map(Path, sys.argv[1:]);"
        "load_frames('nmnist', FrameOptions(steps=2), data_root=root, cache_dir=cache);"
        "print([name for name in ('tonic', 'torch', 'sklearn') if name in sys.modules])"
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
    with open(folder / "train.index.npy", "r+b") as file:
        file.truncate(500)


def flip_a_bit(folder, name="train.count.npy", from_end=100):
    with open(folder / name, "r+b") as file:
        file.seek(-from_end, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def say_that_it_is_an_array(folder):
    text = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(text.replace('"coding": "events"', '"coding": "array"'))


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
    say_that_it_is_an_array,
    lambda folder: flip_a_bit(folder, "test.index.npy"),
    lambda folder: flip_a_bit(folder, "train.starts.npy", 9),
    lambda folder: (folder / "test.index.npy").unlink(),
    lambda folder: (folder / "test.starts.npy").write_bytes(b""),
    lambda folder: (folder / "test.count.npy").write_bytes(b"\x93NUMPY nonsense"),
    lambda folder: shutil.copy(folder / "test.count.npy", folder / "train.count.npy"),
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
    assert capsys.readouterr().err.count(f"cached frames in {folder} are damaged") == 1
    load()
    assert len(builds) == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_split_that_is_not_wanted_is_not_looked_at(load, root, tmp_path, builds):
    """Whatever became of it: its frames are not there, its labels are; who wants it has it built again."""
    whole = load()
    expected, folder = np.array(whole.train.frames), entry(tmp_path, whole)
    flip_a_bit(folder)
    for name in LISTS:
        assert (folder / f"train.{name}.npy").exists()
    found = load_frames("nmnist", OPTIONS, data_root=root, cache_dir=tmp_path / "cache", splits=("test",))
    assert np.array_equal(np.asarray(found.test.frames), np.asarray(whole.test.frames))
    assert found.train.frames.shape == (0, 2, 2, 34, 34)
    assert found.train.labels.tolist() == whole.train.labels.tolist()
    assert (found.info, found.sensor) == (whole.info, whole.sensor)
    assert len(builds) == 1
    assert np.array_equal(np.asarray(load().train.frames), expected)
    assert len(builds) == 2
    flip_a_bit(folder, "test.count.npy")
    load_frames("nmnist", OPTIONS, data_root=root, cache_dir=tmp_path / "cache", splits=("test",))
    assert len(builds) == 3


def test_events_beyond_a_frame_are_refused_whatever_their_checksum(load, tmp_path, builds):
    first = load()
    folder, lists = entry(tmp_path, first), first.test.frames[np.arange(1)]  # a copy: the file is written to
    meta = json.loads((folder / "meta.json").read_text())
    index = lists.index.copy()
    index[lists.starts[1] - 1] = 2 * 34 * 34
    np.save(folder / "test.index.npy", index)
    parts = (lists.starts, index, lists.count)
    meta["test"]["crc32"] = [zlib.crc32(b"".join(part.tobytes() for part in parts))]
    del meta["digest_of_rest"]
    (folder / "meta.json").write_text(json.dumps({**meta, "digest_of_rest": digest_of(meta)}))
    assert np.array_equal(load().test.frames.index, lists.index)
    assert len(builds) == 2


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(OutputError, match=r"train.\w+.npy: frames cannot be cached: File too large"):
            load()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folders = (tmp_path / "cache" / "frames").iterdir()
    assert [path.name for path in folders] == [first.info.frame_digest]


def test_the_environment_names_the_cache(root, tmp_path, monkeypatch):
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path / "named"))
    load_frames("nmnist", OPTIONS, data_root=root)
    assert (tmp_path / "named" / "frames").is_dir()


def test_dense_frames_are_kept_as_an_array(load, root, tmp_path):
    """Events take three bytes each, so an array takes less room from a density of a third on."""
    dense = load(FrameOptions(steps=1, size=(4, 4)))
    assert type(dense.train.frames) is np.memmap
    folder = entry(tmp_path, dense)
    assert sorted(path.name for path in folder.iterdir()) == ["meta.json", "test.npy", "train.npy"]
    for name, index in (("train", 3), ("test", 0)):
        split = getattr(dense, name)
        expected = slow_frames(read_nmnist(root / split.ids[index]), (34, 34), dense.options)
        assert np.array_equal(split.frames[index], expected)
        assert np.count_nonzero(expected) > expected.size / 3
    again = load(FrameOptions(steps=1, size=(4, 4)))
    assert np.array_equal(again.train.frames, dense.train.frames)


def test_a_cache_of_arrays_is_read_as_ever(load, tmp_path, builds):
    """What version 1 wrote: arrays, sparse as they are, and a meta.json that does not name the coding."""
    first = load()
    folder = entry(tmp_path, first)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta.pop("format_version") == FORMAT_VERSION == 2
    del meta["digest_of_rest"]
    for name in ("train", "test"):
        frames = np.asarray(getattr(first, name).frames)
        np.save(folder / f"{name}.npy", frames)
        for each in LISTS:
            (folder / f"{name}.{each}.npy").unlink()
        assert meta[name].pop("coding") == "events"
        meta[name]["crc32"] = [zlib.crc32(frames)]
    meta = {"format_version": 1, **meta}
    (folder / "meta.json").write_text(json.dumps({**meta, "digest_of_rest": digest_of(meta)}))
    second = load()
    assert len(builds) == 1
    assert type(second.train.frames) is np.memmap
    assert np.array_equal(second.train.frames, first.train.frames)
    assert second.info == first.info


LOADER = """
import sys, time
from pathlib import Path
import sast_deploy.data.build as module
from sast_deploy.base.progress import observe
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.show.terminal import Terminal

root, cache = map(Path, sys.argv[1:3])
build = module.build

def slow(*arguments):
    with open(cache.parent / "builders", "a") as file:
        file.write("built\\n")
    time.sleep(float(sys.argv[3]))
    return build(*arguments)

module.build = slow
with observe(Terminal()):
    print(load_frames("nmnist", FrameOptions(steps=2), data_root=root, cache_dir=cache).info.frame_digest)
"""


def start_loader(root, cache, seconds):
    words = [sys.executable, "-c", LOADER, root, cache, str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
def test_of_many_processes_one_builds_and_the_others_say_that_they_wait(root, tmp_path):
    processes = [start_loader(root, tmp_path / "cache", 1.0) for _ in range(3)]
    results = [process.communicate(timeout=60) for process in processes]
    assert len({out for out, _ in results}) == 1
    assert (tmp_path / "builders").read_text() == "built\n"
    waits = [err for _, err in results if "waiting for it" in err]
    assert waits == [f"sast-deploy: another process is preparing nmnist from {root}; waiting for it\n"] * 2


DIGITS = """
import sys, time
from pathlib import Path
from sast_deploy.data.camera import saccade

def write(root, parts, marker):
    with open(Path(sys.argv[1]) / "builders", "a") as file:
        file.write("built\\n")
    time.sleep(1.0)
    for split, counts in marker["counts"].items():
        for label, count in counts.items():
            (root / split / label).mkdir(parents=True)
            for n in range(count):
                (root / split / label / f"{n:05d}.bin").touch()
    (root / "SIMULATED.json").write_text(saccade.json.dumps(marker))
    return root

saccade._write = write
print(saccade.build_digits(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_the_embedded_recordings_are_made_once(tmp_path):
    words = [sys.executable, "-c", DIGITS, tmp_path]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate(timeout=60)[0] for process in processes)
    assert first == second
    assert (tmp_path / "builders").read_text() == "built\n"


@pytest.mark.slow
def test_a_killed_builder_blocks_nobody(root, tmp_path):
    stuck = start_loader(root, tmp_path / "cache", 600.0)
    wait_for(tmp_path / "builders")
    waiting = start_loader(root, tmp_path / "cache", 0.0)
    assert "waiting for it" in waiting.stderr.readline()
    stuck.kill()
    stuck.communicate()
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, len(out.strip())) == (0, 64), err
    assert (tmp_path / "builders").read_text() == "built\n" * 2
