"""Lava missing, dying and hanging: one clear line each, and nothing left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.children import child_environment
from sast_deploy.base.errors import DataError, LavaError
from sast_deploy.engines.lava import run, run_lava, supervisor
from sast_deploy.engines.lava.run import open_files
from sast_deploy.engines.lava.selfcheck import check
from sast_deploy.netx.file import NetFile, write_net
from tests.programs import conv_program, fc_program, random_frames, rich_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks in /proc for processes left behind")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """(net path, frames of many samples); the temporary folder is ours and must be empty afterwards."""
    rng = np.random.default_rng(0)
    program = fc_program(rng)
    path = tmp_path / "a.net"
    write_net(path, NetFile(program, ""))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = set(os.listdir("/dev/shm"))
    yield path, random_frames(rng, program, 3000)
    assert not list(scratch.iterdir())
    assert not processes_of(scratch)
    new, until = set(os.listdir("/dev/shm")) - before, time.monotonic() + 60
    while new & set(os.listdir("/dev/shm")) and time.monotonic() < until:
        time.sleep(0.2)  # those of other tests, which run beside this one, go with their runs
    assert not new & set(os.listdir("/dev/shm"))


def processes_of(scratch):
    """(pid, parent) of every living process that runs in a folder below `scratch`, as a Lava child does."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(scratch) in os.readlink(entry / "cwd"):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found.append((int(entry.name), int(fields[1])))
        except OSError:
            continue
    return found


def run_until(work, act, **limits):
    """Run with one sample a batch and call act(scratch) when the first sample is done."""
    path, frames = work
    scratch = Path(tempfile.gettempdir())

    def interfering(finished):
        for count, sample in enumerate(finished):
            if count == 0:
                act(scratch)
            yield sample

    return run_lava(path, frames, batch=1, progress=interfering, **limits)


def child_of(scratch):
    """The Lava child itself: the one whose parent does not run in the scratch folder."""
    processes = processes_of(scratch)
    inside = {pid for pid, _ in processes}
    return next(pid for pid, parent in processes if parent not in inside)


def wait_for_all_networks(scratch):
    """Until each has finished a step: before, Lava makes semaphores in /dev/shm, and watches no process."""
    (heartbeat,) = scratch.glob("*/heartbeat.npy")
    until = time.monotonic() + 60
    while not np.load(heartbeat)[0].all() and time.monotonic() < until:
        time.sleep(0.01)


def test_missing_lava_names_the_remedy(work, monkeypatch, tmp_path):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text("import sys\nsys.modules['lava'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(hook))
    with pytest.raises(LavaError, match=r"^Lava cannot be imported: .*lava.*; run `make setup`") as caught:
        run_lava(*work)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
def test_killed_lava_process_is_named(work, lanes, monkeypatch):
    """The youngest: of the last network, where two run side by side."""
    monkeypatch.setattr(run, "choose_lanes", lambda *_: lanes)

    def kill_an_actor(scratch):
        wait_for_all_networks(scratch)
        child = child_of(scratch)
        os.kill(max(pid for pid, parent in processes_of(scratch) if parent == child), signal.SIGKILL)

    with pytest.raises(LavaError, match=r"^Lava process '.+' died \(killed by SIGKILL\)"):
        run_until(work, kill_an_actor)


@pytest.mark.slow
def test_killed_child_is_reported(work):
    with pytest.raises(LavaError, match=r"^Lava died \(killed by SIGKILL\)"):
        run_until(work, lambda scratch: os.kill(child_of(scratch), signal.SIGKILL))


@pytest.mark.slow
def test_failing_process_model_gives_its_reason(work, monkeypatch, tmp_path):
    # Planted from outside: the child imports this before anything else.
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sast_deploy.program.fixedpoint as f\n"
        "def broken(*_):\n"
        "    raise ValueError('planted\\nsecond line')\n"
        "f.fit_array = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hook))
    message = r"^Lava process 'layer 0 \(dense\) neuron' failed: ValueError: planted$"
    with pytest.raises(LavaError, match=message):
        run_lava(*work)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
def test_hanging_lava_is_killed_after_the_stall_limit(work, lanes, monkeypatch):
    monkeypatch.setattr(run, "choose_lanes", lambda *_: lanes)

    def stop_all(scratch):
        wait_for_all_networks(scratch)
        for pid, _ in processes_of(scratch):
            os.kill(pid, signal.SIGSTOP)

    with pytest.raises(LavaError, match=r"^Lava made no progress for 1 s after \d+ of 18000 time steps"):
        run_until(work, stop_all, stall=1)


def test_lava_that_never_starts_is_killed(work, monkeypatch, tmp_path):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(hook))
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.5)
    with pytest.raises(LavaError, match=r"^Lava made no progress for 0\.5 s while it was starting"):
        run_lava(*work, stall=0.1)


@pytest.mark.slow
def test_total_time_limit(work):
    with pytest.raises(LavaError, match=r"^Lava did not finish within 0\.3 s \(while it was starting\)"):
        run_lava(*work, timeout=0.3)


@pytest.mark.slow
def test_interrupt_leaves_nothing_behind(work):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_until(work, interrupt)


def test_killed_parent_leaves_nothing_behind(work):
    path, frames = work
    scratch = Path(tempfile.gettempdir())
    np.save(path.parent / "frames.npy", frames)
    script = (
        "import sys, os, numpy as np\n"
        "from sast_deploy.engines.lava import run_lava\n"
        "run_lava(sys.argv[1], np.load(sys.argv[2], mmap_mode='r'), batch=1,\n"
        "         progress=lambda done: (os.kill(os.getpid(), 9) for _ in done))\n"
    )
    arguments = [sys.executable, "-c", script, str(path), str(path.parent / "frames.npy")]
    environment = {**child_environment(), "TMPDIR": str(scratch)}
    assert subprocess.run(arguments, env=environment, check=False).returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while (processes_of(scratch) or list(scratch.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_frames_that_do_not_fit(work):
    path, frames = work
    with pytest.raises(DataError, match=r"frames of uint8 \(3000, 6, 2, 5, 3\)"):
        run_lava(path, frames[..., :3])
    with pytest.raises(DataError, match="no samples"):
        run_lava(path, frames[:0])
    with pytest.raises(DataError, match=r"frames with values 0\.\.9; expected 0\.\.4"):
        run_lava(path, np.full_like(frames[:2], 9))
    with pytest.raises(DataError, match="batch = 0"):
        run_lava(path, frames[:2], batch=0)


@pytest.mark.slow
def test_selfcheck():
    assert check().startswith("OK: lava-nc 0.10.0, lava-dl 0.6.0, numpy ")


LIMITED = """
import resource, sys, numpy as np
from sast_deploy.engines.lava import run_lava
allowed = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
run_lava(sys.argv[1], np.load(sys.argv[2]), stall=20)
"""


@pytest.mark.parametrize(
    "make",
    [
        fc_program, pytest.param(conv_program, marks=pytest.mark.slow),
        pytest.param(rich_program, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_as_many_open_files_as_it_says_are_enough(tmp_path, make):
    """Of one network; see the next test for two."""
    rng = np.random.default_rng(0)
    program = make(rng)
    write_net(tmp_path / "a.net", NetFile(program, ""))
    np.save(tmp_path / "frames.npy", random_frames(rng, program, 4))
    needed = open_files(program)
    for allowed in (needed, needed - 1):
        began = time.monotonic()
        arguments = [sys.executable, "-c", LIMITED, *(str(tmp_path / n) for n in ("a.net", "frames.npy"))]
        done = subprocess.run(
            [*arguments, str(allowed)], env=child_environment(), capture_output=True, text=True, check=False
        )
        if allowed == needed:
            assert done.returncode == 0, done.stderr
        else:
            assert f"ulimit -n: Lava needs {needed} open files" in done.stderr.splitlines()[-1]
            assert time.monotonic() - began < 15, "at once, not after the stall"


@pytest.mark.slow
def test_as_many_networks_run_as_may_open_their_files(tmp_path, monkeypatch):
    """Whose files are as many as it says: that limit is enough for them, and one file less makes one less."""
    rng = np.random.default_rng(0)
    program = rich_program(rng)
    frames = random_frames(rng, program, 9)
    needed = open_files(program, 3)
    assert needed == 12 + 3 * (open_files(program) - 12)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(run, "processors", lambda: 3)
    monkeypatch.setattr(run, "LANE_PRODUCTS", 1)
    try:
        for allowed, lanes in ((needed, 3), (needed - 1, 2)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, before[1]))
            assert run.choose_lanes(program, 9, program.steps) == lanes
            assert run_lava(program, frames, stall=20).logits.any()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
