"""A worker process of a sweep: `workers.py` starts it with the number of a pipe and its processors."""

from __future__ import annotations

import os
import queue
import sys
import threading
from multiprocessing.connection import Connection

from sast_deploy.studies.sweep.execute import execute
from sast_deploy.studies.sweep.jobs import STAGE, Event, Job


def serve(connection: Connection, processors: list[int]) -> None:
    """A worker's life: jobs come in, events go out, until the parent closes the connection or dies."""
    os.sched_setaffinity(0, processors)
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    while True:
        job = jobs.get()
        name = job.run.name

        def report(stage: str, name: str = name) -> None:
            connection.send(Event(name, STAGE, stage))

        kind, text = execute(job, report)
        connection.send(Event(name, kind, text))


def _receive(connection: Connection, jobs: queue.SimpleQueue[Job]) -> None:
    """End this process at once when the parent ends, even by SIGKILL: a run left alone would stay locked."""
    while True:
        try:
            jobs.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), [int(number) for number in sys.argv[2].split(",")])
