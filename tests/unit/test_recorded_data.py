"""A .net file's record of its data, with every digest right, is still held against its program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError
from sast_deploy.data import DataInfo, FrameOptions
from sast_deploy.data.request import recorded_data
from sast_deploy.netx.file import NetFile, profile_of
from sast_deploy.program.profile import load_profile
from tests.programs import fc_program

PROFILE = load_profile("loihi-int8")


def good():
    program = replace(fc_program(np.random.default_rng(0)), arithmetic=PROFILE.arithmetic)
    frames = FrameOptions(steps=program.steps, clip=program.input_max, size=program.input_shape[1:])
    names = ("auto", "digits-saccade", "SIMULATED: made", True, "nowhere", 5, 5)
    data = DataInfo(*names, program.classes, (), None, None, "0")
    return NetFile(program, PROFILE.text, frames=frames.to_dict(), data=data.to_dict())


def test_a_right_record_is_read():
    net = good()
    data, frames = recorded_data(net, Path("a.net"))
    assert (data.classes, frames.clip) == (net.program.classes, net.program.input_max)
    assert profile_of(net, Path("a.net")).name == "loihi-int8"


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("frames", {"clip": 255}, "clip 255, its program 4"), ("frames", {"steps": 7}, "steps 7"),
        ("frames", {"size": [9, 9]}, "size"), ("data", {"classes": ["a", "b", "c"]}, "classes"),
        ("frames", {"clip": "x"}, "does not say what"), ("data", {"classes": 3}, "does not say what"),
        ("frames", {"fps": 3}, "unknown key fps"),
    ],
)  # fmt: skip
def test_a_record_of_other_data_is_refused(part, change, message):
    net = good()
    wrong = replace(net, **{part: {**getattr(net, part), **change}})
    with pytest.raises(NetFileError, match=f"^a.net: .*{message}"):
        recorded_data(wrong, Path("a.net"))


def test_a_profile_of_other_rules_is_refused():
    wrong = replace(good(), profile_text=load_profile("loihi-int4").text)
    with pytest.raises(NetFileError, match="has other rules than the program"):
        profile_of(wrong, Path("a.net"))
