"""Hypothesis strategies that several property tests draw from.

Every number of a program is drawn by hypothesis itself, so that a failing example shrinks to few layers, few
neurons and small numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

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
        return self.draw(_integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(_one_of(tuple(options), tuple(map(type, options))))

    def ints(self, low: int, high: int, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        return self.draw(_arrays(low, high, shape))


# Made once: hypothesis takes longer to examine a new strategy than to draw from it.
@cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


@cache
def _one_of(options: tuple[Any, ...], types: tuple[type, ...]) -> st.SearchStrategy[Any]:
    """types: of the options, because (0, 1) equals (False, True)."""
    return st.sampled_from(options)


@cache
def _arrays(low: int, high: int, shape: tuple[int, ...]) -> st.SearchStrategy[npt.NDArray[np.int64]]:
    return arrays(np.int64, shape, elements=_integers(low, high))


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
