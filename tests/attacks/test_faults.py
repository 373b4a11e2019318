"""tools/faults.py on a few commands."""

from __future__ import annotations

import pytest

from tests.attacks.tool import tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_commands_are_killed_filled_and_starved():
    chosen = ("--commands", "compile,simulate-input", "--faults", "kill,small-files,full-disk,stdout,vanish")
    done = tool("faults.py", *chosen, "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after which something did not hold" in done.stdout
