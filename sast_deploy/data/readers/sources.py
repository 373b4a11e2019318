"""From a data set's name to where it lies: real N-MNIST, the embedded default, any of tonic's event sets."""

from __future__ import annotations

import os
from pathlib import Path

from sast_deploy.base.errors import DataError
from sast_deploy.base.rules import shown
from sast_deploy.data.cache import FrameCache
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.nmnist import (
    LAYOUT,
    MARKER,
    NmnistFolder,
    download_nmnist,
    find_nmnist,
    no_download,
    simulated_marker,
)
from sast_deploy.data.readers.official import nmnist_provenance
from sast_deploy.data.recordings import Source

EMBEDDED = "digits-saccade"  # built again where it is gone
FOLDER = "folder:"
NAMES = (
    "auto", "nmnist", EMBEDDED, "nmnist-simulated", "dvsgesture", "cifar10dvs", "tonic:<ClassName>",
    f"{FOLDER}PATH",
)  # fmt: skip
TONIC_PREFIX = "tonic:"
TONIC_ALIASES = {"dvsgesture": "DVSGesture", "cifar10dvs": "CIFAR10DVS"}
# 128 x 128 pixels are summed to 48 x 48 unless a size is asked for: row y goes to y * 48 // 128, columns
# alike, so that a frame pixel collects 2 or 3 sensor rows and columns.
DEFAULT_SIZES = {"DVSGesture": (48, 48), "CIFAR10DVS": (48, 48)}
DIGITS_PROVENANCE = (
    "SIMULATED: scikit-learn's 1,797 handwritten digits through a saccade and pixel model (no camera data)"
)


def resolve_root(data_root: Path | None) -> Path:
    """`data_root`, else $SAST_DATA_ROOT, else ./data."""
    if data_root is not None:
        return Path(data_root).expanduser()
    return Path(os.environ.get("SAST_DATA_ROOT") or "data").expanduser()


def folder_place(dataset: str, data_root: Path | None) -> tuple[str, Path]:
    """The name and the root of `folder:PATH`: "folder:" and PATH's last part, and the folder that has it.

    data_root: what a relative PATH begins at; None: the current folder. Raises DataError.

    >>> folder_place("folder:recordings/mine", Path("/data"))
    ('folder:mine', PosixPath('/data/recordings'))
    """
    given = dataset.removeprefix(FOLDER)
    path = Path(os.path.abspath((data_root or Path()).expanduser() / Path(given).expanduser()))
    if not given or not path.name or "\0" in given:
        what = f"data set {shown(dataset)}"
        raise DataError(what, expected=f"{FOLDER}PATH, of a folder or of a labels.csv in one")
    if path.suffix.lower() == ".csv" and path.parent.name:
        return f"{FOLDER}{path.parent.name}/{path.name}", path.parent.parent
    return f"{FOLDER}{path.name}", path.parent


def find_source(
    dataset: str, data_root: Path | None, cache_dir: Path, download: bool = True,
    recordings: RecordingOptions | None = None,
) -> Source:
    """The source that `dataset` names, on the disk; else real data are fetched through tonic, if `download`.

    recordings: how those of a folder are read.

    Raises:
        DataError: unknown name; data neither on the disk nor to be had; a simulated folder under a real name.
    """
    if dataset.startswith(FOLDER):
        from sast_deploy.data.readers.folder import FolderSource

        name, root = folder_place(dataset, data_root)
        provenance = f"recordings of {root / name.removeprefix(FOLDER)}"
        return FolderSource(root, name, provenance, options=recordings or RecordingOptions())
    if recordings is not None:
        raise DataError(f"recording options with {dataset}", expected=f"{FOLDER}PATH", todo="leave them out")
    root = resolve_root(data_root)
    if dataset == "auto":
        return _auto(root, cache_dir)
    if dataset == "nmnist":
        return _real(root, find_nmnist(root) or _download(root, cache_dir, download))
    if dataset == "nmnist-simulated":
        return _simulated(root)
    if dataset == EMBEDDED:
        return _digits(cache_dir)
    if dataset in TONIC_ALIASES or dataset.startswith(TONIC_PREFIX):
        from sast_deploy.data.readers.tonic_sets import TonicSource

        name = TONIC_ALIASES.get(dataset, dataset.removeprefix(TONIC_PREFIX))
        provenance = f"recordings of tonic.datasets.{name} from {root / name}"
        size = DEFAULT_SIZES.get(name)
        return TonicSource(root, dataset, provenance, False, size, class_name=name, download=download)
    raise DataError(f"unknown data set {dataset!r}", expected=f"one of {', '.join(NAMES)}")


def _auto(root: Path, cache_dir: Path) -> Source:
    folder = find_nmnist(root)
    if folder is not None and simulated_marker(folder) is None:
        return _real(root, folder)
    there = f"the set in {folder} is simulated" if folder is not None else f"there is none in {root}"
    return _digits(cache_dir, f"; real N-MNIST was not used: {there}")


def _real(root: Path, folder: Path) -> Source:
    source = simulated_marker(folder)
    if source is not None:
        raise DataError(
            f"{MARKER} says that this is no camera data but simulated from {source}", where=folder,
            expected="real N-MNIST recordings", todo=f"--dataset nmnist-simulated --data-root {root}",
        )
    return NmnistFolder(folder, "nmnist", nmnist_provenance(folder))


def _download(root: Path, cache_dir: Path, allowed: bool) -> Path:
    for folder in (root, root / "NMNIST"):
        if (folder / "Test").is_dir() and not (folder / "test.zip").exists():
            raise DataError("has a Test folder but no Train folder", where=folder, expected=LAYOUT)
    if not allowed:
        raise no_download("nmnist", root)
    with FrameCache(cache_dir).alone("nmnist", root):
        return find_nmnist(root) or download_nmnist(root)


def _simulated(root: Path) -> Source:
    folder = find_nmnist(root)
    if folder is None:
        raise DataError(
            f"no simulated N-MNIST in {root}", expected=f"Train/<digit>/<number>.bin and {MARKER}",
            todo="`sast-deploy data simulate` makes one",
        )
    source = simulated_marker(folder)
    if source is None:
        todo = "--dataset nmnist for a real one"
        raise DataError(f"no {MARKER}", where=folder, expected="a simulated set", todo=todo)
    provenance = f"SIMULATED from {source}, read from {folder} (no camera data)"
    return NmnistFolder(folder, "nmnist-simulated", provenance, simulated=True)


def _digits(cache_dir: Path, remark: str = "") -> Source:
    from sast_deploy.data.camera.saccade import build_digits

    folder = build_digits(cache_dir)
    return NmnistFolder(folder, EMBEDDED, DIGITS_PROVENANCE + remark, simulated=True)
