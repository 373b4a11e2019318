"""Every command of the command line, and one line of each that works on a small folder of files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
import numpy as np

from sast_deploy.cli import cli, run
from sast_deploy.data.readers.nmnist import MARKER
from tests.nirgraphs import tiny, written

STUDY = """
[study]
name = "bands"
device = "cpu"
check = 1
[data.bands]
dataset = "nmnist"
[recipe.quick]
epochs = 1
batch = 8
[[grid]]
data = "bands"
recipe = "quick"
rho = 0.05
seed = 0
profiles = ["loihi-int8"]
circuits = ["loihi-int8"]
"""

NET_TOML = """
input = [2, 2, 2]
steps = 4
reset = "subtract"
reset_order = "before-leak"
[[layers]]
kind = "dense"
weight = "0.weight"
bias = "0.bias"
norm = "1"
threshold = 0.5
leak = 0.9
[[layers]]
kind = "readout"
weight = "2.weight"
bias = "2.bias"
"""

# Relative to the folder that `make_folder` fills; what is written begins with "out".
WORKING: dict[str, list[str]] = {
    "train": ["--dataset", "nmnist", "--data-root", "bands", "--epochs", "1", "-o", "out/train/ckpt.pt"],
    "finetune": ["ckpt.pt", "--data-root", "bands", "--epochs", "1", "-o", "out/finetune/ckpt.pt"],
    "evaluate": ["ckpt.pt", "--data-root", "bands"],
    "analyse": ["ckpt.pt", "--data-root", "bands", "--parts", "drop,margins", "-o", "out/analysis.json"],
    "import": ["state.pt", "--describe", "net.toml", "-o", "out/imported.h5"],
    "compile": ["ckpt.pt", "--profile", "loihi-int4", "-o", "out/new.net"],
    "simulate": ["own.net", "--data-root", "bands", "--check", "2", "--report", "out/report.json"],
    "verify": ["own.net", "--data-root", "bands", "--samples", "2"],
    "inspect": ["own.net", "-o", "out/facts.json"],
    "classify": ["own.net", "bands/Test/3/00001.bin"],
    "report": ["own.net", "--data-root", "bands", "-o", "out/report.html"],
    "trace": ["own.net", "--data-root", "bands", "-o", "out/trace.npz", "--plot", "out/trace.svg"],
    "cost": ["own.net", "--data-root", "bands", "--samples", "4"],
    "latency": ["own.net", "--data-root", "bands", "--samples", "4", "--plot", "out/latency.png"],
    "compare": ["own.net", "own.net", "--data-root", "bands", "--samples", "4"],
    "export": ["own.net", "--to", "c", "-o", "out/c"],
    "sweep": ["study.toml", "--data-root", "bands", "-o", "out/sweep", "--jobs", "1"],
    "characterize": [
        "study.toml", "--data-root", "bands", "-o", "out/sweep", "--jobs", "1", "--plot", "out/sweep.png",
    ],
    "tables": ["swept", "-o", "out/runs.json"],
    "data info": ["--dataset", "nmnist", "--data-root", "bands"],
    "data simulate": ["--mnist-dir", "mnist", "-o", "out/sim", "--train", "6", "--test", "3"],
    "data compare": ["--real", "real", "--simulated", "simulated", "-o", "out/compare.png"],
    "doctor": [],
    "completion": ["bash"],
}


def commands(group: click.Group = cli, before: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Every command that is no group, by its words: "data info"."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = (*before, name)
        found |= commands(command, words) if isinstance(command, click.Group) else {" ".join(words): command}
    return found


COMMANDS = commands()


def working(name: str) -> list[str]:
    """The whole command line that works in a folder that `make_folder` filled."""
    return [*name.split(), *WORKING[name]]


def make_folder(folder: Path, chain: Path, bands: Path) -> Path:
    """Make `folder` and fill it with what WORKING needs. chain: a finished chain of the e2e tests."""
    template = chain.parent / "working"  # a sweep takes seconds: made once, then copied
    if not template.exists():
        _fill(template, chain, bands)
    return Path(shutil.copytree(template, folder))


def _fill(folder: Path, chain: Path, bands: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copytree(bands, folder / "bands")
    shutil.copy(chain / "runs/sast/ckpt.pt", folder / "ckpt.pt")
    shutil.copy(chain / "netx_exports/sast-loihi-int4.net", folder / "own.net")
    (folder / "study.toml").write_text(STUDY)
    write_state(folder)
    written(folder / "graph.nir", tiny())
    write_mnist(folder / "mnist")
    options = ["--mnist-dir", str(folder / "mnist"), "--train", "6", "--test", "3"]
    assert run(["data", "simulate", *options, "-o", str(folder / "simulated")]) == 0
    shutil.copytree(folder / "simulated", folder / "real")
    (folder / "real" / MARKER).unlink()
    study = [str(folder / "study.toml"), "--data-root", str(bands), "--jobs", "1"]
    assert run(["sweep", *study, "-o", str(folder / "swept")]) == 0


def write_state(folder: Path) -> None:
    """A state_dict of somebody else's torch, and the description of its network."""
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3))
    torch.save(net.state_dict(), folder / "state.pt")
    (folder / "net.toml").write_text(NET_TOML)


TRACE = "EXECUTED"


def poison(folder: Path) -> Path:
    """Add a module of every name that Python or a package of ours may import; each leaves a trace."""
    packages = {"numpy", "torch", "h5py", "lava", "click", "rich", "numba", "scipy", "tonic", "ray"}
    for name in {*sys.stdlib_module_names, *packages, "sast_deploy", "sitecustomize", "usercustomize"}:
        (folder / f"{name}.py").write_text(f"open({str(folder / TRACE)!r}, 'a').write('{name} ')\n")
    return folder


def write_mnist(folder: Path) -> None:
    """Six training and three test images in MNIST's idx files."""
    folder.mkdir()
    generator = np.random.Generator(np.random.PCG64(0))
    for stem, n in (("train", 6), ("t10k", 3)):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 8:20, 10:18] = generator.integers(0, 256, (n, 12, 8))
        for kind, values in (("images-idx3", images), ("labels-idx1", np.arange(n, dtype=np.uint8) % 3)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + values.tobytes())
