"""N-MNIST in its original layout, `Train|Test/<digit>/<number>.bin`, or any part of it.

What goes through tonic: the download, its checksums and its unpacking (`tonic.datasets.NMNIST`), the folder
names, and the reading order and event values, which tests compare with tonic's class and with
`tonic.io.read_mnist_file` bit for bit. What does not: listing and decoding the files, because tonic takes a
part of the data set for no data set, and because its decoder takes about five times as long. The data set
`tonic:NMNIST` takes every recording through tonic's own class, and gives the same frames.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.rules import Table, Text, refuse
from sast_deploy.base.threads import processors
from sast_deploy.data.cache import notice
from sast_deploy.data.events import NMNIST_SENSOR, read_event_bytes
from sast_deploy.data.recordings import Recording, Recordings, Source, folder_signature

if TYPE_CHECKING:  # a run that finds its frames in the cache compiles nothing
    from sast_deploy.data.frames import Binner, Frames

DIGITS = tuple("0123456789")
MARKER = "SIMULATED.json"
TONIC_FOLDER = "NMNIST"
ARCHIVES = {"Train": ("train.zip", 60_000), "Test": ("test.zip", 10_000)}
DOWNLOAD_SILENCE_S = 30.0
MARKED = Expected('JSON with a key "source"', DataError)
MARKER_BYTES = 1 << 20
LAYOUT = "Train/<digit>/<number>.bin"
SERVER = "https://data.mendeley.com"  # tonic's, of N-MNIST
# Of tonic's archives, by its classes' names.
SIZES = {"NMNIST": "about 1.2 GB", "DVSGesture": "about 3 GB", "CIFAR10DVS": "several GB"}
UNKNOWN_SIZE = "perhaps gigabytes"


class NmnistFolder(Source):
    """A folder with `Train` and perhaps `Test` in N-MNIST's layout."""

    def signature(self) -> str:
        """Digest of the state of all files in Train and Test."""
        return folder_signature(self.root / "Train", self.root / "Test")

    def open(self) -> Recordings:
        """List the recordings. Raises DataError for foreign label folders and incomplete downloads."""
        train = list_split(self.root, "Train")
        if not train:
            raise DataError("has no .bin files", where=self.root / "Train", expected=LAYOUT)
        test = list_split(self.root, "Test") if (self.root / "Test").is_dir() else None
        if test is not None and not test:
            raise DataError(
                "has no .bin files", where=self.root / "Test", expected="Test/<digit>/<number>.bin",
                todo="remove the empty folder and give --holdout 0.2 to split the training recordings",
            )
        return Recordings(NMNIST_SENSOR, DIGITS, train, test, self._frame, threads=processors())

    def _frame(self, recording: Recording, binner: Binner, out: Frames) -> tuple[int, bytes]:
        path = f"{self.root}/{recording.id}"  # a Path takes its time to make
        data = read_event_bytes(path)
        return binner.from_nmnist(data, out, path), hashlib.sha256(data).digest()


def find_nmnist(data_root: Path) -> Path | None:
    """The folder that holds `Train`: `data_root` itself or `data_root`/NMNIST; None if neither does."""
    for folder in (data_root, data_root / TONIC_FOLDER):
        if (folder / "Train").is_dir():
            return folder
    return None


def read_marker(root: Path) -> dict[str, Any] | None:
    """What made the simulated data set at `root`; None where there is no marker. Raises DataError."""
    path = root / MARKER
    if not path.exists():
        return None
    marker: dict[str, Any] = read_json(path, MARKED, MARKER_BYTES)
    refuse(Table({"source": Text()}, ("source",), open=True).problems(marker, ""), path, DataError)
    return marker


def refuse_simulated(folder: Path) -> None:
    """Raise DataError for a folder whose marker says that no camera recorded it."""
    if simulated_marker(folder) is not None:
        what = f"{MARKER} says that this is no camera data"
        raise DataError(what, where=folder, expected="real recordings")


def simulated_marker(root: Path) -> str | None:
    """The source named by the marker file of a simulated folder; None where there is no marker."""
    marker = read_marker(root)
    return None if marker is None else str(marker.get("source", "unknown source"))


def list_split(root: Path, split: str) -> tuple[Recording, ...]:
    """The `.bin` files of `Train` or `Test`, sorted by digit and name.

    Raises:
        DataError: a label folder that is not one of 0 to 9; fewer files than the archive beside them holds.
    """
    found = []
    for label in _sorted_names(root / split):
        if not (root / split / label).is_dir():
            continue
        if label not in DIGITS:
            raise DataError(f"label folder {label!r}", where=root / split, expected="folders named 0 to 9")
        names = (name for name in _sorted_names(root / split / label) if name.endswith(".bin"))
        found += [Recording(f"{split}/{label}/{name}", int(label)) for name in names]
    archive, complete = ARCHIVES[split]
    if found and len(found) < complete and (root / archive).exists():
        raise DataError(
            f"{len(found)} recordings beside {archive}, which holds {complete}: an interrupted unpacking",
            where=root / split, todo=f"remove {split} to unpack again, or {archive} to use this part",
        )
    return tuple(found)


def _sorted_names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise DataError(reason, where=folder, expected="a readable folder") from error


def download_nmnist(data_root: Path) -> Path:
    """Download N-MNIST with tonic; returns `data_root`/NMNIST. Raises DataError if unreachable."""
    from tonic.datasets import NMNIST

    notice(f"downloading N-MNIST from {NMNIST.base_url} to {data_root}")
    try:
        with tonic_download():
            # Test first: a set counts as present once Train is there, so an interrupted download goes on.
            NMNIST(save_to=str(data_root), train=False)
            NMNIST(save_to=str(data_root), train=True)
    except (OSError, RuntimeError, ValueError) as error:
        remove_if_empty(data_root / TONIC_FOLDER)
        raise DataError(
            f"N-MNIST is not in {data_root} or {data_root / TONIC_FOLDER} ({LAYOUT}), and {NMNIST.base_url} "
            f"gives no download ({error})",
            todo="put it there, name its folder with --data-root or SAST_DATA_ROOT, or use the embedded "
            "simulated data, called digits-saccade",
        ) from error
    return data_root / TONIC_FOLDER


def no_download(dataset: str, root: Path, name: str, server: str) -> DataError:
    """The error for data that are not here and that nobody at the keyboard has allowed to be fetched.

    name: tonic's. server: where it would come from.
    """
    size = SIZES.get(name, UNKNOWN_SIZE)
    return DataError(
        f"{dataset} is not here, and is not downloaded unasked: {size} from {server}", where=root,
        todo=f"--download --data-root {root} fetches it there (download=True in Python); or name another "
        "folder with --data-root",
    )  # fmt: skip


def remove_if_empty(folder: Path) -> None:
    """Remove the folder that a failed download has made, and its parent, where nothing is in them."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


@contextlib.contextmanager
def tonic_download() -> Iterator[None]:
    """Send what tonic prints to stderr; give up on a server that is silent for 30 s; unpack nothing outside.

    tonic gives tarfile no filter, which would let an archive write anywhere: the class's default does not.
    Raises DataError on a Python whose tarfile has none.
    """
    if not hasattr(tarfile, "data_filter"):
        what = f"Python {sys.version.split()[0]} unpacks tar archives without a filter"
        raise DataError(what, expected="a Python of the last years", todo="update Python")
    silence, unfiltered = socket.getdefaulttimeout(), vars(tarfile.TarFile).get("extraction_filter")
    socket.setdefaulttimeout(DOWNLOAD_SILENCE_S)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(silence)
        tarfile.TarFile.extraction_filter = unfiltered
