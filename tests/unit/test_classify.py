"""Recordings through a network: the frames are those of training, the answers those of `simulate`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError, NetFileError, SastError, UsageError
from sast_deploy.cli import run
from sast_deploy.netx.file import NetFile
from tests.stockfiles import dense, write_stock
from tests.tinynets import random_checkpoint

SENSOR = (6, 6)


def some_events(n: int = 200, seed: int = 0, span: int = 40_000) -> Any:
    rng = np.random.default_rng(seed)
    events = np.zeros(n, [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "u1")])
    for name, most in (("x", 6), ("y", 6), ("p", 2)):
        events[name] = rng.integers(0, most, n)
    events["t"] = np.sort(rng.integers(1000, 1000 + span, n))
    return events


@pytest.fixture(scope="module")
def net() -> sast.Net:
    return sast.compile(random_checkpoint(), "loihi-int8")


def with_frames(net: sast.Net, **fields: Any) -> sast.Net:
    """The network as if it had been trained with other frame options."""
    assert isinstance(net.content, NetFile)
    return sast.Net(replace(net.content, frames={**net.content.frames, **fields}))


def options_of(net: sast.Net) -> sast.FrameOptions:
    return sast.FrameOptions.from_dict(net.file.frames)


def test_a_whole_recording_is_framed_as_a_sample_of_training(net: sast.Net) -> None:
    events = some_events()
    found = sast.classify(net, events, sensor=SENSOR)
    frames = sast.frames_from_events(events, SENSOR, options_of(net))
    there = sast.simulate(net, frames).logits[0]
    assert found.logits == tuple(there.tolist()) == found.windows[0].logits
    best, second = sorted(there.tolist())[:-3:-1]
    assert found.margin == best - second
    assert found.label == net.program.classes[int(there.argmax())]
    assert (found.windows[0].start_us, found.windows[0].events) == (0, 200)
    json.dumps(found.to_dict())


@pytest.mark.parametrize("engine", ["reference", "vectorised"])
def test_windows_are_framed_by_their_own_length(net: sast.Net, engine: Any) -> None:
    """By hand: events of each window counted into steps of equal time."""
    events = some_events()
    cut = sast.RecordingOptions(window_us=8_000, stride_us=5_000)
    found = sast.classify(net, events, sensor=SENSOR, recordings=cut, engine=engine)
    first, steps, clip = int(events["t"][0]), net.program.steps, options_of(net).clip
    frames = []
    for window in found.windows:
        one = np.zeros((steps, 2, *SENSOR), int)
        for x, y, t, p in events.tolist():
            since = t - first - window.start_us
            if 0 <= since < 8_000:
                one[since * steps // 8_000, p, y, x] += 1
        assert one.sum() == window.events
        frames.append(np.minimum(one, clip))
    assert [each.start_us for each in found.windows] == list(range(0, 5_000 * len(frames), 5_000))
    there = sast.simulate(net, np.array(frames)).logits
    assert [list(each.logits) for each in found.windows] == there.tolist()
    assert found.logits == tuple(np.sum([each.logits for each in found.windows], axis=0).tolist())


def test_windows_without_events_say_nothing(net: sast.Net) -> None:
    """As in training, which leaves them out: a pause must not be answered by the biases alone."""
    events = np.concatenate([some_events(span=1_000), some_events(span=1_000)])
    events["t"][200:] += 50_000
    events["t"][-1] = events["t"][0] + 53_999  # in the last whole window
    cut = sast.RecordingOptions(window_us=2_000)
    found = sast.classify(net, events, sensor=SENSOR, recordings=cut)
    assert all(each.events for each in found.windows)
    assert found.logits == tuple(np.sum([each.logits for each in found.windows], axis=0).tolist())
    assert len(found.windows) == 3
    assert any("windows have no events and say nothing" in note for note in found.notes)


def test_events_behind_the_last_whole_window_are_counted(net: sast.Net) -> None:
    events = some_events(span=10_000)
    cut = sast.RecordingOptions(window_us=6_000)
    found = sast.classify(net, events, sensor=SENSOR, recordings=cut)
    behind = int((events["t"] >= events["t"][0] + 6_000).sum())
    assert found.notes == (f"{behind} events behind the last whole window are left out",)


def test_what_training_needed_can_be_undone(net: sast.Net, tmp_path: Path) -> None:
    options = sast.RecordingOptions(polarity="signed", columns=("x", "y", "t", "p"), sensor=SENSOR)
    assert isinstance(net.content, NetFile)
    data = {**net.file.data, "recordings": options.to_dict()}
    own = sast.Net(replace(net.content, data=data)).save(tmp_path / "own.net")
    text = "x,y,t,p\n" + "".join(f"{x},{y},{t},{p}\n" for x, y, t, p in some_events().tolist())
    (tmp_path / "a.csv").write_text("\ufeff" + text)  # as spreadsheets write it
    with pytest.raises(DataError, match="leave out --polarity signed"):
        sast.classify(own, tmp_path / "a.csv")
    found = sast.classifier(own, recordings={"polarity": "binary"}).classify_file(tmp_path / "a.csv")
    assert found.logits == sast.classify(net, some_events(), sensor=SENSOR).logits
    assert run(["classify", str(own.path), str(tmp_path / "a.csv"), "--polarity", "binary"]) == 0


def test_the_files_options_hold_unless_others_are_given(net: sast.Net, tmp_path: Path) -> None:
    data = {**net.file.data, "recordings": sast.RecordingOptions(window_us=4_000, sensor=SENSOR).to_dict()}
    assert isinstance(net.content, NetFile)
    own = sast.Net(replace(net.content, data=data))
    text = "x,y,t,p\n" + "".join(f"{x},{y},{t},{p}\n" for x, y, t, p in some_events().tolist())
    (tmp_path / "a.csv").write_text(text)
    found = sast.classify(own, tmp_path / "a.csv")
    assert len(found.windows) > 5
    assert {each.length_us for each in found.windows} == {4_000}
    longer = sast.classify(own, tmp_path / "a.csv", recordings=sast.RecordingOptions(window_us=20_000))
    assert {each.length_us for each in longer.windows} == {20_000}
    assert found.format == "text"
    with pytest.raises(DataError, match="nothing says the sensor's size; --sensor H W"):
        sast.classify(net, tmp_path / "a.csv")


def test_what_a_person_should_know_is_noted(net: sast.Net) -> None:
    large = some_events()
    found = sast.classify(net, large, sensor=(12, 12))
    assert found.notes == ("frames of 6 x 6 are sums over this sensor's 12 x 12 pixels",)
    timed = with_frames(net, duration_us=9_000)
    cut = sast.RecordingOptions(window_us=4_000)
    noted = sast.classify(timed, large, sensor=SENSOR, recordings=cut).notes
    assert noted[0] == "windows of 4000 us; it was trained on 9000 us"
    assert sast.classify(timed, large, sensor=SENSOR).notes == ()


def test_what_cannot_be_classified_is_refused(net: sast.Net, tmp_path: Path) -> None:
    events = some_events()
    own = sast.compile(sast.FloatNetwork([sast.FloatDense(np.eye(2), leak=0.5)], 2, steps=4))
    write_stock(tmp_path / "theirs.net", [dense(np.eye(4, dtype=int))])
    cases: list[tuple[Any, type[SastError], str]] = [
        (lambda: sast.classify(net, events), DataError, r"give sensor=\(H, W\)"),
        (lambda: sast.classify(net, events[:0], sensor=SENSOR), DataError, "has no events"),
        (lambda: sast.classify(net, events, sensor=(5, 6)), DataError, "has y = 5; expected 0 to 4"),
        (lambda: sast.classify(net, events[["x"]], sensor=SENSOR), DataError, "fields x; expected one row"),
        (lambda: sast.classify(own, events, sensor=SENSOR), NetFileError, "no data set belongs to it"),
        (lambda: sast.classify(sast.load(tmp_path / "theirs.net"), events), UsageError, "stock NetX file"),
        (lambda: sast.classify(net, tmp_path / "none.csv"), DataError, "no such file"),
        (lambda: sast.classify(net, tmp_path / "a.csv", sensor=SENSOR), UsageError, "sensor with a file"),
        (lambda: sast.classify(net, events, sensor=SENSOR, recordings=3), UsageError, "recordings"),  # type: ignore[arg-type]
    ]  # fmt: skip
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_the_command_names_a_bad_recording_or_leaves_it_out(
    net: sast.Net, tmp_path: Path, capsys: Any
) -> None:
    path = str(net.save(tmp_path / "a.net").path)
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    text = "x,y,t,p\n" + "".join(f"{x},{y},{t},{p}\n" for x, y, t, p in some_events().tolist())
    good.write_text(text)
    bad.write_text(text + "99,0,90000,1\n")
    sensor = ["--sensor", "6", "6"]
    assert run(["classify", path, str(good), str(bad), *sensor]) == 2
    shown = capsys.readouterr()
    assert f"{good}: " in shown.out
    assert str(bad) in shown.err
    assert "99" in shown.err
    assert run(["classify", path, str(bad), str(good), *sensor, "--skip-bad"]) == 0
    shown = capsys.readouterr()
    assert f"{good}: " in shown.out
    assert "left out 1 of 2 recordings" in shown.out
    assert run(["trace", path, str(good), *sensor, "--window-us", "9000", "--sample", "1"]) == 0
    assert f"{good}, window 1, on fast" in capsys.readouterr().out
    assert run(["trace", path, str(good), *sensor, "--sample", "1"]) == 2
    assert "no window 1; expected 0 to 0" in capsys.readouterr().err
