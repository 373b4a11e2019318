"""Inputs: made from seeds by mutations; where they lie, and what is known of them."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tools.fuzzing.seeds import Seeds
from tools.fuzzing.values import Rng, change_bytes, pick


@dataclass
class Input:
    """One input: the file to read, what was done to it, why it must be refused (or ""), other files."""

    path: Path
    seed: str
    labels: list[str] = field(default_factory=list)
    forbidden: str = ""
    beside: dict[str, Path] = field(default_factory=dict)
    final: bool = False  # whether it can no longer be opened to be changed

    def did(self, label: str, forbidden: str = "") -> None:
        """Note a mutation."""
        self.labels.append(label)
        self.forbidden = self.forbidden or forbidden


@dataclass
class Place:
    """Where a worker makes and reads inputs: base/worker-N/{cwd,in,out}."""

    base: Path
    folder: Path
    seeds: Seeds

    @property
    def out(self) -> Path:
        """Emptied before every input."""
        return self.folder / "out"


Change = Callable[[Rng, Input, Place], None]
Probe = Callable[[Rng, Input, Place], str]


@dataclass(frozen=True)
class Target:
    """A reader. change: applies one mutation to the input's file. finish: after the last one."""

    name: str
    suffix: str
    change: Change
    probe: Probe
    finish: Change = lambda rng, made, place: None
    folder: bool = False  # whether the input is a folder with all seeds in it
    rebuilds: bool = False  # whether what is damaged is made anew or skipped instead of refused
    names_files: bool = False  # whether the file may name others, as a study its profiles


NAMES = ("x", "x", "x", "x", "x", "x", "x", "x", "[bold]x", "a b", "é", "-x", "x'y")


def make(target: Target, rngs: list[Rng], place: Place, only: tuple[int, ...] | None = None) -> Input:
    """Write the input below place.folder/in. rngs: the first for the choice, then one for each mutation.

    only: indices of the mutations to apply; None: all.
    """
    rng = rngs[0]
    seeds = place.seeds.files[target.name]
    seed = pick(rng, sorted(seeds))
    path = place.folder / "in" / f"{pick(rng, NAMES)}{target.suffix}"
    made = Input(path, seed)
    if target.folder:
        for name, content in seeds.items():
            write(path / name, content)
        made.beside["file"] = path / seed
    else:
        write(path, seeds[seed])
    for index, each in enumerate(rngs[1:]):
        if (only is None or index in only) and not made.forbidden and not made.final:
            try:
                target.change(each, made, place)
            except Exception as error:  # what an earlier mutation has damaged cannot be changed again
                made.did(f"nothing ({type(error).__name__})")
    target.finish(rng, made, place)
    return made


def write(path: Path, content: bytes) -> None:
    """Write a file, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def file_of(made: Input) -> Path:
    """The file that is mutated."""
    return made.beside.get("file", made.path)


def change_node(rng: Rng, made: Input, place: Place) -> None:
    """Something else than a regular file, or one of absurd size."""
    path = file_of(made)
    path.unlink(missing_ok=True)
    way = int(rng.integers(8))
    if way == 0:
        os.mkfifo(path)
    elif way == 1:
        path.mkdir()
    elif way == 2:
        path.symlink_to(path.name)
    elif way == 3:
        path.symlink_to(pick(rng, ("/dev/zero", "/dev/null", "nowhere")))
    elif way == 4:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 1)
            os.truncate(file.fileno(), min(5 << 30, (256 << 20) - 1))
    elif way == 5:
        path.write_bytes(b"")
    elif way == 6:
        path.write_bytes(pick(rng, OTHER_FILES))
    else:
        with socket.socket(socket.AF_UNIX) as end:
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's name may have 107 bytes only
            try:
                end.bind(path.name)
            finally:
                os.chdir(here)
    made.did(f"node {way}", "is no regular file" if way in (0, 1, 2, 7) else "")


OTHER_FILES = (
    *(
        b"\0" * 4096,
        b"hello\n",
        b"\x89HDF\r\n\x1a\n",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"\x93NUMPY\x01\0",
    ),
    *(
        b"\x1f\x8b\x08\0",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"{}",
        b"[]",
        b"\x80\x02}q\0.",
        b"\xff\xfe",
    ),
)


def damage(rng: Rng, made: Input) -> None:
    """Change bytes of the file, whatever they are."""
    path = file_of(made)
    if path.is_file() and path.stat().st_size < 64 << 20:
        content, what = change_bytes(rng, path.read_bytes())
        path.write_bytes(content)
        made.did(what)
        made.final = True


def structured(change: Change, plain: float = 0.15) -> Change:
    """Mostly `change`; sometimes bytes, seldom another node."""

    def either(rng: Rng, made: Input, place: Place) -> None:
        way = rng.random()
        if way < 0.03:
            change_node(rng, made, place)
        elif way < 0.03 + plain:
            damage(rng, made)
        elif file_of(made).is_file():
            change(rng, made, place)

    return either


def clear(place: Place) -> None:
    """Remove what an input left."""
    for name in ("in", "out"):
        shutil.rmtree(place.folder / name, ignore_errors=True)
        (place.folder / name).mkdir()
