"""What is asked of every answer: an orderly refusal, or results that are the same in all engines."""

from __future__ import annotations

import io
import os
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.cli import run
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import OVERFLOWS, ROUNDINGS
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, Resampling, SumPool
from sast_deploy.program.record import first_difference
from tools.fuzzing.values import Rng, pick

REFUSED, ACCEPTED, SKIPPED = "refused", "accepted", "accepted, too large for the reference"
CODES = (0, 1, 2, 3, 4)  # exit codes that a command may end with
OPERATIONS = 300_000  # synapses times steps that the reference is given
NOTICES = ("sast-deploy: ", "WARNING: ", "note: ", "wrote ", "epoch ")


class Failed(Exception):  # noqa: N818 (the finding, not an error of this tool)
    """A finding; its kind is what findings are counted by."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind, self.detail = kind, detail


@dataclass(frozen=True)
class Command:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(arguments: list[str], name: str | tuple[str, ...]) -> Command:
    """Run a command of the product in this process; raise Failed unless it ends in an orderly way.

    name: what a refusal's line must contain, or any of several.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(arguments)
    ended = Command(code, out.getvalue(), err.getvalue())
    lines = [line for line in ended.err.splitlines() if line.strip() and not line.startswith(NOTICES)]
    if "internal error" in ended.err:
        raise Failed(_internal(arguments, lines), ended.err)
    if code not in CODES:
        raise Failed(f"exit code {code}", ended.err)
    if code in (2, 3):
        check_refusal("\n".join(lines), name)
    elif lines and code == 0:
        raise Failed(f"noise on stderr: {lines[-1][:60]}", ended.err)
    return ended


def _internal(arguments: list[str], lines: list[str]) -> str:
    """Where an internal error comes from: the same command once more, with its traceback."""
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        run(["--debug", *arguments])
    frames = [line.split('"') for line in err.getvalue().splitlines() if line.startswith('  File "')]
    own = [
        parts for parts in frames if "sast_deploy" in parts[1] and not parts[1].endswith("cli.py")
    ] or frames
    where = f"{Path(own[-1][1]).name}:{own[-1][2].rpartition(' in ')[2]}" if own else "?"
    return f"internal error {lines[-1].split('internal error, ')[-1].split(':')[0]} in {where}"


def check_refusal(message: str, name: str | tuple[str, ...]) -> None:
    """Raise Failed unless the message is one line, at most a screen, that names the file."""
    if "MemoryError" in message or "not enough memory" in message or "nable to allocate" in message:
        raise Failed("memory", message)
    if len(message.splitlines()) != 1:
        raise Failed("a refusal of several lines", message)
    if not any(each in message for each in ([name] if isinstance(name, str) else name)):
        raise Failed("a refusal that does not name the file", message)
    if len(message) > 2000:
        raise Failed("a refusal longer than a screen", message)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in message):
        raise Failed("control characters in a refusal", message)


def refusal(error: SastError, name: str | tuple[str, ...]) -> str:
    """REFUSED, where a reader's own error is in order."""
    check_refusal(str(error), name)
    return REFUSED


def blame(error: BaseException) -> Failed:
    """The finding that an exception is."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, MemoryError):
        return Failed("memory", "".join(traceback.format_exception(error)))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/sast_deploy/" in frame.filename] or list(frames)
    where = f"{os.path.basename(own[-1].filename)}:{own[-1].name}" if own else "?"
    return Failed(f"{type(error).__name__} in {where}", "".join(traceback.format_exception(error)[-12:]))


def check_program(rng: Rng, program: Program, *, compiled: bool = False) -> str:
    """Run an accepted program in both engines, on few steps; raise Failed for nonsense and differences.

    compiled: whether a profile made it, which has narrower integers.
    """
    wrong = next(doubts(program, compiled), None)
    if wrong:
        raise Failed(f"accepted: {wrong}")
    steps = min(program.steps, 6)
    work = steps * sum(_synapses(program, i) for i in range(len(program.layers)))
    if work > OPERATIONS * 100:
        return SKIPPED
    frames = _frames(rng, program, steps)
    try:
        fast = run_fast(program, frames, trace=True, threads=1, batch=pick(rng, (None, 1, 2)))
    except SastError as error:
        if "expected" not in str(error):
            raise
        return REFUSED
    if work > OPERATIONS:
        return SKIPPED
    difference = first_difference(fast, run_reference(program, frames, trace=True))
    if difference:
        raise Failed("engines differ", difference)
    return ACCEPTED


def _frames(rng: Rng, program: Program, steps: int) -> Any:
    most = program.input_max
    dtype = np.uint8 if most < 256 else np.int32
    frames = rng.integers(0, most + 1, (3, steps, *program.input_shape)).astype(dtype)
    frames[0] *= rng.random(frames[0].shape) < 0.3
    frames[1] = most
    return frames


def _synapses(program: Program, index: int) -> int:
    layer, shapes = program.layers[index], program.shapes()
    outputs = int(np.prod(shapes[index + 1], dtype=object))
    if isinstance(layer, Resampling):
        return outputs * layer.area
    return outputs * int(np.prod(layer.weight.shape[1:], dtype=object))


def doubts(program: Program, compiled: bool) -> Any:
    """What is outside the documented ranges, of profiles/README.md or a program's own; one line each."""
    rules, state = program.arithmetic, program.arithmetic.state
    names = {
        "overflow": OVERFLOWS,
        "leak_rounding": ROUNDINGS,
        "shift_rounding": ROUNDINGS,
        "comparison": (">=", ">"),
        "reset": ("subtract", "zero"),
    }
    yield from (key for key, known in names.items() if getattr(rules, key) not in known)
    numbers = {
        "state bits": (state.bits, 2, 24 if compiled else 32),
        "fraction bits": (state.fraction_bits, 0, state.bits - 1),
        "weight bits": (rules.weight_bits, 2, 8 if compiled else 32),
        "steps": (program.steps, 1, 10_000),
        "reset_interval": (program.reset_interval, 0, 2**31),
        "input_max": (program.input_max, 1, 255 if compiled else 2**31 - 1),
    }
    yield from (key for key, (value, low, high) in numbers.items() if not low <= value <= high)
    if not all(isinstance(label, str) for label in program.classes):
        yield "classes that are no texts"
    if not all(n >= 1 for shape in program.shapes() for n in shape):
        yield "an empty layer"
    for layer in program.layers:
        yield from _layer_doubts(layer, program)


def _layer_doubts(layer: Any, program: Program) -> Any:
    if isinstance(layer, Resampling):
        sizes = layer.kernel if isinstance(layer, SumPool) else layer.factors
        if min(sizes) < 1 or not -32 <= layer.exponent <= 32:
            yield f"{layer.kind} sizes or exponent"
        return
    outputs = len(layer.weight)
    limit = 1 << (program.arithmetic.weight_bits - 1)
    matrices = [layer.weight, *([layer.recurrent] if getattr(layer, "recurrent", None) is not None else [])]
    if any(part.min(initial=0) < -limit or part.max(initial=0) >= limit for part in matrices):
        yield "weights wider than weight_bits"
    arrays = {"delay": (layer.delay, 0, 63)}
    if not isinstance(layer, Readout):
        arrays |= {"v_decay": (layer.v_decay, 0, 4096), "u_decay": (layer.u_decay, 0, 4096)}
        if not 0 <= layer.reset_offset < max(program.reset_interval, 1):
            yield "reset_offset"
    for name, (values, low, high) in arrays.items():
        if values.min() < low or values.max() > high:
            yield name
    bias = layer.bias.shape
    if bias != (outputs,) and (isinstance(layer, Readout) or bias != (1,)):
        yield "bias shape"
    if not -32 <= layer.weight_exp <= 32:
        yield "weight_exp"
    if isinstance(layer, Conv2d) and (
        min(*layer.stride, *layer.dilation, layer.groups) < 1 or min(layer.padding) < 0
    ):
        yield "stride, dilation, groups or padding"
    if (
        isinstance(layer, Dense)
        and layer.recurrent is not None
        and layer.recurrent.shape != (outputs, outputs)
    ):
        yield "recurrent shape"
