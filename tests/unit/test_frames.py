"""What every engine takes and refuses: the same frames, with the same words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.frames import CHUNK, check_frames
from sast_deploy.engines.lava import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.program import Program
from tests.programs import fc_program

PROGRAM = fc_program(np.random.default_rng(0))  # inputs 0..4
SIGNED = replace(PROGRAM, input_min=-3, input_max=300)
ENGINES = {
    "reference": run_reference,
    "vectorised": run_vectorised,
    "fast": run_fast,
    "lava": lambda program, frames: run_lava(program, frames),
}


def frames_of(program: Program, value=0, dtype=np.uint8, shape=None):
    frames = np.zeros(shape or (3, 6, *program.input_shape), dtype)
    if frames.size:
        frames.ravel()[-1] = value
    return frames


WRONG = {
    "floats": (PROGRAM, frames_of(PROGRAM, 1, float), r"frames of float64 \(3, 6, 2, 5, 4\); expected int"),
    "not a number": (PROGRAM, frames_of(PROGRAM, np.nan, np.float32), "frames of float32"),
    "bool": (PROGRAM, frames_of(PROGRAM, 1, bool), "frames of bool"),
    "complex": (PROGRAM, frames_of(PROGRAM, 1, complex), "frames of complex128"),
    "objects": (PROGRAM, frames_of(PROGRAM, 1, object), "frames of object"),
    "a list": (PROGRAM, frames_of(PROGRAM).tolist(), "frames of list"),
    "flat": (PROGRAM, frames_of(PROGRAM, shape=(3, 6, 40)), r"frames of uint8 \(3, 6, 40\)"),
    "another map": (PROGRAM, frames_of(PROGRAM, shape=(3, 6, 2, 4, 5)), r"expected .*time, 2, 5, 4\)"),
    "too large": (PROGRAM, frames_of(PROGRAM, 5), r"frames with values 0\.\.5; expected 0\.\.4"),
    "negative": (PROGRAM, frames_of(PROGRAM, -1, np.int8), r"values -1\.\.0; expected 0\.\.4"),
    "below": (SIGNED, frames_of(SIGNED, -4, np.int64), r"values -4\.\.0; expected -3\.\.300"),
    "above": (SIGNED, frames_of(SIGNED, 301, np.uint16), r"values 0\.\.301; expected -3\.\.300"),
    "far above": (SIGNED, frames_of(SIGNED, 2**64 - 1, np.uint64), r"values 0\.\.18446744073709551615"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", WRONG)
def test_every_engine_refuses_the_same(case, engine):
    program, frames, message = WRONG[case]
    with pytest.raises(DataError, match=message):
        ENGINES[engine](program, frames)


def test_the_last_of_many_values_is_looked_at():
    frames = np.zeros((CHUNK // 200, 6, *PROGRAM.input_shape), np.uint8)
    check_frames(PROGRAM, frames, "here")
    frames[-1, -1, -1, -1, -1] = 9
    with pytest.raises(DataError, match=r"^here: frames with values 0\.\.9"):
        check_frames(PROGRAM, frames, "here")
