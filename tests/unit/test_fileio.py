"""Files are written whole or not at all, where links lead, and folders are held by one process."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sast_deploy.base.errors import BusyError, OutputError
from sast_deploy.base.files import LOCK_FILE, atomic_path, lock_folder, write_text
from sast_deploy.base.progress import observe, say, task
from sast_deploy.show.terminal import Terminal


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, chain = tmp_path / "there" / "a.txt", tmp_path / "a", tmp_path / "b"
    link.symlink_to("there/a.txt")
    chain.symlink_to(link)
    for text in ("nothing was there", "the old file was"):
        write_text(chain, text)
        assert (link.is_symlink(), chain.is_symlink(), target.read_text()) == (True, True, text)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "a.txt", "b", "there"]


def test_what_became_a_pipe_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(OutputError, match="is a pipe"), atomic_path(path):
        os.mkfifo(path)
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_name_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    write_text(path, "text")
    assert path.read_text() == "text"


def hold(folder: Path, ready: Any) -> None:
    with lock_folder(folder):
        ready.set()
        signal.pause()


def test_a_held_folder_names_its_holder_and_is_free_when_that_is_killed(tmp_path: Path) -> None:
    context, folder = multiprocessing.get_context("fork"), tmp_path / "a" / "b"
    ready = context.Event()
    process = context.Process(target=hold, args=(folder, ready))
    process.start()
    assert ready.wait(60)
    busy = f"b: process {process.pid} on .* is at work here"
    with pytest.raises(BusyError, match=busy), lock_folder(folder):
        pass
    process.kill()
    process.join()
    assert (folder / LOCK_FILE).exists()  # of no consequence
    with lock_folder(folder), pytest.raises(BusyError, match=f"process {os.getpid()} "), lock_folder(folder):
        pass
    assert list(folder.iterdir()) == []


def test_what_a_lock_made_is_removed(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK_FILE).read_text().startswith(f"{os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []
    with lock_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "mine"]


def count(folder: Path, turns: int) -> None:
    """Add up to a number that two holders at once would get wrong."""
    path = folder.parent / "number"
    while turns:
        try:
            with lock_folder(folder):
                number = int(path.read_text())
                path.write_text("being written")
                path.write_text(str(number + 1))
                turns -= 1
        except BusyError:
            pass


@pytest.mark.slow
def test_there_is_one_holder_at_a_time_while_locks_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=count, args=(tmp_path / "a", 200)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert (tmp_path / "number").read_text() == "600"


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_goes_while_it_is_made(there: bool, tmp_path: Path, monkeypatch: Any) -> None:
    """`Path.mkdir` says "file exists" where another process removes the folder before it looks again."""
    right, times = Path.mkdir, []

    def once(path: Path, *arguments: Any, **options: Any) -> None:
        times.append(path)
        if len(times) > 1:
            right(path, *arguments, **options)
            return
        if there:  # and a third process makes it once more
            right(path)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))

    monkeypatch.setattr(Path, "mkdir", once)
    with lock_folder(tmp_path / "a"):
        assert (tmp_path / "a" / LOCK_FILE).exists()
    assert len(times) == 2


def test_a_file_in_place_of_the_folder_of_a_lock(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(OutputError, match=r"cannot be locked: .*\(.*/a(/b)?\)"), lock_folder(folder):
            pass


def test_lines_stand_beside_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with observe(Terminal()), task("training", 3):
        say("epoch 1/3  loss 0.5 [best]")
    assert capsys.readouterr().err == "epoch 1/3  loss 0.5 [best]\n"
