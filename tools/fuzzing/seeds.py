"""Valid files of every kind, made here and by the product's own writers: what mutations start from."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import torch

from sast_deploy.base.versions import package_versions
from sast_deploy.cli import run
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.data.events import EVENT, write_nmnist
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.profile import load_profile
from sast_deploy.studies.sweep.choices import DataChoice, NetworkChoice, RecipeChoice
from sast_deploy.studies.tables.records import Record, raw_text
from sast_deploy.training import loop
from sast_deploy.training.checkpoint import Checkpoint, save_checkpoint
from sast_deploy.training.network.network import Network, NetworkSpec
from sast_deploy.training.recipes import PAPER
from tests import programs, recordingfiles, stockfiles
from tests.recordingfiles import EVERY

# Where a worker stands and where the data are from there, so that the same files come out in every folder.
SEEDS = "seeds.pickle"
DATA = Path("../../data")
OPTIONS = FrameOptions(steps=3, clip=4, size=(6, 6))
TRAIN = (
    *("train", "--dataset", "nmnist", "--data-root", str(DATA), "--steps", "3", "--size", "6", "6"),
    *("--epochs", "2", "--batch", "4", "--validation", "0.3", "--device", "cpu"),
)


@dataclass(frozen=True)
class Seeds:
    """Contents by target and name; `stock_inputs`: for each stock file, an array that fits it."""

    files: Mapping[str, Mapping[str, bytes]]
    stock_inputs: Mapping[str, bytes]


def make_seeds(base: Path) -> Seeds:
    """Make everything below `base`: data/, cache/, secret.*, and the seeds, which are returned as bytes.

    In a process of its own: who has trained once has threads, which a fork does not survive.
    """
    root = Path(__file__).resolve().parents[2]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from tools.fuzzing.seeds import main; main(sys.argv[1])",
        str(base),
    ]
    subprocess.run(command, check=True, cwd=base)
    made: Seeds = pickle.loads((base / SEEDS).read_bytes())
    return made


def main(base: str) -> None:
    """Make the seeds and keep them in a file of that folder."""
    (Path(base) / SEEDS).write_bytes(pickle.dumps(_make_seeds(Path(base))))


def _make_seeds(base: Path) -> Seeds:
    here = base / "seeds" / "cwd"
    here.mkdir(parents=True)
    _secrets(base)
    os.chdir(here)
    _recordings(DATA)
    os.environ["SAST_CACHE_DIR"] = str(base / "cache")
    pt, resume = _checkpoints(), _unfinished()
    stock, inputs = _stock()
    data = {
        str(p.relative_to(DATA)): p.read_bytes() for p in sorted((DATA / "Train" / "0").glob("*.bin"))[:3]
    }
    idx = _idx()
    files = {
        "net": _nets(pt),
        "stock": stock,
        "pt": pt,
        "results": _results(),
        "resume": resume,
        "profile": {
            f"{name}.toml": load_profile(name).text.encode() for name in ("loihi-int4", "loihi-stock")
        },
        "study": {"study.toml": STUDY.encode()},
        "cache": _cache(base / "cache"),
        "idx": idx,
        "idxgz": {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in idx.items()},
        "bin": data,
        "npy": inputs,
        **_every_recording(),
    }
    return Seeds(files, inputs)


def _every_recording() -> dict[str, dict[str, bytes]]:
    """Recordings of every format, by what is done to them; and a folder of some with their list."""
    made = {
        name: make(recordingfiles.some_events(80, 3, sensor)) for name, (make, sensor, _) in EVERY.items()
    }
    kinds = {".npy": "records", ".csv": "text", ".txt": "text", ".bs2": "bs2"}
    kinds |= dict.fromkeys((".h5", ".hdf5"), "events")
    found: dict[str, dict[str, bytes]] = {name: {} for name in ("camera", *kinds.values())}
    for name, content in made.items():
        if not name.endswith(".bin"):  # which has a target of its own
            found[kinds.get(Path(name).suffix, "camera")][name] = content
    sources = [f"{label}/{number}.dat" for label in "ab" for number in range(3)]
    rows = [f"{name},{name[0]},{'test' if name[2] == '2' else 'train'}" for name in sources]
    listed = {name: recordingfiles.dat(recordingfiles.some_events(60, n)) for n, name in enumerate(sources)}
    return found | {"list": {"labels.csv": "\n".join(["file,label,split", *rows]).encode(), **listed}}


def _secrets(base: Path) -> None:
    (base / "secret.raw").write_bytes(b"\1\2\3\1" * 1000)
    with h5py.File(base / "secret.h5", "w") as file:
        file["values"] = np.ones((40, 40), np.int32)


def _recordings(root: Path) -> None:
    for split, number in (("Train", 4), ("Test", 2)):
        for digit in range(3):
            for index in range(number):
                rng = np.random.default_rng([digit, index, number])
                events = np.empty(60, EVENT)
                events["x"], events["y"] = rng.integers(0, 34, 60), 11 * digit + rng.integers(0, 11, 60)
                events["t"], events["p"] = np.sort(rng.integers(0, 300_000, 60)), rng.integers(0, 2, 60)
                write_nmnist(root / split / str(digit) / f"{index + 1:05d}.bin", events)


def _checkpoints() -> dict[str, bytes]:
    data = load_frames("nmnist", OPTIONS, data_root=DATA)
    info = data.info.__class__(**{**vars(data.info), "root": str(DATA), "provenance": "from data"})
    specs = {
        "fc": NetworkSpec("fc", data.sensor, (7, 5), len(info.classes)),
        "conv": NetworkSpec("conv", data.sensor, (3, 4), len(info.classes), strides=(2, 1)),
        "zero": NetworkSpec("fc", data.sensor, (6,), len(info.classes), reset="zero"),
    }
    found = {}
    for name, spec in specs.items():
        state = Network(spec, 1).state_dict()
        arrays = {k: (v if k.startswith("theta") else 4 * v).numpy().copy() for k, v in state.items()}
        test = {"samples": 6, "surrogate": 0.5, "hard": 0.4, "surrogate_rates": [0.2], "hard_rates": [0.1]}
        metrics = {"epoch": 1, "epochs": 2, "seconds": 1.0, "test": test, "setting": {"validation": 0.3}}
        path = Path(f"{name}.pt")
        save_checkpoint(
            path,
            Checkpoint(
                name, spec, arrays, PAPER, data.options, info, {"train": 0}, metrics, package_versions()
            ),
        )
        found[path.name] = path.read_bytes()
    return found


def _unfinished() -> dict[str, bytes]:
    """resume.pt of trainings that were interrupted after the first of two epochs."""
    found = {}
    original = loop.save_unfinished

    def then_interrupted(*arguments: Any) -> None:
        original(*arguments)
        raise KeyboardInterrupt

    for name, more in RESUMED.items():
        path = Path(f"{name}/ckpt.pt")
        with patch.object(loop, "save_unfinished", then_interrupted):
            quietly([*TRAIN, *more, "-o", str(path)], 130)
        found[name] = path.with_name("resume.pt").read_bytes()
    return found


RESUMED: Mapping[str, tuple[str, ...]] = {
    "plain": ("--rho", "0"),
    "rich": ("--rho", "0.1", "--set", "ema=0.9", "--set", "weight_limit=2"),
}


def _nets(checkpoints: Mapping[str, bytes]) -> dict[str, bytes]:
    found = {}
    for name in checkpoints:
        for profile in ("loihi-int4", "loihi-int8", "loihi-stock"):
            path = Path(f"{name[:-3]}-{profile}.net")
            if _ran(["compile", name, "--profile", profile, "-o", str(path)]):
                found[path.name] = path.read_bytes()
    rng = np.random.default_rng(0)
    for name, make in (("rich", programs.rich_program), ("conv-int", programs.conv_program)):
        path = Path(f"{name}.net")
        write_net(path, NetFile(make(rng), load_profile("loihi-int4").text, {"steps": 3}, {}, {}, {}))
        found[path.name] = path.read_bytes()
    return found


def _stock() -> tuple[dict[str, bytes], dict[str, bytes]]:
    rng = np.random.default_rng(0)
    ints = stockfiles.integers
    vector = np.full(6, 1024)
    nets: dict[str, tuple[list[dict[str, Any]], tuple[int, ...]]] = {
        "dense": (
            [stockfiles.dense(ints(rng, 100, 6, 8), ints(rng, 9, 6)), stockfiles.dense(ints(rng, 99, 4, 6))],
            (5, 8),
        ),
        "vectors": (
            [stockfiles.dense(ints(rng, 100, 6, 8), vDecay=vector, vThMant=vector, iDecay=2048)],
            (2, 5, 8),
        ),
        "delays": ([{**stockfiles.dense(ints(rng, 60, 5, 8)), "delay": rng.integers(0, 5, (5, 8))}], (6, 8)),
        "recurrent": (
            [
                {
                    **stockfiles.dense(ints(rng, 60, 5, 8)),
                    "type": b"dense_rec",
                    "weight_rec": ints(rng, 50, 5, 5),
                }
            ],
            (6, 8),
        ),
        "conv": (
            [
                stockfiles.image(2, 6, 6),
                stockfiles.conv(ints(rng, 90, 3, 2, 3, 3), (3, 6, 6), padding=1),
                stockfiles.FLATTEN,
                stockfiles.integrator(ints(rng, 70, 4, 108)),
            ],
            (4, 2, 6, 6),
        ),
        "pixels": (
            [
                stockfiles.image(1, 4, 4, weight=64, bias=np.array([3]), **stockfiles.neuron()),
                stockfiles.FLATTEN,
                stockfiles.dense(ints(rng, 70, 4, 16)),
            ],
            (4, 1, 4, 4),
        ),
    }
    files, inputs = {}, {}
    for name, (layers, shape) in nets.items():
        path = stockfiles.write_stock(Path(f"{name}.net"), layers)
        files[path.name] = path.read_bytes()
        array = (rng.random(shape) < 0.4).astype(np.uint8)
        np.save(f"{name}.npy", array)
        inputs[f"{name}.npy"] = Path(f"{name}.npy").read_bytes()
    return files, inputs


def _results() -> dict[str, bytes]:
    levels = [{"amount": p, "hard": 0.9 - p, "surrogate": 0.91 - p} for p in (0.0, 0.2, 0.4)]
    analysis = {
        "drop": {"levels": levels},
        "noise": {"levels": levels},
        "margins": {"surrogate_share": 0.05, "hard_share": 0.04},
        "contraction": {"states": {"gamma": 8.4, "above_one": 0.01}, "holds": True},
        "thresholds": {"tried": 40, "test_before": {"accuracy": 0.9}, "test_after": {"accuracy": 0.92}},
    }
    rows = [
        {"name": "one scale a layer", "test": {"accuracy": 0.8}},
        {"name": "+ search", "test": {"accuracy": 0.9}},
    ]
    deployed = {"accuracy": 0.88, "synops": 3e5, "layers": [{"synops": 2e5}, {"synops": 1e5}]}
    records = [
        _record(seed, rho, kind, analysis, rows, deployed)
        for seed in (0, 1)
        for rho in (0.0, 0.3)
        for kind in ("fc", "conv")
    ]
    Path("runs.json").write_text(raw_text(records))
    Path("one.json").write_text(raw_text(records[:1]))
    return {name: Path(name).read_bytes() for name in ("runs.json", "one.json")}


def _record(seed: int, rho: float, kind: Any, analysis: Any, rows: Any, deployed: Any) -> Record:
    info = {
        "dataset": "nmnist",
        "simulated": kind == "conv",
        "n_train": 1000,
        "n_test": 100,
        "holdout": None,
        "frame_digest": "a" * 64,
        "root": "data",
        "provenance": "from data",
    }
    config = {
        "data": DataChoice("nmnist", "nmnist").to_dict(),
        "network": NetworkChoice(kind, kind).to_dict(),
        "recipe": RecipeChoice("paper", PAPER.replace(rho=rho)).to_dict(),
        "seed": seed,
        "validation": 0.1,
    }
    rates = {"hard_rates": [0.2, 0.1], "surrogate_rates": [0.25, 0.12]}
    hard = 0.9 + seed / 100 + rho / 20
    return Record(
        f"nmnist-{kind}-paper-rho{rho:.2f}-seed{seed}",
        config,
        info,
        {"seconds": 10.0, "step_ms": 50.0, "peak_memory_mb": 300.0},
        {"surrogate": hard + 0.02, "hard": hard, "gap": 0.02, "samples": 100, **rates},
        {"loihi-int4": deployed, "loihi-int8": deployed},
        analysis,
        {"loihi-int4": {"rows": rows}},
        {"code": {"version": "0"}, "packages": {}},
    )


STUDY = """
[study]
name = "small"
description = "every kind of table"
check = 2
validation = 0.2
device = "cpu"
[data.digits]
dataset = "digits-saccade"
steps = 5
clip = 3
train = 200
test = 100
[network.small]
kind = "fc"
hidden = [32, 16]
reset = "zero"
[network.maps]
kind = "conv"
hidden = [4, 8]
strides = [2, 2]
[recipe.short]
base = "paper"
epochs = 12
batch = 20
lr = 0.01
pairing = "same"
[finetune.finetuned]
epochs = 2
[[grid]]
data = "digits"
recipe = ["short", "paper"]
network = ["small", "fc"]
rho = [0.0, 0.1]
seed = [0, 1]
profiles = ["loihi-int8", "loihi-int4 calibrated", "loihi-int4 finetuned"]
analyses = ["drop", "margins"]
[[grid]]
data = "nmnist"
network = "maps"
k = 5.0
seed = 3
ablations = ["loihi-int4"]
"""


def _cache(folder: Path) -> dict[str, bytes]:
    """Every file of the cache of the frames that the checkpoints were made with."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _idx() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    images = (rng.random((4, 28, 28)) * 255).astype(np.uint8)
    labels = np.arange(4, dtype=np.uint8)

    def packed(values: np.ndarray) -> bytes:
        return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()

    parts: dict[str, Callable[[], bytes]] = {}
    for stem in ("train", "t10k"):
        parts[f"{stem}-images-idx3-ubyte"] = lambda: packed(images)
        parts[f"{stem}-labels-idx1-ubyte"] = lambda: packed(labels)
    return {name: make() for name, make in parts.items()}


def quietly(arguments: list[str], code: int = 0) -> None:
    """Run a command that must end with that exit code."""
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        found = run(arguments)
    if found != code:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {found}\n{shown.getvalue()}")


def _ran(arguments: list[str]) -> bool:
    """Whether a command succeeds: not every seed fits every profile."""
    torch.set_num_threads(1)
    try:
        quietly(arguments)
    except RuntimeError:
        return False
    return True
