"""Hypothesis strategies that several property tests draw from.

Every number of a program is drawn by hypothesis itself, so that a failing example shrinks to few layers, few
neurons and small numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import Program
from tests.anyprogram import Choices, any_frames, any_program, any_rules

T = TypeVar("T")
Case = tuple[Program, npt.NDArray[np.uint8]]


class Drawn:
    """Choices that hypothesis makes."""

    def __init__(self, draw: Callable[[st.SearchStrategy[T]], T]) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def ints(self, low: int, high: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        return self.draw(arrays(np.int64, shape, elements=st.integers(low, high)))


@st.composite
def choices(draw: Callable[[st.SearchStrategy[T]], T]) -> Choices:
    """For a test that makes its program, or its input, step by step."""
    return Drawn(draw)


@st.composite
def arithmetics(draw: Callable[[st.SearchStrategy[T]], T], weight_bits: int) -> Arithmetic:
    """Every rounding, overflow, comparison, reset and order; states of 2 to 24 bits."""
    return any_rules(Drawn(draw), weight_bits, orders=True)


def ordered_program(choose: Choices) -> Program:
    """Of every kind, with either order of a reset by subtraction."""
    return any_program(choose, orders=True)


@st.composite
def cases(
    draw: Callable[[st.SearchStrategy[T]], T],
    make: Callable[[Choices], Program] = ordered_program,
    samples: int = 2,
) -> Case:
    """A program and frames for it, (samples, time, C, H, W)."""
    choose = Drawn(draw)
    program = make(choose)
    return program, any_frames(choose, program, draw(st.integers(1, samples)))
