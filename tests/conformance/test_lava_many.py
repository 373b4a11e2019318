"""Random programs of every kind and width on Lava: a few here, SAST_LAVA_PROGRAMS=1000 for as many."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.engines.lava import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.record import first_difference
from tests.anyprogram import Seeded, any_frames, any_program
from tests.programs import fc_program

pytestmark = pytest.mark.slow

MOST_STEPS = 70  # the longest delay and a few; Lava takes milliseconds for each
FIRST = int(os.environ.get("SAST_LAVA_FIRST", "0"))
PROGRAMS = int(os.environ.get("SAST_LAVA_PROGRAMS", "8"))


@pytest.mark.timeout(0)
def test_random_programs_equal_the_reference_on_every_membrane_and_spike(tmp_path):
    path = tmp_path / "any.net"  # NetX wants a file; what runs is `program`
    write_net(path, NetFile(fc_program(np.random.default_rng(0)), ""))
    for seed in range(FIRST, FIRST + PROGRAMS):
        choose = Seeded(11, seed)
        program = any_program(choose, orders=True, integrates=seed % 4 == 3)
        program = replace(program, steps=min(program.steps, MOST_STEPS))
        frames = any_frames(choose, program, 3)
        expected = run_reference(program, frames, trace=True)
        found = run_lava(program, frames, trace=True, batch=2, stall=60)
        assert first_difference(expected, found) is None, seed
