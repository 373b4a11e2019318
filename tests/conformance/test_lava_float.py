"""Lava on compiled networks that have what other people's have."""

from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.compiler import compile_network
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.lava import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.record import first_difference
from tests.networks import exact_network, exact_profile
from tests.programs import random_frames

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_lava_runs_what_the_compiler_makes_of_every_feature(seed, tmp_path):
    network = exact_network(seed)
    program = compile_network(network, exact_profile(network.reset, fraction_bits=1), "exact").program
    frames = random_frames(np.random.default_rng(seed), program, samples=5)
    write_net(tmp_path / "a.net", NetFile(program, ""))
    expected = run_reference(program, frames, trace=True)
    assert first_difference(expected, run_lava(tmp_path / "a.net", frames, trace=True, stall=60)) is None
    assert first_difference(expected, run_fast(program, frames, trace=True)) is None
