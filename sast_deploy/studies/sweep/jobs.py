"""What a sweep hands to its workers, wherever they are, and what it hears of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sast_deploy.studies.sweep.study import Run

STAGE, FINISHED, BUSY, FAILED = "stage", "finished", "busy", "failed"


@dataclass(frozen=True)
class Job:
    """What a worker needs to know, on whatever machine it is."""

    run: Run
    runs: Path
    check: int
    device: str


@dataclass(frozen=True)
class Event:
    """News of a run. kind: STAGE, FINISHED, BUSY or FAILED; text: the stage's name, results or the reason."""

    run: str
    kind: str
    text: str


class Workers(Protocol):
    """Where jobs are done: processes on this machine, or a Ray cluster."""

    def free(self) -> int:
        """How many more jobs can start now."""

    def start(self, job: Job) -> None:
        """Start a job; only while `free()` is positive."""

    def poll(self, seconds: float) -> list[Event]:
        """What happened, after waiting at most so long for something to happen."""

    def close(self) -> None:
        """Stop everything that is still at work."""
