"""What is fastest on this machine: measured once, kept on disk, the same answer until the machine changes.

    fastest("training.first-layer 2312x168 8 %", {"events": gather, "dense": product})

runs both in turns and returns "events" or "dense", now and in every later process, until the processor, a
package's version or the code differs. A clock is no source of results: candidates are to compute the same,
bit for bit wherever somebody relies on that.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from timeit import timeit
from typing import Annotated

from sast_deploy.base.errors import SastError, UsageError
from sast_deploy.base.files import default_cache_dir, turn, write_text
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.rules import AMOUNT, Named, Text
from sast_deploy.base.settings import Settings
from sast_deploy.base.versions import machine_digest

VARIABLE = "SAST_FASTEST"  # "training.first-layer=dense TOPIC=NAME ..." decides in place of the clock
SECONDS, ROUNDS = 0.4, 9  # of a question, but two rounds at least
SHORTEST = 1e-3  # seconds of one timing, of several runs if need be
MARGIN = 0.05  # the first candidate stays unless another is that much faster
WAITING = 60.0  # seconds for another process that measures
_EXPECTED, _BYTES = Expected("a measurement", SastError), 1 << 16
_known: dict[str, Answer] = {}
_lock = threading.Lock()
Candidates = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Answer(Settings, called="measurement", error=SastError):
    """A question, digests of the machine and of the code, seconds by candidate, and the fastest of them."""

    question: Annotated[str, Text(1024, blank=False)]
    machine: Annotated[str, Text(64)]
    code: Annotated[str, Text(1024)]
    seconds: Annotated[dict[str, float], Named(AMOUNT)]
    fastest: Annotated[str, Text(1024)]


def fastest(question: str, candidates: Candidates, code: str = "") -> str:
    """The name of the fastest candidate on this machine, measured if nobody did before.

    question: a topic, then what the answer depends on, such as a shape. candidates: what to run, the
    preferred one first; they ask nothing themselves. code: a digest of it (`compiled.source_digest`).

    Raises UsageError: $SAST_FASTEST names no candidate.
    """
    words = (word.partition("=") for word in os.environ.get(VARIABLE, "").split())
    chosen = next((name for topic, _, name in words if topic == question.split()[0]), None)
    if chosen is None:
        asked = json.dumps([question, machine_digest(), *candidates])
        name = hashlib.sha256(asked.encode()).hexdigest()
        with _lock:
            if name not in _known or _known[name].code != code:
                _known[name] = _shared(folder() / f"{name}.json", question, candidates, code)
            return _known[name].fastest
    if chosen not in candidates:
        found = f"{chosen!r} for {question!r}"
        raise UsageError(found, where=f"${VARIABLE}", expected=" or ".join(candidates))
    return chosen


def answers() -> list[Answer]:
    """What is on disk for this machine, in the order of the questions."""
    found = [_stored(path) for path in folder().glob("*.json")]
    here = [answer for answer in found if answer and answer.machine == machine_digest()]
    return sorted(here, key=lambda answer: answer.question)


def folder() -> Path:
    """Where answers are kept; a user without a home has no such place."""
    with suppress(RuntimeError):
        return default_cache_dir() / "measured"
    return Path(os.devnull, "measured")


def _stored(path: Path) -> Answer | None:
    """The answer on disk; None where there is none or it is damaged: then it is measured again."""
    with suppress(SastError):
        answer = Answer.from_dict(read_json(path, _EXPECTED, _BYTES))
        return answer if answer.fastest in answer.seconds else None
    return None


def _shared(path: Path, question: str, candidates: Candidates, code: str) -> Answer:
    """The answer on disk; measured where there is none, while other processes wait, and kept if possible."""
    answer = _stored(path)
    if answer is not None and answer.code == code:
        return answer
    with ExitStack() as held:
        with suppress(SastError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(turn(path.parent, WAITING))
            answer = _stored(path)
        if answer is None or answer.code != code:
            seconds = time_all(candidates)
            best, first = min(seconds, key=lambda name: seconds[name]), next(iter(seconds))
            winner = best if seconds[best] < (1.0 - MARGIN) * seconds[first] else first
            answer = Answer(question, machine_digest(), code, seconds, winner)
            with suppress(SastError):
                write_text(path, json.dumps(answer.to_dict()))
    return answer


def time_all(candidates: Candidates) -> dict[str, float]:
    """Least wall seconds of a run of each candidate; they take turns. First runs compile."""
    calls = {}
    for name, run in candidates.items():
        run()
        calls[name] = max(1, math.ceil(SHORTEST / max(timeit(run, number=1), 1e-7)))
    seconds, until = dict.fromkeys(candidates, math.inf), time.perf_counter() + SECONDS
    for number in range(ROUNDS):
        for name, run in candidates.items():
            seconds[name] = min(seconds[name], timeit(run, number=calls[name]) / calls[name])
        if number and time.perf_counter() > until:
            break
    return seconds
