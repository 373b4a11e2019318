"""The child process: builds and runs a network. supervisor.py starts it, `python -m ... RUN_DIR PARENT_PID`.

Whatever goes wrong becomes RUN_DIR/error.json, the fields of a LavaError.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sast_deploy.engines.lava import shim
from sast_deploy.engines.lava.shared import BatchClock, Results, map_frames, open_record, open_shared

WATCH_SECONDS = 0.01
SETUP_HINT = "run `make setup` or `sast-deploy doctor`"


class ActorError(Exception):
    """A Lava process ended while the network was running."""


def main(run: Callable[[Path], None]) -> NoReturn:
    """Run a job, report its failure and end the process, whatever Lava's threads and destructors may do."""
    code = run_reported(run, Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(code)  # everything that matters is on its way


def run_reported(run: Callable[[Path], None], run_dir: Path) -> int:
    """Run a job; the exit code, after a report of what went wrong."""
    try:
        run(run_dir)
    except ImportError as error:
        from sast_deploy.base.versions import missing_package  # here, as its own imports take time

        found = missing_package(error)
        return _report(run_dir, f"Lava cannot be imported: {found}", SETUP_HINT)
    except MemoryError:
        return _report(run_dir, "Lava ran out of memory", "use a smaller batch")
    except ActorError as error:
        return _report(run_dir, str(error), None)
    except OSError as error:
        few = error.errno in (errno.EMFILE, errno.ENFILE)
        hint = "raise `ulimit -n`" if few else "check `df -h /dev/shm`: Lava's semaphores live there"
        return _report(run_dir, f"Lava failed: {_in_one_line(error)}", hint)
    except Exception as error:  # the boundary of the process: the parent cannot see a traceback
        return _report(run_dir, f"Lava failed: {_in_one_line(error)}", None)
    return 0


def run_program(run_dir: Path) -> None:
    """Build the network of a job and run it to its end."""
    job = json.loads((run_dir / "job.json").read_text(encoding="utf-8"))
    with open(run_dir / "program.pickle", "rb") as file:
        program = pickle.load(file)
    shim.prepare()

    from sast_deploy.engines.lava.processes.network import ProgramNetwork
    from sast_deploy.engines.lava.processes.source import source_of

    frames = map_frames(job["frames"])
    beats = open_shared(run_dir / "heartbeat.npy", writable=True)
    record = open_record(run_dir, program, job["trace"], writable=True)
    networks, steps, lanes = [], [], beats.shape[1]
    for lane in range(lanes):
        first, end = (len(frames) * number // lanes for number in (lane, lane + 1))
        clock = BatchClock(end - first, frames.shape[1], job["batch"], first)
        source = source_of(frames, clock)
        network = ProgramNetwork(str(run_dir / "empty.net"), program, clock, Results(record, beats[:, lane]))
        source.s_out.connect(network.inp)
        networks.append(network)
        steps.append(clock.lava_steps)
    run_watched(networks, steps, beats)


def run_watched(networks: list[Any], steps: list[int], beats: np.ndarray) -> None:
    """Run Lava networks side by side, each for so many time steps.

    beats: int64 (2, networks): time steps finished (a process of each network counts them) and all of them.

    Raises ActorError where a process of a network ends early.
    """
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    for network, number in zip(networks, steps, strict=True):
        # Two messages of room are enough in a network without latency; Lava's default is 64 per connection.
        network.create_runtime(Loihi2SimCfg(select_tag="fixed_pt"), compile_config={"pypy_channel_size": 2})
        beats[1] = steps
        network.run(RunSteps(number, blocking=False))  # while the next one is made
    parent = int(sys.argv[2])
    while (beats[0] < beats[1]).any():
        for network in networks:
            _check_actors(network.runtime)
        if os.getppid() != parent:
            _die_as_orphan()
        time.sleep(WATCH_SECONDS)
    for network in networks:
        network.wait()
        network.stop()


def _check_actors(runtime: Any) -> None:
    """Raise for the first Lava process that raised or was killed. Lava itself would wait for it for ever."""
    builders = runtime._executable.proc_builders
    names = [process.proc_params.get("name") for process in builders] + ["runtime service"]
    for name, actor in zip(names, runtime._messaging_infrastructure.actors, strict=False):
        if actor.exception:
            error, _ = actor.exception
            raise ActorError(f"Lava process {name!r} failed: {_in_one_line(error)}")
        if actor.exitcode:
            how = f"killed by {signal.Signals(-actor.exitcode).name}" if actor.exitcode < 0 else "exited"
            raise ActorError(f"Lava process {name!r} died ({how}); check free memory")


def _in_one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _die_as_orphan() -> None:
    """The parent was killed without a chance to clean up: do it here, then end the whole group."""
    shutil.rmtree(Path(sys.argv[1]), ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _report(run_dir: Path, what: str, todo: str | None) -> int:
    (run_dir / "error.json").write_text(json.dumps({"what": what, "todo": todo}), encoding="utf-8")
    return 3


if __name__ == "__main__":
    main(run_program)
