"""The real commands, small enough for seconds: words, what they read and where they write."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.fuzzing.seeds import TRAIN, Seeds

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
[study]
name = "small"
check = 2
validation = 0.3
device = "cpu"
[data.tiny]
dataset = "nmnist"
root = "../../data"
steps = 3
[network.small]
kind = "fc"
hidden = [8]
[[grid]]
data = "tiny"
network = "small"
epochs = 2
batch = 4
seed = [0, 1]
profiles = ["loihi-int4"]
analyses = ["margins"]
"""


@dataclass(frozen=True)
class Real:
    """A command. words: after `sast-deploy`; its outputs lie in out/. reads: inputs that may vanish.

    resumes: continues with --resume what was interrupted. once: refuses to do again what it has finished.
    parts: what it has written when it is interrupted may be whole files that are not the last.
    """

    words: tuple[str, ...]
    reads: tuple[str, ...]
    resumes: bool = False
    once: bool = False
    parts: bool = False


COMMANDS: Mapping[str, Real] = {
    "train": Real((*TRAIN, "--rho", "0.1", "-o", "out/ckpt.pt"), (), resumes=True, parts=True),
    "finetune": Real(
        ("finetune", "fc.pt", "--epochs", "2", "--batch", "4", "--device", "cpu", "-o", "out/fine.pt"),
        ("fc.pt",),
        resumes=True,
        parts=True,
    ),
    "compile": Real(("compile", "fc.pt", "--profile", "loihi-int4", "-o", "out/x.net"), ("fc.pt",)),
    "simulate-fast": Real(
        ("simulate", "fc-loihi-int4.net", "--backend", "fast", "--report", "out/report.json"),
        ("fc-loihi-int4.net",),
    ),
    "simulate-input": Real(
        ("simulate", "dense.net", "--input", "dense.npy", "-o", "out/spikes.npz"), ("dense.net", "dense.npy")
    ),
    "simulate-lava": Real(
        ("simulate", "fc-loihi-int4.net", "--stall", "30", "--report", "out/report.json"),
        ("fc-loihi-int4.net",),
    ),
    "verify": Real(
        ("verify", "fc-loihi-int4.net", "--backend", "fast", "--samples", "2"), ("fc-loihi-int4.net",)
    ),
    "inspect": Real(("inspect", "fc-loihi-int4.net", "-o", "out/facts.json"), ("fc-loihi-int4.net",)),
    "tables": Real(("tables", "runs.json", "-o", "out/small.json", "--plots", "out"), ("runs.json",)),
    "data-simulate": Real(
        ("data", "simulate", "--mnist-dir", "mnist", "-o", "out/events", "--train", "3", "--test", "2"),
        ("mnist/train-images-idx3-ubyte",),
        once=True,
    ),
    "data-compare": Real(
        ("data", "compare", "--real", "../../data", "--simulated", "simulated", "-o", "out/c.png"), ()
    ),
    "analyse": Real(
        ("analyse", "fc.pt", "--parts", "drop,margins", "--device", "cpu", "-o", "out/analysis.json"),
        ("fc.pt",),
    ),
    "sweep": Real(("sweep", "study.toml", "-o", "out/runs", "--jobs", "2"), ("study.toml",), parts=True),
}


def prepare(base: Path, name: str, seeds: Seeds) -> Path:
    """A fresh folder base/NAME/cwd with every input, and an empty out/ and tmp/; returns it."""
    folder = base / name / "cwd"
    shutil.rmtree(folder.parent, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    (folder.parent / "tmp").mkdir()
    for kind, names in (
        ("pt", ("fc.pt",)),
        ("net", ("fc-loihi-int4.net",)),
        ("results", ("runs.json",)),
        ("stock", ("dense.net",)),
        ("npy", ("dense.npy",)),
    ):
        for each in names:
            (folder / each).write_bytes(seeds.files[kind][each])
    (folder / "mnist").mkdir()
    for each, content in seeds.files["idx"].items():
        (folder / "mnist" / each).write_bytes(content)
    (folder / "study.toml").write_text(STUDY)
    shutil.copytree(base / "data", folder / "simulated")
    shutil.copytree(base / "cache", folder.parent / "cache")
    return folder


def command_line(words: tuple[str, ...]) -> list[str]:
    """What a process is started with."""
    return [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else []), "-m", "sast_deploy", *words]


def environment(folder: Path, mark: str) -> dict[str, str]:
    """Of a command in `folder`; its children are known by the mark."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("SAST_", "COVERAGE", "PYTEST"))
    }
    return kept | {
        "PYTHONPATH": str(ROOT),
        "SAST_CACHE_DIR": str(folder.parent / "cache"),
        "TMPDIR": str(folder.parent / "tmp"),
        "SAST_FAULTS": mark,
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
