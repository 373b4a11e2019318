"""Does Lava work here? `python -m sast_deploy.engines.lava.selfcheck` runs a small network in a Lava child.

Prints one line, OK with the versions (exit code 0), or the reason on stderr (exit code 3).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from sast_deploy.base.errors import Exit, LavaError, SastError
from sast_deploy.base.versions import installed_version
from sast_deploy.engines.lava.run import run_lava
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, frozen_ints
from sast_deploy.program.record import first_difference

STALL_SECONDS = 30.0


def check() -> str:
    """Run eight samples on Lava and compare every membrane and spike with the reference.

    Returns:
        One line: versions and seconds.

    Raises:
        LavaError: Lava is missing, died, hung or disagrees with the reference.
    """
    generator = np.random.default_rng(0)
    program = _program(generator)
    frames = generator.integers(0, 3, (8, program.steps, *program.input_shape), dtype=np.uint8)
    began = time.perf_counter()
    record = run_lava(program, frames, trace=True, batch=3, stall=STALL_SECONDS)
    difference = first_difference(run_reference(program, frames, trace=True), record)
    if difference:
        raise LavaError(f"Lava and the reference disagree: {difference}")
    missing, names = "(not installed as a package)", ("lava-nc", "lava-dl", "numpy")
    found = ", ".join(f"{name} {installed_version(name) or missing}" for name in names)
    return f"OK: {found}; a small network agreed with the reference in {time.perf_counter() - began:.1f} s"


def _program(generator: np.random.Generator) -> Program:
    rules = Arithmetic(QFormat(8, 4), 4, "saturate", "toward-zero", "half-up", ">=", "subtract")
    first, last = (frozen_ints(generator.integers(-7, 8, shape)) for shape in ((10, 18), (3, 10)))
    ramp, half = np.arange(10), frozen_ints([2048])
    readout = Readout(last, frozen_ints([1, 0, -1]), 1, v_decay=half, decoding="max")
    hidden = Dense(first, frozen_ints(ramp - 3), frozen_ints(ramp + 9), 1, half)
    return Program("selfcheck", (2, 3, 3), 2, 5, ("a", "b", "c"), rules, (hidden, readout))


def main() -> int:
    """Print the outcome; returns the exit code."""
    try:
        print(check())
    except SastError as error:
        print(error, file=sys.stderr)
        return Exit.ENVIRONMENT
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
