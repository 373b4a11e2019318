"""A minute of the two tools: tools/fuzz.py on every reader, tools/faults.py on a few commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.fuzzing.pool import Task, generators
from tools.fuzzing.targets import TARGETS

CHECKOUT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


PLANTED = """
import sys
sys.path[:0] = [{checkout!r}]
from tools import fuzz
fuzz._prepare(None)
from sast_deploy.errors import DataError
from tools.fuzzing import pool, recordings, seeds

def few_seeds(base):
    for name in ("data", "cache"):
        (base / name).mkdir()
    return seeds.Seeds({{"bin": {{"a.bin": bytes(50)}}}}, {{}})

def reader(path):
    {plant}

seeds.make_seeds, recordings.read_nmnist = few_seeds, reader
pool.warm_up = recordings.check_events = lambda *_: None
sys.exit(fuzz.main(["--target", "bin", "--inputs", "1", "--jobs", "1", "--save", {kept!r}]))
"""


def tool(name, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "SAST_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, f"tools/{name}", *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_reader_is_fuzzed(tmp_path):
    done = tool("fuzz.py", "--inputs", "100", "--seed", "1", "--jobs", "2", "--save", tmp_path / "failures")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in TARGETS:
        (row,) = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == [name]]
        assert int(row[1]) == 100
        assert int(row[2]) + int(row[3]) + int(row[5]) == 100, row  # refused, accepted, not made
        assert int(row[5]) < 5


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("raise ZeroDivisionError", "ZeroDivisionError in"),
        ("while True: pass", "hangs over 5 s"),
        ("import time; time.sleep(99)", "hangs over 5 s"),
        ("b = bytearray(3 << 30)", "memory"),
        ("open('/etc/hostname').read()", "opens /etc/hostname"),
        ("open('stray', 'w').write('')", "leaves stray in the current folder"),
        ("import subprocess; subprocess.run('true')", "calls subprocess.Popen"),
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "calls socket."),
        ("from tools.fuzzing import marker; marker.hit()", "code of the file ran"),
        ("raise DataError('two\\nlines')", "a refusal that does not name the file"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(plant, kind, tmp_path):
    """A reader that does what none may: a check that cannot fail is none."""
    script = tmp_path / "planted.py"
    script.write_text(PLANTED.format(checkout=str(CHECKOUT), plant=plant, kept=str(tmp_path / "kept")))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"bin: {kind}" in done.stdout, done.stdout + done.stderr
    assert list((tmp_path / "kept").iterdir())


def test_an_input_is_the_same_every_time():
    one, two = (generators(Task("net", 3, 17)) for _ in range(2))
    assert [rng.integers(1 << 60) for rng in one] == [rng.integers(1 << 60) for rng in two]


def test_commands_are_killed_filled_and_starved():
    chosen = (
        "--commands",
        "compile,simulate-input,inspect",
        "--faults",
        "kill,small-files,full-disk,stdout,vanish",
    )
    done = tool("faults.py", *chosen, "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after which something did not hold" in done.stdout
