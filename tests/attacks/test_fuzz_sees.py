"""Readers that do what none may, planted one by one: tools/fuzz.py finds each."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.attacks.tool import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What a reader does, and what the fuzzer says of it.
PLANTS = {
    "signal": ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    "error": ("raise ZeroDivisionError", "ZeroDivisionError in"),
    "loop": ("while True: pass", "hangs over 1 s"),
    "sleep": ("import time; time.sleep(99)", "hangs over 1 s"),
    "memory": ("b = bytearray(3 << 30)", "memory"),
    "open": ("open('/etc/hostname').read()", "opens /etc/hostname"),
    "stray": ("open('stray', 'w').write('')", "leaves stray in the current folder"),
    "process": ("import subprocess; subprocess.run('true')", "calls subprocess.Popen"),
    "connect": ("import socket; socket.create_connection(('127.0.0.1', 9))", "calls socket."),
    "code": ("from tools.fuzzing import marker; marker.hit()", "code of the file ran"),
    "words": ("raise DataError('two\\nlines')", "a refusal that does not name the file"),
}
SCRIPT = """
import dataclasses, sys
sys.path[:0] = [{checkout!r}]
from tools import fuzz
fuzz._prepare(None)
from sast_deploy.base.errors import DataError
from tools.fuzzing import pool, recordings, seeds
from tools.fuzzing.targets import TARGETS

PLANTS = {plants!r}

def few_seeds(base):
    for name in ("data", "cache"):
        (base / name).mkdir()
    return seeds.Seeds({{name: {{"a.bin": bytes(50)}} for name in PLANTS}}, {{}})

def probing(plant):
    def reader(path):
        exec(plant, {{"DataError": DataError}})

    def probe(*arguments):
        recordings.read_nmnist = reader
        return TARGETS["bin"].probe(*arguments)
    return probe

for name, plant in PLANTS.items():
    TARGETS[name] = dataclasses.replace(TARGETS["bin"], name=name, probe=probing(plant))
seeds.make_seeds, pool.SECONDS = few_seeds, 1.0
pool.warm_up = recordings.check_events = lambda *_: None
arguments = ["--target", ",".join(PLANTS), "--inputs", "1", "--jobs", "1", "--save", {kept!r}]
sys.exit(fuzz.main(arguments))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the fuzzer says of all plants."""
    folder = tmp_path_factory.mktemp("planted")
    plants = {name: plant for name, (plant, _) in PLANTS.items()}
    script = SCRIPT.format(checkout=str(CHECKOUT), plants=plants, kept=str(folder / "kept"))
    (folder / "planted.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "planted.py"], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(list((folder / "kept").iterdir())) == len(PLANTS)
    return done.stdout


@pytest.mark.parametrize("name", PLANTS)
def test_the_fuzzer_sees_what_it_looks_for(name, said):
    """A reader that does what none may: a check that cannot fail is none."""
    assert f"FAILED 1 x {name}: {PLANTS[name][1]}" in said
