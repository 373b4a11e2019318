"""Recordings of every format, and lists of them."""

from __future__ import annotations

import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.data import FrameOptions, RecordingOptions, load_frames
from sast_deploy.data.events import check_events
from sast_deploy.data.frames import frames_from_events
from sast_deploy.data.readers.recording import look_at, read_events, windows
from tools.fuzzing.inputs import Input, Place, file_of
from tools.fuzzing.judge import ACCEPTED, Failed, refusal
from tools.fuzzing.recordings import change_npy
from tools.fuzzing.values import INTEGERS, RAW, Rng, change_bytes, number, pick, text

MENDING = RecordingOptions(
    columns=None, unwrap=23, sort=True, shift_time=True, drop_outside=True, sensor=(40, 40), time_unit="us"
)
WAYS = (
    RecordingOptions(),
    RecordingOptions(sensor=(34, 30)),
    MENDING,
    RecordingOptions(crop=(1, 2, 20, 20), polarity="signed", time_unit="s", sort=True),
    RecordingOptions(columns=("x", "y", "t", "p"), sensor=(34, 30)),
    RecordingOptions(columns=("t", "-", "x", "y", "p"), time_unit="ns"),
)
MOST = 20_000  # events that frames are made of here


def change_binary(rng: Rng, made: Input, place: Place) -> None:
    """A number in it, anywhere or in its head, of 1 to 8 bytes in either order, or a line of its head."""
    content = bytearray(made.path.read_bytes())
    if rng.random() < 0.15:
        _change_line(rng, made, content)
        return
    near = min(len(content), 400 if rng.random() < 0.6 else len(content))
    size, order = int(pick(rng, (1, 2, 4, 4, 8))), str(pick(rng, ("little", "big")))
    at = int(rng.integers(max(near - size, 1)))
    value = int(pick(rng, INTEGERS)) % (1 << 8 * size)
    content[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]
    made.path.write_bytes(content)
    made.did(f"{value} at {at}")


def _change_line(rng: Rng, made: Input, content: bytearray) -> None:
    lines = bytes(content).split(b"\n")
    at = int(rng.integers(min(len(lines), 6)))
    known = ("", "#", "%", "# AEChip: a.DVS128", "% geometry 0x0", "% evt 2.1", "% format EVT3")
    lines[at] = str(pick(rng, (*known, text(rng)))).encode("utf-8", "surrogatepass")
    made.path.write_bytes(b"\n".join(lines))
    made.did(f"line {at}")


def change_text(rng: Rng, made: Input, place: Place) -> None:
    """A number, a separator or a name in it."""
    path = file_of(made)
    lines = path.read_bytes().split(b"\n")
    at = int(rng.integers(min(len(lines), 4 if rng.random() < 0.3 else len(lines))))
    mark = pick(rng, (b",", b" ", b";", b"\t"))
    cells = lines[at].split(b"," if b"," in lines[at] else b" ")
    new = pick(rng, (*RAW, *map(str, INTEGERS), repr(number(rng)), text(rng), "../x.dat", "train", "a"))
    cells[int(rng.integers(len(cells)))] = str(new).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        cells = cells[: int(rng.integers(len(cells) + 1))] * int(pick(rng, (1, 2, 300)))
    lines[at] = (mark if rng.random() < 0.2 else b"," if b"," in lines[at] else b" ").join(cells)
    path.write_bytes(b"\n".join(lines))
    made.did(f"line {at}")


def change_records(rng: Rng, made: Input, place: Place) -> None:
    """Another value in a field, another field's name, or what is done to any array."""
    if rng.random() < 0.5:
        change_npy(rng, made, place)
        return
    array = np.load(made.path)
    names = array.dtype.names
    if names and rng.random() < 0.3:
        chosen = [str(text(rng)) or "x" for _ in names] if rng.random() < 0.2 else [*rng.permutation(names)]
        kinds = [(str(name), pick(rng, ("<u2", "<i8", "<f4", ">i4", "?", "<f8"))) for name in chosen]
        changed = np.zeros(len(array), kinds)
        np.save(made.path, changed)
    else:
        field = array[str(pick(rng, names))] if names else array[:, int(rng.integers(array.shape[1]))]
        value = int(pick(rng, INTEGERS))
        info = np.iinfo(field.dtype)
        field[int(rng.integers(len(field)))] = min(max(value, int(info.min)), int(info.max))
        np.save(made.path, array)
    made.did("records")


def probe_recording(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it, and to look at it."""
    options = WAYS[int(rng.integers(len(WAYS)))]
    verdict = _look(made, options)
    try:
        events, sensor, facts = read_events(made.path, options)
    except SastError as error:
        return refusal(error, made.path.name)
    if verdict != ACCEPTED or facts.events != len(events) or facts.on + facts.off != len(events):
        raise Failed("accepted: other facts than when looked at")
    check_events(events, sensor or (1 << 16, 1 << 16), "accepted")
    if int(events["t"][0]) < 0:
        raise Failed("accepted: negative times")
    if sensor is not None and len(events) < MOST and sensor[0] * sensor[1] < 1 << 16:
        total = frames_from_events(events, sensor, FrameOptions(steps=2, clip=255)).sum()
        if not 0 < total <= len(events):
            raise Failed("accepted: frames of other events")
        try:
            windows(events, 1000, 700)
        except SastError as error:
            refusal(error, "")
    return ACCEPTED


def _look(made: Input, options: RecordingOptions) -> str:
    try:
        look_at(made.path, options)
    except SastError as error:
        return refusal(error, made.path.name)
    return ACCEPTED


def probe_list(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product for the frames of a list of recordings."""
    window = None if rng.random() < 0.5 else 30_000
    options = RecordingOptions(skip_bad=bool(rng.random() < 0.5), window_us=window)
    holdout = 0.4 if rng.random() < 0.5 else None
    try:
        data = load_frames(
            f"folder:{made.path}/labels.csv", FrameOptions(steps=2), recordings=options, holdout=holdout,
            cache_dir=place.out / "cache",
        )  # fmt: skip
    except SastError as error:
        return refusal(error, made.path.name)
    train, test = ({name.partition("@")[0] for name in split.ids} for split in (data.train, data.test))
    if train & test:
        raise Failed("accepted: a recording in both splits")
    return ACCEPTED


def change_list(rng: Rng, made: Input, place: Place) -> None:
    """A cell of the list, or bytes of a recording."""
    path = made.path / "labels.csv" if rng.random() < 0.8 else file_of(made)
    made.beside["file"] = path
    if path.suffix == ".csv":
        change_text(rng, made, place)
        return
    content, what = change_bytes(rng, path.read_bytes())
    path.write_bytes(content)
    made.did(what)

