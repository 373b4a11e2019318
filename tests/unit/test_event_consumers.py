"""Whoever takes frames takes them as events, too, and makes the same of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sast_deploy as sast
from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.calibration.samples import draw
from sast_deploy.data.frameset import FrameSplit
from sast_deploy.engines import INSTALLED
from sast_deploy.engines.frames import as_frames, check_frames
from sast_deploy.engines.lava.shared import map_frames, share_frames
from sast_deploy.engines.registry import LavaOptions, prepare
from sast_deploy.program.program import Program
from sast_deploy.program.record import first_difference, take
from sast_deploy.reports.synops import count_operations
from sast_deploy.training.batches import BatchFeeder
from sast_deploy.training.recipes import BEST
from tests.networks import float_fc
from tests.programs import rich_program


@pytest.fixture(scope="module")
def program() -> Program:
    return rich_program(np.random.default_rng(0))


@pytest.fixture(scope="module")
def frames(program: Program) -> np.ndarray:
    generator = np.random.default_rng(1)
    shape = (9, program.steps, *program.input_shape)
    values = generator.integers(0, program.input_max + 1, shape) * (generator.random(shape) < 0.3)
    return values.astype(np.uint8)


@pytest.fixture(scope="module")
def events(frames: np.ndarray) -> EventFrames:
    return EventFrames.from_dense(frames)


@pytest.mark.parametrize("name", [name for name in INSTALLED if name != "lava"])
def test_engines_give_the_same_record(name, program, frames, events):
    engine = prepare(name, program, lava=LavaOptions(), batch=2)
    expected = engine(frames, trace=True)
    assert expected.counts[0].sum() > 0
    assert first_difference(engine(events, trace=True), expected) is None
    assert first_difference(engine(events), engine(frames)) is None


def test_frames_that_do_not_fit_are_refused_as_events_too(program, frames, events):
    check_frames(program, events, "here")
    assert as_frames(program, events, "here") is events
    large = frames.copy()
    large[8, 0, 0, 0, 0] = program.input_max + 1
    for wrong in (EventFrames.from_dense(large), EventFrames.from_dense(frames[..., :-1].copy())):
        with pytest.raises(DataError, match=r"^here: frames "):
            check_frames(program, wrong, "here")


def test_operations_are_counted_alike(program, frames, events):
    record = prepare("fast", program)(frames)
    assert count_operations(program, events, record.counts) == count_operations(
        program, frames, record.counts
    )


def test_lava_shares_them_as_an_array(frames, events, tmp_path):
    for kind in (np.uint8, np.int32):
        shared = map_frames(share_frames(tmp_path, events, kind))
        assert shared.dtype == kind
        assert np.array_equal(shared, frames)


def test_minibatches_are_the_same(frames, events):
    labels, chosen = np.arange(len(frames)), np.array([7, 0, 3, 3])
    batches = []
    for each in (frames, events):
        feeder = BatchFeeder(each, labels, 3, torch.device("cpu"))
        changed = feeder.batch(chosen, BEST, np.random.default_rng(2))
        batches.append((*feeder.batch(chosen), *changed, *next(feeder.in_order(chosen[:2]))))
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(batches[0][0], batches[0][2])


def test_parts_are_chosen_alike(frames, events):
    chosen = np.array([1, 4, 5])
    assert np.array_equal(take(events, chosen).dense(), take(frames, chosen))
    assert take(events, np.arange(len(events))) is events
    split = FrameSplit(events, np.arange(9), tuple("abcdefghi"), 900)
    part = split.part(chosen)
    assert isinstance(part.frames, EventFrames)
    assert np.array_equal(part.frames.dense(), frames[chosen])
    assert (part.ids, part.n_events, part.labels.tolist()) == (("b", "e", "f"), 300, [1, 4, 5])
    drawn, expected = (draw(each, split.labels, np.arange(9), 4, seed=3) for each in (events, frames))
    assert np.array_equal(drawn.frames, expected.frames)
    assert np.array_equal(drawn.labels, expected.labels)


@pytest.mark.slow
def test_the_front_door_takes_them():
    """Simulated with a report and a check, verified, calibrated on, looked at for saturation."""
    network = float_fc(scale=2.0)
    generator = np.random.default_rng(4)
    shape = (12, network.steps, *network.input_shape)
    frames = (generator.integers(0, 5, shape) * (generator.random(shape) < 0.3)).astype(np.uint8)
    events, labels = EventFrames.from_dense(frames), np.arange(12) % 3
    net = sast.compile(network, "loihi-int8")
    runs = [sast.simulate(net, each, labels, check=None) for each in (frames, events)]
    assert runs[0].report.operations == runs[1].report.operations
    assert runs[1].report.run.difference is None
    assert runs[1].report.run.checked == 12
    assert np.array_equal(runs[0].predictions, runs[1].predictions)
    assert sast.verify(net, events, engines=["fast"]).ok
    assert sast.inspect(net, events).layers == sast.inspect(net, frames).layers
    calibrated = [sast.compile(network, "loihi-int4", calibrate=(each, labels)) for each in (frames, events)]
    assert calibrated[0].program.digest() == calibrated[1].program.digest()
