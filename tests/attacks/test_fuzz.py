"""A minute of tools/fuzz.py on every reader."""

from __future__ import annotations

import pytest

from tests.attacks.tool import tool
from tools.fuzzing.pool import Task, generators
from tools.fuzzing.targets import TARGETS

INPUTS = 60  # of each reader
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_every_reader_is_fuzzed(tmp_path):
    done = tool("fuzz.py", "--inputs", INPUTS, "--seed", "1", "--jobs", "2", "--save", tmp_path / "failures")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in TARGETS:
        (row,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == [name]]
        assert int(row[1]) == INPUTS
        assert int(row[2]) + int(row[3]) + int(row[5]) == INPUTS, row  # refused, accepted, not made
        assert int(row[5]) < 5


def test_an_input_is_the_same_every_time():
    one, two = (generators(Task("net", 3, 17)) for _ in range(2))
    assert [rng.integers(1 << 60) for rng in one] == [rng.integers(1 << 60) for rng in two]
