"""Lava on what other people's networks have: filters, delays, recurrence, averages, resets, no readout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.engines.lava import run, run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Readout, SumPool, frozen_ints
from sast_deploy.program.record import first_difference
from tests.programs import decoder_program, random_frames, rich_program, vectorised

pytestmark = pytest.mark.slow

# (overflow, leak rounding, shift rounding, comparison, reset)
CASES = [
    ("saturate-symmetric", "toward-zero", "half-up", ">", "zero"),
    ("wrap", "floor", "half-even", ">=", "subtract"),
]


def spiking_last(rng, rules):
    """The rich program without its readout; the last layer is recurrent and cleared by interval."""
    program = rich_program(rng, rules)
    *hidden, _ = program.layers
    last = replace(hidden[-1], recurrent=frozen_ints(rng.integers(-7, 8, (5, 5))))
    return replace(program, layers=(*hidden[:-1], last), classes=tuple("abcde"))


def check(program, frames, path, **options):
    write_net(path, NetFile(program, ""))
    expected = run_reference(program, frames, trace=True)
    assert first_difference(vectorised(program, frames), expected) is None
    found = run_lava(path, frames, trace=True, stall=60, **options)
    assert first_difference(expected, found) is None
    return expected


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("make", [rich_program, spiking_last])
def test_every_feature_of_a_program(make, case, tmp_path):
    rng = np.random.default_rng([8, *str(case).encode()])
    program = make(rng, Arithmetic(QFormat(8, 4), 4, *case))
    frames = random_frames(rng, program, samples=7)
    record = check(program, frames, tmp_path / "rich.net", batch=3)
    assert all(0 < trace.spikes.mean() < 1 for trace in record.traces)
    assert isinstance(program.layers[-1], Readout) == (make is rich_program)
    assert any(isinstance(layer, SumPool) and layer.exponent for layer in program.layers)


@pytest.mark.parametrize("make", [rich_program, spiking_last])
@pytest.mark.parametrize("lanes", [2, 3])
def test_networks_side_by_side_share_the_samples(make, lanes, tmp_path, monkeypatch):
    """Seven samples in parts of two, three or four; batches of two that are full or half empty."""
    monkeypatch.setattr(run, "choose_lanes", lambda *_: lanes)
    rng, told = np.random.default_rng(lanes), []
    program = make(rng, Arithmetic(QFormat(8, 4), 4, *CASES[1]))
    frames = random_frames(rng, program, samples=7)

    def tell(samples):
        return (told.append(sample) or sample for sample in samples)

    check(program, frames, tmp_path / "rich.net", batch=2, progress=tell)
    assert told == list(range(7))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_upsamplings(case, tmp_path):
    rng = np.random.default_rng([9, *str(case).encode()])
    program = decoder_program(rng, Arithmetic(QFormat(8, 4), 4, *case))
    record = check(program, random_frames(rng, program, samples=5), tmp_path / "decoder.net", batch=2)
    assert all(0 < trace.spikes.mean() < 1 for trace in record.traces)


def test_the_frames_say_how_many_steps_there_are(tmp_path):
    program = rich_program(np.random.default_rng(0))
    longer = random_frames(np.random.default_rng(1), replace(program, steps=14), samples=2)
    record = check(program, longer, tmp_path / "a.net")
    assert record.traces[0].spikes.shape[1] == 14
    with pytest.raises(DataError, match="expected integers"):
        run_lava(tmp_path / "a.net", longer[..., :-1])
    with pytest.raises(DataError, match="no samples or steps"):
        run_lava(tmp_path / "a.net", longer[:, :0])
