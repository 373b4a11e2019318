"""What is done to a command: how it is started, and what happens while it runs."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tools.faulting.commands import Real, command_line, environment

Rng = np.random.Generator
SLOWEST = 180.0  # seconds after which a command hangs


@dataclass
class Run:
    """A command under a fault: where, how long it takes undisturbed, and how it ended."""

    real: Real
    folder: Path
    usual: float
    mark: str
    process: subprocess.Popen[bytes] | None = None
    killed: bool = False
    codes: tuple[int, ...] = (0, 2, 3, 4)
    said: bool = True  # whether a failure can say why on stderr
    done: str = ""  # what was done, in words
    more: dict[str, Any] = field(default_factory=dict)

    def start(self, prefix: tuple[str, ...] = (), **settings: Any) -> None:
        """Start the command; its streams go to files beside the folder."""
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": open(self.folder.parent / "stdout", "wb"),  # noqa: SIM115
            "stderr": open(self.folder.parent / "stderr", "wb"),  # noqa: SIM115
        }
        self.process = subprocess.Popen(
            [*prefix, *command_line(self.real.words)],
            cwd=self.folder,
            start_new_session=True,
            env=environment(self.folder, self.mark),
            **{**streams, **settings},
        )
        for stream in streams.values():
            if stream is not subprocess.DEVNULL:
                stream.close()  # type: ignore[union-attr]

    def wait(self) -> int:
        """The exit code; raises subprocess.TimeoutExpired where it hangs."""
        assert self.process is not None
        return self.process.wait(SLOWEST)


Fault = Callable[[Rng, Run], Any]  # a context manager: within it the command is started and ends


def _signal(number: signal.Signals) -> Fault:
    @contextmanager
    def fault(rng: Rng, run: Run) -> Iterator[None]:
        after = float(rng.uniform(0.02, 1.1)) * run.usual
        run.done, run.killed = f"{number.name} after {after:.2f} s", number == signal.SIGKILL
        # 130; before Python has a handler, or when it has cleaned up, the signal ends it as any process.
        run.codes = (0, 2, 3, 4, 130, -signal.SIGINT, -number, 128 + number)
        run.said = False
        run.start()
        time.sleep(after)
        assert run.process is not None
        if run.process.poll() is None:
            run.process.send_signal(number)
        yield

    return fault


@contextmanager
def small_files(rng: Rng, run: Run) -> Iterator[None]:
    """No file can be larger than so much: the disk is full after it."""
    size = int(rng.choice([0, 1, 300, 1500, 5000, 20_000]))
    run.done = f"files of at most {size} bytes"
    # Not for what it says.
    run.start(
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        stdout=subprocess.DEVNULL,
        stderr=_tail(run),
    )
    yield


def _tail(run: Run) -> int:
    """A pipe whose content is kept when the command has ended: no limit on files cuts it."""
    read, write = os.pipe()
    run.more["pipe"] = read
    run.more["close"] = write
    return write


@contextmanager
def full_disk(rng: Rng, run: Run) -> Iterator[None]:
    """out/ is a file system of few pages."""
    pages = int(rng.choice([0, 1, 2, 4, 8, 32]))
    run.done = f"a disk with {4 * pages} kB left"
    out = run.folder / "out"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={4 * (pages + 1)}k,nr_inodes=64", "none", str(out)], check=True
    )
    try:
        (out / "filler").write_bytes(bytes(4096))
        run.start()
        yield
        (out / "filler").unlink()
        kept = out.with_name("kept")
        shutil.copytree(out, kept)
    finally:
        subprocess.run(["umount", str(out)], check=True)
    out.rmdir()
    kept.rename(out)


@contextmanager
def read_only(rng: Rng, run: Run) -> Iterator[None]:
    """out/ cannot be written."""
    run.done = "a folder that cannot be written"
    run.start(_in_namespace("mount --bind out out && mount -o remount,ro,bind out"))
    yield


@contextmanager
def tiny_shm(rng: Rng, run: Run) -> Iterator[None]:
    """/dev/shm has 64 kB."""
    run.done = "64 kB of shared memory"
    run.start(_in_namespace("mount -t tmpfs -o size=64k none /dev/shm"))
    yield


def _in_namespace(script: str) -> tuple[str, ...]:
    return ("unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh")


@contextmanager
def few_descriptors(rng: Rng, run: Run) -> Iterator[None]:
    """`ulimit -n`."""
    number = int(rng.choice([12, 16, 24, 32, 48, 64]))
    run.done = f"{number} open files"
    run.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number)))
    yield


@contextmanager
def little_memory(rng: Rng, run: Run) -> Iterator[None]:
    """`ulimit -v`."""
    megabytes = int(rng.choice([700, 1000, 1500, 2000]))
    run.done = f"{megabytes} MB of address space"
    size = megabytes << 20
    run.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))
    yield


@contextmanager
def closed_streams(rng: Rng, run: Run) -> Iterator[None]:
    """Some of stdin, stdout and stderr are closed."""
    closed = [each for each in (0, 1, 2) if rng.random() < 0.5] or [1]
    run.done = f"without {', '.join(('stdin', 'stdout', 'stderr')[each] for each in closed)}"
    run.said = 2 not in closed
    run.start(preexec_fn=lambda: [os.close(each) for each in closed])
    yield


@contextmanager
def full_stdout(rng: Rng, run: Run) -> Iterator[None]:
    """stdout is a full device, or a pipe that nobody reads."""
    if rng.random() < 0.5:
        run.done = "stdout is full"
        with open("/dev/full", "wb") as full:
            run.start(stdout=full)
            yield
        return
    run.done = "nobody reads stdout"
    read, write = os.pipe()
    os.close(read)
    run.start(stdout=write)
    os.close(write)
    yield


@contextmanager
def vanishing_input(rng: Rng, run: Run) -> Iterator[None]:
    """An input is deleted, emptied or cut while the command runs, or before."""
    reads = [run.folder / name for name in run.real.reads]
    path = reads[int(rng.integers(len(reads)))] if reads else run.folder / "nothing"
    after, way = float(rng.uniform(0.0, 1.0)) * run.usual, int(rng.integers(3))
    run.done = f"{path.name} {('deleted', 'emptied', 'cut')[way]} after {after:.2f} s"
    kept = path.read_bytes() if reads else b""
    run.start()
    time.sleep(after)
    if reads:
        if way == 0:
            path.unlink()
        else:
            os.truncate(path, 0 if way == 1 else len(kept) // 2)
    yield
    if reads:
        path.write_bytes(kept)


@cache
def may_mount() -> bool:
    """Whether this user may mount file systems, also in a namespace of their own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    script = "mount -t tmpfs -o size=64k none /mnt"
    return (
        subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False).returncode
        == 0
    )


FAULTS: Mapping[str, Fault] = {
    "kill": _signal(signal.SIGKILL),
    "terminate": _signal(signal.SIGTERM),
    "interrupt": _signal(signal.SIGINT),
    "small-files": small_files,
    "full-disk": full_disk,
    "read-only": read_only,
    "shm": tiny_shm,
    "descriptors": few_descriptors,
    "memory": little_memory,
    "closed": closed_streams,
    "stdout": full_stdout,
    "vanish": vanishing_input,
}
MOUNTING = ("full-disk", "read-only", "shm")


def skipped(name: str) -> str:
    """Why a fault cannot be made here, or ""."""
    if name in MOUNTING and not may_mount():
        return "needs to mount file systems"
    if sys.platform != "linux":
        return "needs Linux"
    return ""
