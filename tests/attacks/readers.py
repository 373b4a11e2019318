"""Every command that reads a file, by the kind of file: its words around the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.fuzzing.seeds import DATA, RESUMED, TRAIN, Seeds

# Of each way in which recordings are read, one format; `tests/recordingfiles.py` writes them.
RECORDINGS = {
    "camera": ("mine/a/x.raw", "three.raw", ()),
    "records": ("mine/a/x.npy", "records.npy", ("--sensor", "34", "30")),
    "text": ("mine/a/x.csv", "names.csv", ("--sensor", "34", "30")),
    "events": ("mine/a/x.h5", "group.h5", ("--sensor", "34", "30")),
    "bs2": ("mine/a/x.bs2", "slayer.bs2", ("--sensor", "34", "30")),
}
Words = Callable[[str], list[str]]
# kind of file -> the name it is given, and the commands that read one
READERS: dict[str, tuple[str, tuple[Words, ...]]] = {
    "net": (
        "x.net",
        (
            lambda path: ["inspect", path],
            lambda path: ["verify", path, "--known-answers-only", "--backend", "fast"],
            lambda path: ["simulate", path, "--backend", "fast", "--check", "none"],
            lambda path: ["simulate", path, "--backend", "reference", "--samples", "1"],
        ),
    ),
    "stock": (
        "x.net",
        (
            lambda path: ["simulate", path, "--input", "good.npy", "--backend", "fast", "-o", "out.npz"],
            lambda path: ["simulate", path, "--input", "good.npy", "--backend", "reference", "-o", "out.npz"],
        ),
    ),
    "npy": ("x.npy", (lambda path: ["simulate", "good-stock.net", "--input", path, "-o", "out.npz"],)),
    "pt": (
        "x.pt",
        (
            lambda path: ["compile", path, "-o", "out.net"],
            lambda path: ["evaluate", path],
            lambda path: ["analyse", path, "--parts", "margins", "-o", "out.json"],
            lambda path: ["finetune", path, "--profile", "loihi-int4", "-o", "out.pt"],
        ),
    ),
    "resume": ("resume.pt", (lambda path: [*TRAIN, *RESUMED["plain"], "--resume", "-o", "ckpt.pt"],)),
    "results": (
        "x.json",
        (lambda path: ["tables", path], lambda path: ["tables", path, "--markdown", "--json", "out.json"]),
    ),
    "profile": ("x.toml", (lambda path: ["compile", "good.pt", "--profile", path, "-o", "out.net"],)),
    "study": (
        "x.toml",
        (lambda path: ["sweep", path, "--dry-run"], lambda path: ["sweep", path, "-o", "runs"]),
    ),
    "bin": (
        "mine/Train/0/x.bin",
        (
            lambda path: ["train", "--dataset", "nmnist", "--data-root", "mine", "-o", "out.pt"],
            lambda path: ["data", "info", "--dataset", "nmnist", "--data-root", "mine"],
        ),
    ),
    **{
        kind: (
            name,
            (
                lambda path, more=more: ["data", "info", path, *more],
                lambda path, more=more: [
                    *("data", "info", "--dataset", "folder:mine", "--holdout", "0.5", *more)
                ],
            ),
        )
        for kind, (name, _, more) in RECORDINGS.items()
    },
    "list": (
        "mine/labels.csv",
        (lambda path: ["train", "--dataset", f"folder:{path}", "--holdout", "0.5", "-o", "out.pt"],),
    ),
    "idx": (
        "mnist/train-images-idx3-ubyte",
        (lambda path: ["data", "simulate", "--mnist-dir", "mnist", "-o", "out"],),
    ),
    "idxgz": (
        "mnist/train-images-idx3-ubyte.gz",
        (lambda path: ["data", "simulate", "--mnist-dir", "mnist", "-o", "out"],),
    ),
}
GOOD = {
    "net": "fc-loihi-int4.net",
    "stock": "dense.net",
    "npy": "dense.npy",
    "pt": "fc.pt",
    "resume": "plain",
    "results": "one.json",
    "profile": "loihi-int4.toml",
    "study": "study.toml",
    "bin": "Train/0/00001.bin",
    "idx": "train-images-idx3-ubyte",
    "idxgz": "train-images-idx3-ubyte.gz",
    **{kind: good for kind, (_, good, _) in RECORDINGS.items()},
    "list": "labels.csv",
}


def place(kind: str, seeds: Seeds, work: Path) -> Path:
    """A good file of that kind, and everything that its commands need beside it; the path it must have."""
    for name, source in (("good-stock.net", "stock"), ("good.npy", "npy"), ("good.pt", "pt")):
        (work / name).write_bytes(seeds.files[source][GOOD[source]])
    path = work / READERS[kind][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "bin":
        for name in ("Train/1/1.bin", "Test/0/1.bin"):
            (work / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (work / "mine" / name).write_bytes(seeds.files["bin"][GOOD["bin"]])
    if kind in RECORDINGS:
        for name in ("a/1", "b/0", "b/1"):
            beside = (work / "mine" / name).with_suffix(path.suffix)
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(seeds.files[kind][GOOD[kind]])
    if kind == "list":
        for name, content in seeds.files[kind].items():
            (work / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
            (work / "mine" / name).write_bytes(content)
    if kind in ("idx", "idxgz"):
        for name, content in seeds.files[kind].items():
            (path.parent / name).write_bytes(content)
    path.write_bytes(seeds.files[kind][GOOD[kind]])
    return path


def commands(kind: str) -> list[list[str]]:
    """The commands that read such a file, by the name that `place` gave it."""
    name, words = READERS[kind]
    return [make(name) for make in words]


def named(kind: str) -> str:
    """What a refusal must contain: the file's own name, or its folder's where the whole folder is read."""
    return Path(READERS[kind][0]).name


__all__ = ["DATA", "GOOD", "READERS", "commands", "named", "place"]
