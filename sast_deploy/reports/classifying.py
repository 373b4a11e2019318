"""Recordings of one's own through a network: framed as its file says, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError, NetFileError, about
from sast_deploy.data.events import Events
from sast_deploy.data.frames import Binner
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.recording import Window, read_events, windows
from sast_deploy.data.request import recorded_data
from sast_deploy.engines import EngineName
from sast_deploy.engines.frames import Array
from sast_deploy.engines.registry import LavaOptions, prepare
from sast_deploy.netx.file import NetFile

Sensor = tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """What a network says of one window.

    start_us, length_us: from the recording's first event on, of a window asked alone from the camera's own
    zero; of the whole recording, 0 and its span. events:
    in it. label: name of the class of the largest logit, the first of equal ones. margin: its logit minus the
    next largest; 0: a tie. logits: one for each class.

    >>> sast.classifier(framed).answer(seen, (6, 6)).events == len(seen)
    True
    """

    start_us: int
    length_us: int
    events: int
    label: str
    margin: int
    logits: tuple[int, ...]


@dataclass(frozen=True)
class Classification:
    """What a network says of a recording.

    recording: its path, or "events". format: of the file, "" for events in memory. label, margin, logits: as
    in Answer, of the sums of all windows' logits. windows: in order of time, without those that have no
    events. notes: what is worth knowing.

    >>> sast.classify(framed, seen, sensor=(6, 6)).label in framed.program.classes
    True
    """

    recording: str
    format: str
    label: str
    margin: int
    logits: tuple[int, ...]
    windows: tuple[Answer, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [{**asdict(each), "logits": list(each.logits)} for each in self.windows]
        return {**asdict(self), "logits": list(self.logits), "windows": rows, "notes": list(self.notes)}


class Classifier:
    """A network made ready to answer, window after window.

    net: trained on recordings, it says how they become frames. recordings: how files are read and cut, where
    not as for training: what differs from RecordingOptions(), or all that a mapping names. engine: prepared
    once. Not for several threads at once.

    Raises NetFileError: a network that does not say how its frames were made.

    >>> sast.classifier(framed).classes
    ('a', 'b', 'c')
    """

    def __init__(
        self, net: NetFile, name: str, recordings: RecordingOptions | Mapping[str, Any] | None = None,
        engine: EngineName = "fast", lava: LavaOptions | None = None,
    ) -> None:  # fmt: skip
        if not net.data:
            what, todo = "no data set belongs to it, which would say how events become frames", "--dataset"
            raise NetFileError(what, where=name, todo=f"import or compile it with its recordings, {todo}")
        info, self.frames = recorded_data(net, name)
        self.name, self.classes = name, net.program.classes
        self.recordings = _completed(recordings, info.recordings)
        self._run = prepare(engine, net.program, lava=lava)
        self._binners: dict[tuple[Sensor, bool], Binner] = {}

    def answer(self, events: Events, sensor: Sensor, place: tuple[int, int] | None = None) -> Answer:
        """What the network says of events, dtype EVENT, of a sensor (H, W); place: as `Window` has it.

        Without events in a window its frames are empty. Raises DataError.
        """
        frames = self.framed(events, sensor, place)
        logits = self._run(frames[None]).logits[0]
        if place is None:
            start, length = 0, int(events["t"][-1] - events["t"][0]) + 1
        else:
            start, length = place
        return Answer(start, length, len(events), *self._decided(logits))

    def framed(self, events: Events, sensor: Sensor, place: tuple[int, int] | None = None) -> Array:
        """(time, 2, H, W) uint8. Raises DataError."""
        binner = self._binner(sensor, place is not None)
        frames = np.zeros(binner.shape, np.uint8)
        if place is None or len(events):
            binner.from_events(events, frames, "events", place)
        return frames

    def classify_file(self, path: Path) -> Classification:
        """A file of any format that `read_events` knows. Raises DataError."""
        events, sensor, form = self.read(path)
        with about(path, DataError):
            return self.classify(events, sensor, str(path), form)

    def classify(
        self, events: Events, sensor: Sensor, where: str = "events", form: str = ""
    ) -> Classification:
        """Whole, or window by window where `recordings` says so. Raises DataError."""
        answers, cut = [], self.cut(events)
        for window in cut:
            if len(window.events):  # as in training
                found = self.answer(window.events, sensor, self._place(window))
                answers.append(replace(found, start_us=window.start_us))
        total = np.array([each.logits for each in answers], np.int64).sum(axis=0)
        notes = self._notes(events, sensor, cut)
        return Classification(where, form, *self._decided(total), tuple(answers), notes)

    def frames_of(self, path: Path, number: int) -> Array:
        """One window of a file, (time, 2, H, W) uint8. Raises DataError: also where there are not so many."""
        events, sensor, _ = self.read(path)
        found = self.cut(events)
        if number >= len(found):
            raise DataError(f"no window {number}", where=path, expected=f"0 to {len(found) - 1}")
        with about(path, DataError):
            return self.framed(found[number].events, sensor, self._place(found[number]))

    def read(self, path: Path | str) -> tuple[Events, Sensor, str]:
        """Events, sensor and format of a file. Raises DataError: as `read_events`, and for no sensor."""
        events, sensor, facts = read_events(path, self.recordings)
        if sensor is None:
            raise DataError("nothing says the sensor's size", where=path, todo="--sensor H W")
        return events, sensor, facts.format

    def cut(self, events: Events) -> list[Window]:
        """The windows of a recording, one where it is taken whole."""
        if self.recordings.window_us is not None:
            return windows(events, self.recordings.window_us, self.recordings.stride_us)
        span = int(events["t"][-1] - events["t"][0]) + 1
        return [Window(0, span, events, (int(events["t"][0]), span))]

    def _place(self, window: Window) -> tuple[int, int] | None:
        """Whole recordings are framed as those of training."""
        return window.place if self.recordings.window_us else None

    def _binner(self, sensor: Sensor, windowed: bool) -> Binner:
        """Of frames of training's size; a window's length takes the place of training's duration."""
        if (sensor, windowed) not in self._binners:
            options = replace(self.frames, duration_us=None) if windowed else self.frames
            self._binners[sensor, windowed] = Binner(sensor, options)
        return self._binners[sensor, windowed]

    def _decided(self, logits: npt.NDArray[np.int64]) -> tuple[str, int, tuple[int, ...]]:
        best = int(logits.argmax())
        others = np.delete(logits, best)
        margin = int(logits[best] - others.max()) if len(others) else int(logits[best])
        return self.classes[best], margin, tuple(logits.tolist())

    def _notes(self, events: Events, sensor: Sensor, cut: list[Window]) -> tuple[str, ...]:
        found, size, length = [], self.frames.size or sensor, self.recordings.window_us
        if size != sensor:
            frames, pixels = (f"{each[0]} x {each[1]}" for each in (size, sensor))
            found.append(f"frames of {frames} are sums over this sensor's {pixels} pixels")
        if length is not None and self.frames.duration_us not in (None, length):
            found.append(f"windows of {length} us; it was trained on {self.frames.duration_us} us")
        if empty := sum(not len(window.events) for window in cut):
            found.append(f"{empty:,} of {len(cut):,} windows have no events and say nothing")
        behind = len(events) - int(np.searchsorted(events["t"], sum(cut[-1].place)))
        if length is not None and behind:
            found.append(f"{behind:,} events behind the last whole window are left out")
        return tuple(found)


def _completed(
    asked: RecordingOptions | Mapping[str, Any] | None, trained: RecordingOptions | None
) -> RecordingOptions:
    """What is asked for, and for the rest what training did."""
    base, plain = trained or RecordingOptions(), RecordingOptions()
    if asked is None:
        return base
    given = asked if isinstance(asked, Mapping) else {
        name: value for name, value in vars(asked).items() if value != getattr(plain, name)
    }  # fmt: skip
    if "window_us" in given and "stride_us" not in given:
        base = replace(base, stride_us=None)
    return replace(base, **given)
