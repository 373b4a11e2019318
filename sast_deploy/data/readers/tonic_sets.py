"""Any tonic data set of (x, y, t, p) events with one class label per recording, through tonic's own class.

tonic downloads, lists and decodes; here its class is found by name, its events are brought to one dtype
(EVENT, microseconds) and checked, and its recordings are sorted, because tonic lists some sets in the order
in which the file system happens to return them.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sast_deploy.base.errors import DataError, InstallationError
from sast_deploy.data.cache import notice
from sast_deploy.data.events import FIELDS, to_events
from sast_deploy.data.readers.nmnist import (
    no_download,
    refuse_simulated,
    remove_if_empty,
    tonic_download,
)
from sast_deploy.data.recordings import Recording, Recordings, Source, folder_signature

if TYPE_CHECKING:  # a run that finds its frames in the cache compiles nothing
    from sast_deploy.data.frames import Binner, Frames



@dataclass(frozen=True)
class TonicSource(Source):
    """The tonic data set `class_name` in `root`/`class_name`; download: fetch it where it is not there."""

    class_name: str = ""
    download: bool = False
    downloads: ClassVar[bool] = True

    @property
    def place(self) -> Path:
        """Where tonic keeps the data set."""
        return self.root / self.class_name

    def signature(self) -> str:
        """Digest of the state of all files of the data set. Raises DataError for a simulated folder."""
        refuse_simulated(self.place)
        return folder_signature(self.place)

    def open(self) -> Recordings:
        """Construct tonic's data set, which downloads what is absent, and list its recordings.

        Raises:
            DataError: unknown class, not (x, y, t, p) events with a class label each, no download.
        """
        kind = event_class(self.class_name)
        split = "train" in inspect.signature(kind).parameters
        arguments = {"train": {"train": True}, "test": {"train": False}} if split else {"train": {}}
        parts = {name: construct(kind, self, **each) for name, each in arguments.items()}
        samples = [(name, index) for name, part in parts.items() for index in range(len(part.targets))]
        if not samples:
            raise DataError("tonic finds no recordings", where=self.place)
        targets = [parts[name].targets[index] for name, index in samples]
        classes = class_names(parts["train"], targets, self.place)
        found: dict[str, list[Recording]] = {"train": [], "test": []}
        for number, (name, index) in enumerate(samples):
            label = _label(targets[number], classes, f"{name} recording {index}", self.place)
            found[name].append(Recording(_name(name, parts[name], index), label, number))
        train, test = (tuple(sorted(each, key=lambda one: one.id)) for each in found.values())
        if not train:
            raise DataError("tonic finds no training recordings", where=self.place)

        def frame(recording: Recording, binner: Binner, out: Frames) -> tuple[int, bytes]:
            (name, index), where = samples[recording.index], self.place / recording.id
            events = to_events(_read(parts[name], index, where), where)
            return binner.from_events(events, out, where), hashlib.sha256(events.tobytes()).digest()

        return Recordings(sensor_of(parts["train"], self.class_name), classes, train, test or None, frame)


def _label(target: Any, classes: tuple[str, ...], what: str, where: Path) -> int:
    known = classes if isinstance(target, str) else range(len(classes))
    if target not in known:
        expected = f"one of {', '.join(map(str, known))}"
        raise DataError(f"{what} has label {target!r}", where=where, expected=expected)
    return known.index(target)


def _name(split: str, part: Any, index: int) -> str:
    stored = part.data[index] if index < len(part.data) else None
    if isinstance(stored, (str, Path)):
        return Path(os.path.relpath(stored, part.location_on_system)).as_posix()
    return f"{split}/{index:06d}"


def _read(part: Any, index: int, where: Path) -> Any:
    try:
        return part[index][0]
    except ImportError as error:
        raise _lacking(error, where) from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError) as error:
        raise DataError(f"tonic cannot read it: {error}", where=where) from error


def _lacking(error: ImportError, where: Path) -> InstallationError:
    what = f"tonic needs the package {error.name!r}"
    return InstallationError(what, where=where, todo=f"pip install {error.name}")


def event_class(name: str) -> Any:
    """The class `tonic.datasets.<name>`. Raises DataError if there is none, or not of (x, y, t, p) events."""
    from tonic import datasets

    if name not in datasets.__all__:
        near = difflib.get_close_matches(name.lower(), [known.lower() for known in datasets.__all__], 3, 0.4)
        matches = [known for known in datasets.__all__ if known.lower() in near]
        expected = f"{' or '.join(matches)} perhaps" if matches else f"one of {', '.join(datasets.__all__)}"
        raise DataError(f"tonic has no data set {name!r}", expected=expected)
    kind = getattr(datasets, name)
    names = getattr(getattr(kind, "dtype", None), "names", None) or ()
    if not set(FIELDS) <= set(names):
        has = f"events of ({', '.join(names)})" if names else "no single stream of events"
        raise DataError(f"tonic.datasets.{name} has {has}", expected=f"events of ({', '.join(FIELDS)})")
    return kind


def construct(kind: Any, source: TonicSource, **arguments: bool) -> Any:
    """Construct a tonic data set in its root; says on stderr what it downloads. Raises DataError."""

    def download(self: Any) -> None:
        url, place = getattr(self, "url", "its servers"), self.location_on_system
        if not source.download:
            raise no_download(source.dataset, source.root, kind.__name__, url)
        notice(f"downloading {kind.__name__} from {url} to {place}")
        kind.download(self)

    methods: dict[str, Any] = {"download": download}
    if kind.__name__ == "NMNIST":  # tonic takes a part of N-MNIST for no data set
        methods["_check_exists"] = lambda self: os.path.isdir(os.path.join(self.location_on_system, "Train"))
    # tonic derives the folder from the class's name, so the subclass keeps it.
    subclass = type(kind.__name__, (kind,), methods)
    place = source.place
    try:
        with tonic_download():
            data_set = subclass(save_to=str(source.root), **arguments)
    except ImportError as error:
        raise _lacking(error, place) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, tarfile.TarError, SystemExit) as error:
        remove_if_empty(place)
        reason = "see above; to be downloaded by hand" if isinstance(error, SystemExit) else error
        raise DataError(
            f"tonic gives no {kind.__name__} ({reason})", where=place,
            expected="the data set as tonic unpacks it, or a reachable server",
            todo="name another folder with --data-root, or use the embedded data, called digits-saccade",
        ) from error
    if not isinstance(getattr(data_set, "targets", None), list) or not hasattr(data_set, "data"):
        raise DataError(f"tonic.datasets.{kind.__name__} has no class labels", expected="one per recording")
    return data_set


def class_names(data_set: Any, targets: list[Any], where: Path) -> tuple[str, ...]:
    """Names of all classes in the order of their labels. Raises DataError for labels that are no classes."""
    if not all(isinstance(target, (int, np.integer, str)) for target in targets):
        raise DataError(f"labels such as {targets[0]!r}", where=where, expected="one class per recording")
    named = getattr(data_set, "classes", None)
    if isinstance(named, Mapping):
        return tuple(sorted(named, key=lambda name: int(named[name])))
    if named is not None and len(named):
        return tuple(str(name) for name in named)
    if isinstance(targets[0], str):
        return tuple(sorted(set(targets)))
    return tuple(str(label) for label in range(max(targets) + 1))


def sensor_of(data_set: Any, name: str) -> tuple[int, int]:
    """(height, width) of the sensor; tonic says (width, height, polarities). Raises DataError."""
    size = getattr(data_set, "sensor_size", None)
    if size is None or len(size) != 3 or size[2] != 2:
        raise DataError(f"tonic.datasets.{name} has sensor size {size}", expected="(width, height, 2)")
    return int(size[1]), int(size[0])
