"""Integers that somebody gives become a network: run, saved, loaded, without a profile; Loihi's own, too."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.netx.export import EXPORT

ROOT = Path(__file__).resolve().parents[2]
# Of the right class over 1450 steps, and of the next: what somebody else's model of Loihi gave.
SPIKES = {1: (211, 56), 2: (133, 26), 3: (210, 43)}
IN_700 = {1: 96, 4: 112, 5: 82, 6: 115, 7: 77, 8: 79, 9: 77, 10: 84}


def small(comparison: str = ">") -> sast.Program:
    """One neuron that meets its threshold exactly in the first step."""
    rules = sast.Arithmetic(
        sast.QFormat(24, 0), 8, "saturate", "toward-zero", "toward-zero", comparison, "zero"
    )
    one = np.ones(1, np.int32)
    layer = sast.Dense(
        80 * np.ones((1, 1), np.int32), bias=0 * one, vth=5120 * one, weight_exp=6, v_decay=128 * one
    )
    return sast.Program("given", (1, 1, 1), 1, 3, ("0",), rules, (layer,))


def test_given_integers_are_run_as_they_are(tmp_path: Path) -> None:
    frames = np.ones((1, 3, 1, 1, 1), np.uint8)
    # At ">" the first step only meets the threshold; 5120 * (4096 - 128) / 4096 + 5120 is above it.
    for comparison, spikes in ((">", 1), (">=", 3)):
        net = sast.Net.from_program(small(comparison))
        assert sast.simulate(net, frames, check=None).logits.tolist() == [[spikes]]
        assert sast.verify(net, frames, engines=["fast"]).ok


def test_they_are_saved_without_a_profile_and_loaded(tmp_path: Path) -> None:
    net = sast.Net.from_program(small()).save(tmp_path / "a.net")
    found = sast.load(tmp_path / "a.net")
    assert found.program.digest() == small().digest()
    assert found.file.known is not None
    assert sast.verify(found, engines=["fast"]).ok
    assert sast.inspect(found).summary["profile"] == "none"
    assert sast.simulate(found, np.ones((1, 3, 1), int)).report.to_dict()["profile"] == "none"
    with pytest.raises(sast.SastError, match="compiled for no profile: its integers were given"):
        _ = found.profile
    assert EXPORT.read(tmp_path / "a.net")["profile"] == "none"  # type: ignore[index]
    net.save(tmp_path / "a.net")
    with pytest.raises(sast.SastError, match=r"holds a \.net file of program"):
        sast.Net.from_program(small(">=")).save(tmp_path / "a.net")


def test_known_answers_may_be_left_out_and_other_things_are_refused() -> None:
    net = sast.Net.from_program(small(), known_answers=False)
    with pytest.raises(sast.SastError, match="holds no known answers"):
        sast.verify(net)
    with pytest.raises(sast.SastError, match="program = 'a'; expected a Program"):
        sast.Net.from_program("a")  # type: ignore[arg-type]


def loihi() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loihi_gesture", ROOT / "examples" / "loihi_gesture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_weights(folder: Path) -> None:
    """Files of weights as the gesture network has them, random ones."""
    rng = np.random.default_rng(0)
    sizes = {"conv1": 800, "conv2": 4608, "fc1": 512 * 2048, "fc2": 11 * 512}
    sizes |= {"pool1": 16, "pool2": 4, "pool3": 4}
    for name, size in sizes.items():
        values = np.full(size, 28) if name.startswith("pool") else rng.integers(-6, 9, size)
        (folder / f"{name}.txt").write_text("\n".join(map(str, values.tolist())))


@pytest.mark.slow
def test_the_gesture_example_builds_a_network_that_engines_agree_on(tmp_path: Path) -> None:
    write_weights(tmp_path)
    net = loihi().build(tmp_path)
    frames = (np.random.default_rng(1).random((12, 2, 128, 128)) < 0.02).astype(np.uint8)
    short = sast.Net.from_program(replace(net.program, steps=12), known_answers=False)
    assert sast.verify(short, frames, engines=["vectorised", "fast"]).ok
    events = np.array([[3, 5, 0x80, 1, 244], [3, 5, 0, 1, 245]], np.uint8)  # x, y, p and 500, 501 us
    events.tofile(tmp_path / "a.bs2")
    found = loihi().read(tmp_path / "a.bs2", 3)
    assert np.argwhere(found).tolist() == [[0, 1, 5, 3], [1, 0, 5, 3]]


@pytest.mark.slow
def test_a_strangers_loihi_network_gives_the_spikes_that_it_gave(shared_data: Path) -> None:
    weights, recordings = shared_data / "loihi_gesture_net", shared_data / "dvsgesture10"
    if not weights.is_dir() or not recordings.is_dir():
        pytest.skip("SAST_TEST_DATA has no loihi_gesture_net/ and dvsgesture10/")
    example = loihi()
    net = example.build(weights)
    half = sast.Net.from_program(replace(net.program, steps=700), known_answers=False)
    for k in range(1, 11):
        frames = example.read(recordings / f"{k}.bs2")
        run = sast.simulate(net, frames)
        assert run.predictions.tolist() == [k - 1]
        if k in SPIKES:
            assert tuple(np.sort(run.logits[0])[:-3:-1].tolist()) == SPIKES[k]
        if k in IN_700:
            assert sast.simulate(half, frames[:700]).logits[0, k - 1] == IN_700[k]
