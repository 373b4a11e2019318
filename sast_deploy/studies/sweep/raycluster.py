"""The same jobs on a Ray cluster: every machine needs this package, the data and the runs' folder."""

from __future__ import annotations

import importlib
import os
import platform
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sast_deploy.base.children import checkout
from sast_deploy.base.errors import InstallationError
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.versions import missing_package
from sast_deploy.data.readers.sources import resolve_root
from sast_deploy.studies.sweep.folder import PLAN_FILE
from sast_deploy.studies.sweep.jobs import FAILED, Event, Job
from sast_deploy.studies.sweep.provenance import source_digest

CONNECT_SECONDS = 10.0


class RayWorkers:
    """One Ray task for each run, one processor each, wherever the cluster has room.

    address: "auto" for the cluster that this machine belongs to, "local" to start one here for as long as
    the sweep lasts, else what `ray.init` takes. jobs: at most so many at once; None: one for each processor.

    Raises InstallationError: no Ray, or no cluster there.
    """

    def __init__(self, address: str, jobs: int | None = None) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise missing_package(error) from error
        _require_listener(address)
        local = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
        # Ray's workers look for modules in the folder that it is started from: not in the person's.
        self._folder = tempfile.TemporaryDirectory(prefix="sast-ray-")
        try:
            with _within(checkout() or Path(self._folder.name)):
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", **local)
        except (OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise _no_cluster(address, " ".join(str(error).split())) from error
        self._ray = ray
        self._jobs = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
        # A run that lost its machine is reported, not silently begun again: the next sweep continues it.
        self._execute = ray.remote(num_cpus=1, max_retries=0)(execute_remotely)
        self._tasks: dict[Any, str] = {}

    def free(self) -> int:
        """How many more jobs can start now."""
        return self._jobs - len(self._tasks)

    def start(self, job: Job) -> None:
        """Hand a job to the cluster."""
        root = resolve_root(job.run.data.root).absolute()
        run = replace(job.run, data=replace(job.run.data, root=root))
        there = replace(job, run=run, runs=job.runs.absolute())
        self._tasks[self._execute.remote(there, source_digest())] = run.name

    def poll(self, seconds: float) -> list[Event]:
        """The runs that ended."""
        done, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._event(task) for task in done]

    def _event(self, task: Any) -> Event:
        name = self._tasks.pop(task)
        try:
            kind, text = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return Event(name, FAILED, f"its Ray task died: {' '.join(str(error).split())[:300]}")
        return Event(name, kind, text)

    def close(self) -> None:
        """Cancel what is still at work and leave the cluster."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()
        self._folder.cleanup()


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    """The current folder, for a moment (`contextlib.chdir` came with Python 3.11)."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _no_cluster(address: str, reason: str) -> InstallationError:
    todo = "start one with `ray start --head`, or use --ray local"
    return InstallationError(f"no cluster: {reason}", where=f"--ray {address}", todo=todo)


def _require_listener(address: str) -> None:
    """Raise InstallationError at once where nothing listens: `ray.init` would try for many minutes."""
    if address == "auto":
        left = Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster"  # may be of a cluster that is gone
        address = os.environ.get("RAY_ADDRESS") or (_written(left) if left.exists() else "")
    host, _, port = address.rpartition("://")[2].partition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, f"nothing answers at {host}:{port} ({error})") from error


def execute_remotely(job: Job, source: str) -> tuple[str, str]:
    """`execute` on another machine, refused where that one has other code or does not see the folder."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from sast_deploy.studies.sweep.execute import execute

    if source_digest() != source:
        return FAILED, f"another version of sast-deploy is installed on {platform.node()}"
    if not (job.runs / PLAN_FILE).exists():
        return FAILED, f"{job.runs} is not visible on {platform.node()}; use a shared folder (-o)"
    return execute(job, lambda stage: None)


def _written(path: Path) -> str:
    """The address in the file that Ray left in a folder where everybody may write."""
    content = read_bytes(path, Expected("the address of a cluster", InstallationError), 4096)
    return content.decode(errors="replace").strip()
