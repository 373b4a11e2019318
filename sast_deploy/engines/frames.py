"""What every engine takes: the one check of frames against a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames

if TYPE_CHECKING:
    from sast_deploy.compiler.floatnet import FloatNetwork
    from sast_deploy.program.program import Program

Array = npt.NDArray[np.integer[Any]]
Frames = Array | EventFrames  # `np.asarray` of samples chosen from either is an array
Progress = Callable[[Iterable[int]], Iterable[int]]  # wraps the finished samples
Takes: TypeAlias = "Program | FloatNetwork"  # what has an input_shape, steps, input_min and input_max
CHUNK = 16 << 20  # bytes looked at in one go: frames may be mapped from a file


def check_frames(program: Takes, frames: Frames, where: Path | str) -> None:
    """Raise DataError for frames that are not integers input_min..input_max of the program's shape.

    frames: (samples, time, C, H, W), of any integer type or as events; there may be no samples or steps.
    """
    check_shape(program, frames, where)
    rows = max(1, CHUNK // max(1, frames[:1].nbytes))
    for start in range(0, len(frames), rows):
        check_values(program, frames[start : start + rows], where)


def check_shape(program: Takes, frames: Frames, where: Path | str) -> None:
    """The part of `check_frames` that needs no values."""
    if not isinstance(frames, np.ndarray | EventFrames) or isinstance(frames, np.ma.MaskedArray):
        found = f"frames of {type(frames).__name__}"
    elif frames.dtype.kind not in "iu" or frames.ndim != 5 or frames.shape[2:] != program.input_shape:
        found = f"frames of {frames.dtype} {frames.shape}"
    else:
        return
    shape = ", ".join(map(str, program.input_shape))
    raise DataError(found, where=where, expected=f"integers (samples, time, {shape}), such as uint8")


def check_values(program: Takes, frames: Frames, where: Path | str) -> None:
    """The part of `check_frames` that reads every value."""
    held = np.iinfo(frames.dtype)
    signed = isinstance(frames, np.ndarray) and held.min < program.input_min
    low = int(np.min(frames, initial=0)) if signed else 0
    high = int(frames.max(initial=0)) if held.max > program.input_max else 0
    if low < program.input_min or high > program.input_max:
        wanted = f"{program.input_min}..{program.input_max}, as the program says"
        raise DataError(f"frames with values {low}..{high}", where=where, expected=wanted)


def as_frames(program: Takes, array: npt.ArrayLike, where: Path | str) -> Frames:
    """Somebody's array as frames (samples, time, C, H, W) of the program, without a copy where that can be.

    array: of that shape or without samples; with n = C * H * W inputs in a row in place of C, H, W; integers,
    truth values, or whole numbers in floating point.

    Raises DataError: another shape, another number of steps than the program's, values it does not take.
    """
    if isinstance(array, EventFrames):
        check_frames(program, array, where)
        return array
    found, inputs = np.asarray(array), program.input_shape
    for tail in (inputs, (int(np.prod(inputs)),)):
        if found.shape[-len(tail) :] == tail and found.ndim - len(tail) in (1, 2):
            found = found.reshape(*((1,) * (2 - found.ndim + len(tail))), *found.shape[: -len(tail)], *inputs)
            break
    else:
        shape = ", ".join(map(str, inputs))
        raise DataError(
            f"shape {found.shape}", where=where, expected=f"(samples, time, {shape}) or (time, {shape})"
        )
    if found.dtype.kind == "b":
        found = found.astype(np.uint8)
    elif found.dtype.kind == "f":
        if not np.isfinite(found).all():
            raise DataError("values that are not finite", where=where, expected="counts of events")
        with np.errstate(invalid="ignore"):  # what int32 cannot hold becomes another number, and is refused
            whole = found.astype(np.int32)
        if not np.array_equal(whole, found):
            raise DataError("numbers with fractions", where=where, expected="counts of events")
        found = whole
    if found.shape[1] != program.steps:
        raise DataError(f"{found.shape[1]} time steps", where=where, expected=f"{program.steps}")
    check_frames(program, found, where)
    return found
