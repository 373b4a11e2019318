"""How events become frames: every option that shapes a frame, checked once, recorded everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sast_deploy.base.errors import DataError
from sast_deploy.base.rules import Choice, Items, Maybe, Whole
from sast_deploy.base.settings import Settings

MAX_CLIP = 255  # frames are stored as unsigned bytes
MAX_STEPS = 10_000
MAX_CLASSES = 65_536
MAX_SAMPLE = 1 << 30  # bytes of one sample's frames


@dataclass(frozen=True)
class FrameOptions(Settings, called="frame options", error=DataError, partial=True):
    """The options of the events-to-frames step.

    Event k of n (k = 0..n-1, times t_0 <= ... <= t_{n-1}, microseconds) falls into step

        binning "time":   (t_k - t_0) * T // (t_{n-1} - t_0 + 1)    T equal spans of the recording's own time
        binning "count":  k * T // n                                T spans with equally many events

    and adds one to frame[step, p, y * H // H_sensor, x * W // W_sensor]; channel = polarity p (0: OFF,
    darker; 1: ON, brighter). Counts stop at `clip`. Frames are unsigned bytes (T, 2, H, W), values 0..clip.

    Fields:
        steps: T, the number of time steps, 1..10000.
        binning: "time" or "count".
        encoding: "count" (network input = count / clip) or "binary" (any event = 1, clip must be 1).
        clip: largest value of a frame, 1..255.
        size: (H, W) after spatial summing; None: the data set's default (the sensor's size; 48 x 48 for
            dvsgesture and cifar10dvs). `load_frames` returns the options with the size filled in.
        duration_us: None: the span is the recording's own; else the window is [t_0, t_0 + duration_us),
            later events are dropped, and "time" divides by duration_us.

    Raises:
        DataError: a value outside its range, or encoding "binary" with a clip other than 1.

    >>> sast.FrameOptions(steps=20, clip=1, encoding="binary").binning
    'time'
    """

    steps: Annotated[int, Whole(1, MAX_STEPS)] = 10
    binning: Annotated[str, Choice(("time", "count"))] = "time"
    encoding: Annotated[str, Choice(("count", "binary"))] = "count"
    clip: Annotated[int, Whole(1, MAX_CLIP)] = 4
    size: Annotated[tuple[int, int] | None, Maybe(Items(Whole(1, 65536), 2, 2))] = None
    duration_us: Annotated[int | None, Maybe(Whole(1, 2**40))] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding == "binary" and self.clip != 1:
            raise DataError(
                f"clip = {self.clip} with encoding = binary", where="frame options",
                expected="clip = 1, since a binary frame holds 0 and 1 only",
            )
        if self.size is not None:
            entries = self.steps * 2 * self.size[0] * self.size[1]
            if entries > MAX_SAMPLE:
                expected = f"at most {MAX_SAMPLE:,} bytes, steps x 2 x height x width"
                raise DataError(f"a sample of {entries:,} bytes", where="frame options", expected=expected)


@dataclass(frozen=True)
class RecordingOptions(Settings, called="recording options", error=DataError, partial=True):
    """How recordings of one's own are read and cut. What a file does not say is said here, and never guessed.

    Fields:
        sensor: (H, W) in pixels, where files do not say it, or say it wrongly.
        crop: (top, left, H, W): events of this part of the sensor only, counted from its corner.
        columns: what stands in the columns of arrays and texts without names, each x, y, t, p or - (ignored).
        time_unit: of times whose file does not say it, "s", "ms", "us" or "ns"; None: microseconds, where
            that is plausible. Times become whole microseconds, rounded.
        polarity: "binary" (0 OFF, 1 ON) or "signed" (-1 OFF, 1 ON).
        unwrap: bits of a time counter that starts again at 0 when it is full; None: none does.
        shift_time: count times from the earliest event, which may be before 0.
        sort: bring events into the order of time, equal times in the order of the file.
        drop_outside: leave out events beyond the sensor.
        window_us, stride_us: cut recordings into windows of this length that begin this far apart; None:
            whole recordings, and windows side by side.
        skip_bad: leave out recordings that cannot be used, and count them.

    >>> sast.RecordingOptions(columns=("x", "y", "t", "p")).polarity
    'binary'
    """

    sensor: Annotated[tuple[int, int] | None, Maybe(Items(Whole(1, 1 << 16), 2, 2))] = None
    crop: Annotated[tuple[int, int, int, int] | None, Maybe(Items(Whole(0, 1 << 16), 4, 4))] = None
    columns: Annotated[tuple[str, ...] | None, Maybe(Items(Choice(("x", "y", "t", "p", "-")), 4, 64))] = None
    time_unit: Annotated[str | None, Maybe(Choice(("s", "ms", "us", "ns")))] = None
    polarity: Annotated[str, Choice(("binary", "signed"))] = "binary"
    unwrap: Annotated[int | None, Maybe(Whole(8, 48))] = None
    shift_time: bool = False
    sort: bool = False
    drop_outside: bool = False
    window_us: Annotated[int | None, Maybe(Whole(1, 2**40))] = None
    stride_us: Annotated[int | None, Maybe(Whole(1, 2**40))] = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        named = [each for each in self.columns or "xytp" if each != "-"]
        if sorted(named) != ["p", "t", "x", "y"]:
            what = f"columns = {','.join(self.columns or ())}"
            raise DataError(what, where=self.called, expected="x, y, t and p, each once")
        if self.crop is not None and min(self.crop[2:]) < 1:
            raise DataError(f"crop = {self.crop}", where=self.called, expected="a height and a width of 1 up")
        if self.stride_us is not None and self.window_us is None:
            raise DataError("stride_us without window_us", where=self.called, todo="give both, or none")
