"""Readers that do what none may, planted one by one: tools/fuzz.py finds each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.attacks.tool import CHECKOUT

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
