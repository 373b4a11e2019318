"""Simulated N-MNIST: handwritten digits through the saccade pixel model, in N-MNIST's own folder layout.

    <out>/<Train|Test>/<label>/<number:05d>.bin     recordings, number = 1-based number of the image
    <out>/SIMULATED.json                            what made them; its presence means "not camera data"

A folder is built under a temporary name and renamed when it is complete, so there is never half a data set.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sast_deploy.base.errors import DataError, OutputError
from sast_deploy.base.files import NAME_LETTERS, new_folder, sweep_leftovers
from sast_deploy.base.progress import task
from sast_deploy.base.threads import in_order
from sast_deploy.data.cache import FrameCache, digest_of
from sast_deploy.data.camera.digits import digit_images, digits_split
from sast_deploy.data.camera.idx import Split, read_mnist
from sast_deploy.data.camera.pixelmodel import PixelModel, simulate_recording
from sast_deploy.data.camera.sessions import session_model
from sast_deploy.data.events import encode_nmnist
from sast_deploy.data.readers.nmnist import MARKER, read_marker

GENERATOR_VERSION = 3  # raise it whenever the same seed would give other bytes
DIGITS_SEED = 0
RUN = 64  # recordings that a thread makes in one go


def simulate_mnist(
    idx_folder: Path, out: Path, n_train: int = 60_000, n_test: int = 10_000, *, seed: int = 0
) -> Path:
    """A simulated N-MNIST from MNIST's idx files: the first `n_train` training and `n_test` test images.

    MNIST is shuffled already, so the first n hold every digit in about its own share; with n = 60,000 and
    10,000 it is all of MNIST. Numbers are MNIST's, so recording 7 compares with N-MNIST's 00007.bin.

    Raises:
        DataError: an idx file is missing or damaged, a count outside 1..number of images, `out` is not empty.
        OutputError: `out` cannot be written.
    """
    parts = []
    counts: tuple[tuple[Split, int], ...] = (("Train", n_train), ("Test", n_test))
    for split, count in counts:
        images, labels = read_mnist(idx_folder, split)
        if not 0 < count <= len(images):
            raise DataError(f"{count} {split} images", where=idx_folder, expected=f"1 to {len(images)}")
        parts.append(_Part(split, images[:count], labels[:count].astype(np.int64), np.arange(1, count + 1)))
    selection = f"first {n_train} train, first {n_test} test"
    about = {"source": "MNIST (LeCun, Cortes, Burges)", "selection": selection}
    return _write(Path(out), parts, _marker(parts, seed, about, session_onsets=True))


def build_digits(cache_dir: Path) -> Path:
    """The embedded data set: scikit-learn's 1,797 digits, simulated once and then taken from `cache_dir`.

    Returns the root of N-MNIST's layout. How the digits are split is said in `digits.py`.

    Raises:
        OutputError: `cache_dir` cannot be written.
    """
    images, labels = digit_images()
    train, test = digits_split(labels, DIGITS_SEED)
    parts = [
        _Part("Train", images[train], labels[train], train + 1),
        _Part("Test", images[test], labels[test], test + 1),
    ]
    about = {
        "source": "scikit-learn's load_digits (UCI optdigits test set), 8x8 pixels enlarged to MNIST's size",
        "selection": f"stratified by digit: {len(test)} test; writers are in both splits",
    }
    marker = _marker(parts, DIGITS_SEED, about, session_onsets=False)
    root = Path(cache_dir) / f"digits-saccade-{digest_of(marker)[:12]}"
    if _is_whole(root, marker):
        return root
    with FrameCache(cache_dir).alone("digits-saccade", root):
        there = root.is_dir()  # before it is judged: it appears whole, so what is there in part is damaged
        if _is_whole(root, marker):
            return root
        if there:
            shutil.rmtree(root, ignore_errors=True)
        try:
            return _write(root, parts, marker)
        except OutputError as error:
            raise OutputError(str(error), todo="set SAST_CACHE_DIR or --cache-dir to one") from error


def recording_key(number: int, split: Split) -> int:
    """The `number` of `simulate_recording` in a data set: both splits count from 1, their noise differs."""
    return 2 * number + (split == "Test")


@dataclass(frozen=True, eq=False)
class _Part:
    split: Split
    images: NDArray[np.uint8]  # (n, 28, 28)
    labels: NDArray[np.int64]  # (n,)
    numbers: NDArray[np.int64]  # (n,), 1-based

    def counts(self) -> dict[str, int]:
        digits, counts = np.unique(self.labels, return_counts=True)
        return {str(d): int(c) for d, c in zip(digits, counts, strict=True)}


def _marker(
    parts: list[_Part], seed: int, about: dict[str, str], *, session_onsets: bool
) -> dict[str, Any]:
    """What makes a data set; session_onsets: with N-MNIST's saccade onsets of the same numbers."""
    marker = {
        "simulated": True,
        "note": "SIMULATED by a saccade pixel model; not camera data",
        **about,
        "generator": "sast_deploy.data.camera.saccade",
        "generator_version": GENERATOR_VERSION,
        "seed": seed,
        "model": dataclasses.asdict(PixelModel()),
        "session_onsets": session_onsets,
        "counts": {part.split: part.counts() for part in parts},
    }
    return cast(dict[str, Any], json.loads(json.dumps(marker)))  # lists for tuples, as when it is read again


def _is_whole(root: Path, marker: dict[str, Any]) -> bool:
    """Whether `root` carries this marker and as many recordings as it promises."""
    return read_marker(root) == marker and all(
        len(list((root / split / label).glob("*.bin"))) == count
        for split, counts in marker["counts"].items()
        for label, count in counts.items()
    )


def _write(out: Path, parts: list[_Part], marker: dict[str, Any]) -> Path:
    total = sum(len(part.images) for part in parts)
    with _new_folder(out) as folder, task("simulating recordings", total) as under_way:
        for part in parts:
            for label in part.counts():
                (folder / part.split / label).mkdir(parents=True)
        runs = ((part, start) for part in parts for start in range(0, len(part.images), RUN))
        for made in in_order(lambda run: _simulate(folder, *run, marker), runs):
            under_way.advance(made)
        (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    return out


def _simulate(folder: Path, part: _Part, start: int, marker: dict[str, Any]) -> int:
    """Write the recordings from `start` on, RUN at most; how many. Each depends on its own number alone."""
    model, chosen = PixelModel(), range(start, min(start + RUN, len(part.images)))
    for i in chosen:
        number = int(part.numbers[i])
        sensor = session_model(model, number, part.split) if marker["session_onsets"] else model
        key = recording_key(number, part.split)
        events = simulate_recording(part.images[i], seed=marker["seed"], number=key, model=sensor)
        path = folder / part.split / str(part.labels[i]) / f"{number:05d}.bin"
        path.write_bytes(encode_nmnist(events, path.name))
    return len(chosen)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that becomes `out` on success and vanishes on any error."""
    refuse_used(out)
    out = out.resolve()  # a link to an empty folder stays
    temporary: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(out)
        temporary = new_folder(out.parent, f".{out.name[:NAME_LETTERS]}.", ".tmp")
        yield temporary
        if out.is_dir() and any(out.iterdir()) and (out / MARKER).is_file():
            return  # another process finished the same data set first
        os.replace(temporary, out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot be written: {reason}", where=out, expected="a writable folder with free space"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_used(out: Path) -> None:
    """Raise DataError unless `out` is a new or empty folder."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise DataError("exists already", where=out, expected="a new or empty folder")
