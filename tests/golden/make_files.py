"""Makes tests/golden/files, with the version of sast-deploy that is installed: not to be run again lightly.

    python -m tests.golden.make_files FOLDER

The files in the repository are those of commit 0a62401; before-leak.net and leaky.net are of the first
version that had what they show. What a later version changes in them, it changes in files that people have.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sast_deploy.base.files import file_digest
from sast_deploy.cli import run
from sast_deploy.data import FrameOptions, FrameSet, _signature, load_frames
from sast_deploy.data.split import Holdout
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import Program, frozen_ints
from sast_deploy.studies.tables.records import load_records, raw_text
from sast_deploy.training import loop
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import BEST
from sast_deploy.training.train import train as train_network
from sast_deploy.verification.vectors import make_known_answers
from tests.anyprogram import Seeded, any_program
from tests.e2e.conftest import write_bands
from tests.programs import rich_program
from tests.unit.test_tables import record, with_profile

FILES = Path(__file__).resolve().parent / "files"
FRAMES = FrameOptions(steps=4, size=(6, 6))
SPEC = NetworkSpec("fc", (2, 6, 6), (12, 8), 10)
PLAN = BEST.replace(epochs=40, batch=4, lr=0.02, rho=0.0)
SIMULATE = ("--backend", "fast", "--check", "all")
TABLE = 400  # programs in digests.txt


@dataclass(frozen=True)
class Files:
    """A source whose files have a fixed state: cache keys depend on it and on the options."""

    dataset: str = "nmnist"
    state: str = "0" * 64

    def signature(self) -> str:
        return self.state


def cache_keys() -> dict[str, str]:
    """The cache's key for a few options and splits."""
    options = (FRAMES, FrameOptions(), FrameOptions(3, "count", "binary", 1, (5, 6), 1000))
    splits = (Holdout(None, 0), Holdout(0.2, 3))
    return {f"{o} {s}": _signature(Files(), o, s) for o in options for s in splits}


def rich() -> Program:
    """Delays, recurrence, filters, an averaging pool, resets by interval."""
    return rich_program(np.random.default_rng(0))


def before_leak() -> Program:
    """`rich` with its thresholds taken off before the leak."""
    program = rich()
    return replace(program, arithmetic=replace(program.arithmetic, reset_order="before-leak"))


def write_known(program: Program, path: Path) -> dict[str, object]:
    """Write a file with its known answers; what it must be and say."""
    known = make_known_answers(program)
    write_net(path, NetFile(program, load_profile("loihi-int4").text, known=known))
    return answers(program, known.frames)


def leaky() -> Program:
    """The same, whose readout leaks, filters some classes' currents, and gives its largest membranes."""
    program = rich()
    decays = frozen_ints([0, 300, 4096]), frozen_ints([1000, 4096, 4096])
    last = replace(program.layers[-1], v_decay=decays[0], u_decay=decays[1], decoding="max")
    return replace(program, layers=(*program.layers[:-1], last))


def table() -> str:
    """The digests' first 16 digits of many random programs, one a line."""
    digests = (any_program(Seeded(23, seed)).digest() for seed in range(TABLE))
    return "".join(f"{digest[:16]}\n" for digest in digests)


def frames_of(folder: Path, cache: Path) -> FrameSet:
    """The frames of a small data set in N-MNIST's layout, made below `folder`."""
    if not folder.exists():
        write_bands(folder, train=3, test=1)
    return load_frames("nmnist", FRAMES, data_root=folder, cache_dir=cache)


def train(data: FrameSet, folder: Path) -> None:
    """ckpt.pt, and resume.pt as it was after the second epoch."""
    save = loop.save_unfinished

    def save_and_keep(files, state, setting):
        save(files, state, setting)
        if state.epoch == 2:
            shutil.copy(files.resume, folder / "kept.pt")

    loop.save_unfinished = save_and_keep
    train_network(SPEC, PLAN, data, folder / "ckpt.pt", validation=0.25, device="cpu")
    loop.save_unfinished = save
    (folder / "kept.pt").rename(folder / "resume.pt")


def answers(program: Program, frames: np.ndarray) -> dict[str, object]:
    """What a program must be and say."""
    record = run_reference(program, frames)
    return {
        "program": program.digest(),
        "logits": record.logits.tolist(),
        "spikes": [int(count.sum()) for count in record.counts],
    }


def main(target: Path) -> None:
    """Make all files in `target`."""
    target = target.absolute()
    target.mkdir(parents=True)
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        data = frames_of(place / "bands", place / "cache")
        train(data, target)
        os.chdir(target)
        assert run(["compile", "ckpt.pt", "--profile", "loihi-int4", "-o", "compiled.net"]) == 0
        options = ["--data-root", str(place / "bands"), "--cache-dir", str(place / "cache")]
        assert run(["simulate", "compiled.net", *SIMULATE, *options, "--report", "report.json"]) == 0
        shutil.copytree(place / "cache" / "frames" / data.info.frame_digest, target / "cache")
    runs = [record(seed, 0.9 + seed / 100, rho=rho) for seed in (0, 1) for rho in (0.0, 0.3)]
    measured = [with_profile(each, 0.8, 10.5, 20.25) for each in runs]
    (target / "runs.json").write_text(raw_text(measured))
    (target / "digests.txt").write_text(table())
    expected = {
        "frames": data.info.frame_digest,
        "checkpoint": file_digest(target / "ckpt.pt"),
        "cache keys": cache_keys(),
        "rich.net": write_known(rich(), target / "rich.net"),
        "before-leak.net": write_known(before_leak(), target / "before-leak.net"),
        "leaky.net": write_known(leaky(), target / "leaky.net"),
        "runs": [each.name for each in load_records([target / "runs.json"])],
    }
    expected["compiled.net"] = answers(read_net(target / "compiled.net").program, data.test.frames)
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (target / "metrics.jsonl").unlink()
    for path in (*target.glob("*.net"), *target.glob("*.pt")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
