"""One fault, and everything that must hold after it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tools.faulting.commands import COMMANDS, prepare
from tools.faulting.faults import FAULTS, Run
from tools.faulting.outputs import contents, leftovers
from tools.fuzzing.seeds import Seeds

GRACE = 15.0  # seconds in which the children of a killed command must be gone


@dataclass(frozen=True)
class Usual:
    """A command undisturbed: its seconds and its outputs."""

    seconds: float
    outputs: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What became of a command under a fault. problems: what did not hold."""

    command: str
    fault: str
    done: str
    code: int | None
    problems: tuple[str, ...]
    stderr: str


def undisturbed(base: Path, name: str, seeds: Seeds) -> Usual:
    """Run a command twice: the second time tells how long it takes, and that it does the same again."""
    found = []
    for _ in range(2):
        folder = prepare(base, f"usual-{name}", seeds)
        run, start = Run(COMMANDS[name], folder, 0.0, "usual"), time.monotonic()
        run.start()
        if (code := run.wait()) != 0:
            said = (folder.parent / "stderr").read_text()
            raise RuntimeError(f"{name} fails undisturbed, exit code {code}: {said[-2000:]}")
        found.append(Usual(time.monotonic() - start, contents(folder / "out")))
    if found[0].outputs != found[1].outputs:
        raise RuntimeError(f"{name} gives other outputs each time: {found}")
    return found[1]


def disturb(
    base: Path, name: str, fault: str, rng: np.random.Generator, usual: Usual, seeds: Seeds
) -> Outcome:
    """Run a command under a fault, then undisturbed again."""
    folder = prepare(base, f"{name}-{fault}", seeds)
    run = Run(COMMANDS[name], folder, usual.seconds, f"{os.getpid()}-{time.monotonic_ns()}")
    problems: list[str] = []
    code = None
    with FAULTS[fault](rng, run):
        if "close" in run.more:
            os.close(run.more["close"])
        try:
            code = run.wait()
        except subprocess.TimeoutExpired:
            problems.append("hangs")
            _kill(run.mark)
            run.wait()
        said = _said(run)
        problems += _orphans(run.mark)
    problems += _ending(run, code, said)
    problems += _outputs(run, usual)
    if not (run.real.once and (code == 0 or os.path.exists(run.folder / "out/events"))):
        problems += _again(run, usual)
    return Outcome(name, fault, run.done, code, tuple(problems), said[-1500:])


def _said(run: Run) -> str:
    if "pipe" in run.more:
        with os.fdopen(run.more["pipe"], "rb") as pipe:
            return pipe.read().decode(errors="replace")
    return (run.folder.parent / "stderr").read_text(errors="replace")


def _orphans(mark: str) -> list[str]:
    until = time.monotonic() + GRACE
    while found := _processes(mark):
        if time.monotonic() > until:
            _kill(mark)
            return [f"{len(found)} orphan processes: {found[0][1][:80]}"]
        time.sleep(0.1)
    return []


def _processes(mark: str) -> list[tuple[int, str]]:
    """(number, command line) of the living processes that were started with this mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"SAST_FAULTS={mark}".encode() in (path / "environ").read_bytes():
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "ZX":
                    line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append((int(path.name), line))
        except OSError:
            continue
    return found


def _kill(mark: str) -> None:
    for number, _ in _processes(mark):
        os.kill(number, 9)


def _ending(run: Run, code: int | None, said: str) -> list[str]:
    problems = []
    if code is not None and code not in run.codes:
        problems.append(f"exit code {code}")
    if "Traceback (most recent call last)" in said or "internal error" in said:
        problems.append("a traceback or an internal error")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    # A sweep tells of each run that failed, in its own lines.
    if code not in (0, 4, None) and code > 0 and run.said and len(errors) != 1:
        problems.append(f"{len(errors)} lines of error")
    return problems


def _outputs(run: Run, usual: Usual) -> list[str]:
    out = run.folder / "out"
    problems = []
    try:
        found = contents(out) if out.exists() else {}
    except ValueError as error:
        return [str(error)]
    wrong = [name for name, digest in found.items() if usual.outputs.get(name, digest) != digest]
    if run.real.once and found and found != usual.outputs:
        problems.append("half of a folder")
    if wrong and not run.real.parts:
        problems.append(f"{wrong[0]} is not what it should be")
    if not run.killed and (left := leftovers(out)):
        problems.append(f"leaves {left[0]}")
    # torch's own compiler makes an empty folder there, and leaves it.
    left = [name for name in os.listdir(run.folder.parent / "tmp") if not name.startswith("torchinductor")]
    if not run.killed and left:
        problems.append(f"leaves {left[0][:12]}... in the temporary folder")
    return problems


def _again(run: Run, usual: Usual) -> list[str]:
    """The same command afterwards, with --resume where there is something to continue."""
    words = run.real.words
    if run.real.resumes and list((run.folder / "out").glob("*.pt")):
        words = (*words, "--resume")
    again = Run(replace(run.real, words=words), run.folder, 0.0, run.mark + "-again")
    again.start()
    try:
        code = again.wait()
    except subprocess.TimeoutExpired:
        _kill(again.mark)
        return ["the same command afterwards hangs"]
    if code != 0:
        said = (run.folder.parent / "stderr").read_text(errors="replace").strip().splitlines()
        return [f"the same command afterwards: exit code {code}, {said[-1][:200] if said else ''}"]
    found = contents(run.folder / "out")
    missing = sorted(set(usual.outputs) - set(found))
    wrong = sorted(name for name in usual.outputs if found.get(name) != usual.outputs[name])
    if missing or wrong:
        return [f"afterwards another {(missing or wrong)[0]}"]
    return []
