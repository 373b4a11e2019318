"""A process that has imported stock Lava, and forks for each run: two of a run's three seconds are imports.

It takes one line for each run on standard input, its folder and how many seconds it may take, and answers
with a line, the run's exit code, or - and its signal.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from sast_deploy.base.children import child_environment, python_command
from sast_deploy.base.errors import LavaError
from sast_deploy.engines.lava import shim
from sast_deploy.engines.lava.child import run_reported
from tools.stocklava.child import run_stock_network, widen_conv_groups

POLL_SECONDS = 0.01
# What stock Lava imports as it looks for the models of its processes.
NEEDED = (
    "lava.lib.dl.netx.hdf5", "lava.lib.dl.netx.sequential_modules", "lava.magma.core.run_configs",
    "lava.proc.io.sink", "lava.proc.io.source", "lava.proc.monitor.process", "scipy.signal", "torch",
)  # fmt: skip


class Server:
    """The process, started at the first run; it ends with this one."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def run(self, run_dir: Path, timeout: float) -> int:
        """Run the job of a folder; its exit code or -signal. Raises LavaError: the server has died."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                python_command("tools.stocklava.server"), env=child_environment(threads=1), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            print(json.dumps([str(run_dir), timeout]), file=self.process.stdin, flush=True)
            return int(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            raise LavaError("the server of stock Lava has died") from error


def serve() -> None:
    """Answer until standard input ends."""
    shim.prepare()
    widen_conv_groups()
    for name in NEEDED:
        importlib.import_module(name)
    parent = os.getppid()
    for line in iter(sys.stdin.readline, ""):
        folder, timeout = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _work(Path(folder))
        print(_watched(pid, parent, timeout), flush=True)


def _work(run_dir: Path) -> NoReturn:
    """As a process of its own, whose output goes to a file of the run."""
    code = 1
    try:
        os.setsid()
        os.chdir(run_dir)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        code = run_reported(run_stock_network, run_dir)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _watched(pid: int, parent: int, timeout: float) -> int:
    """Wait for a run, and leave nothing of it behind; -SIGKILL where it takes too long."""
    until = time.monotonic() + timeout
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > until or os.getppid() != parent:
            break
        time.sleep(POLL_SECONDS)
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            end(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if os.getppid() != parent:
        os._exit(1)
    return code


if __name__ == "__main__":
    serve()
