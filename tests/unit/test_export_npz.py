"""The standalone runner: NumPy alone, equal to the reference on every membrane, spike and logit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.exchange.npz import run as runner
from sast_deploy.exchange.npz.write import write_npz
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.program import Program
from tests.exports import any_export
from tests.programs import conv_program, fc_program

BARE = """
import runpy, sys
sys.argv = [sys.argv[1]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    assert not [name for name in sys.modules if name.startswith(("sast", "torch", "h5py"))]
"""


def written(program: Program, folder: Path) -> Path:
    for name, content in write_npz(Subject(program)).files.items():
        (folder / name).write_bytes(content)
    return folder


def replayed(folder: Path) -> subprocess.CompletedProcess[str]:
    """The runner in an interpreter of its own, which sees no package of ours."""
    command = [sys.executable, "-I", "-c", BARE, str(folder / "run.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("seed", range(24))
def test_every_value_of_random_programs(seed: int, tmp_path: Path) -> None:
    """The runner's answers on frames, against the reference's own; not only by what it says of itself."""
    program = any_export(seed)
    answers = Subject(program).answers
    with np.load(written(program, tmp_path) / "network.npz", allow_pickle=False) as net:
        for sample, frames in enumerate(answers.frames):
            membranes, spikes, logits = runner.run(net, frames)
            assert membranes.tolist() == answers.membranes[sample].tolist()
            assert spikes.tolist() == answers.spikes[sample].tolist()
            assert logits.tolist() == answers.logits[sample].tolist()


@pytest.mark.slow
def test_it_runs_alone_and_its_exit_code_says_what_it_found(tmp_path: Path) -> None:
    folder = written(conv_program(np.random.default_rng(0)), tmp_path)
    done = replayed(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 vectors: every membrane potential, spike and logit is as expected\n"
    with np.load(folder / "network.npz", allow_pickle=False) as net:
        arrays = dict(net)
    arrays["known_membranes"] = arrays["known_membranes"].copy()
    arrays["known_membranes"][1, 2, 3] += 1
    np.savez(folder / "network.npz", **arrays)
    done = replayed(folder)
    assert done.returncode == 1
    found = arrays["known_membranes"][1, 2, 3] - 1
    assert done.stdout == f"vector 1 membranes [2, 3] are {found}\n"


def test_rules_and_arrays_are_the_programs(tmp_path: Path) -> None:
    program = fc_program(np.random.default_rng(4))
    with np.load(written(program, tmp_path) / "network.npz", allow_pickle=False) as net:
        rules = json.loads(str(net["rules"]))
        assert rules["digest"] == program.digest()
        assert rules["state_bits"] == 8
        assert (rules["reset"], rules["reset_order"], rules["decoding"]) == ("subtract", "after-leak", "last")
        for number, layer in enumerate(program.layers):
            assert np.array_equal(net[f"layer{number}_weight"], layer.weight)
        assert rules["layers"][0]["weight_exp"] == program.layers[0].weight_exp
