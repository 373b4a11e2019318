"""Readers of recordings: every format gives the events that were written, and what is wrong is said."""

from __future__ import annotations

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import DataError
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.recording import FORMATS, find_format, look_at, read_events, windows
from tests import recordingfiles as files
from tests.recordingfiles import EVERY, some_events

XYTP = ("x", "y", "t", "p")
OPTIONS = {
    "slayer.bs2": {"sensor": (34, 30)},
    "records.npy": {"sensor": (34, 30)},
    "columns.npy": {"sensor": (34, 30), "columns": XYTP},
    "plain.txt": {"sensor": (34, 30), "columns": XYTP},
    "names.csv": {"sensor": (34, 30)},
    "group.h5": {"sensor": (34, 30)},
}


def written(tmp_path, content, name="events.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", EVERY)
def test_every_format_gives_the_events_that_were_written(name, tmp_path):
    make, sensor, _ = EVERY[name]
    events = some_events(300, 1, sensor)
    path = written(tmp_path, make(events), name)
    found, size, facts = read_events(path, RecordingOptions(**OPTIONS.get(name, {})))
    np.testing.assert_array_equal(found, events)
    assert size == sensor
    assert (facts.events, facts.off + facts.on, facts.on) == (300, 300, int(events["p"].sum()))
    assert (facts.first_us, facts.last_us) == (1000, int(events["t"][-1]))
    assert not facts.odd


def test_every_reader_is_tested(tmp_path):
    files.write_every(tmp_path)
    assert {find_format(tmp_path / name) for name in EVERY} == {*FORMATS}
