"""Integer arithmetic of the deployed network: formats, rounding, saturation.

Every rule has a name, a Python-integer definition that `engines/reference.py` uses, and a NumPy
twin for whole arrays. profiles/README.md tabulates them; tests assert those tables for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt

from sast_deploy.base.rules import Choice, Whole
from sast_deploy.base.settings import Checked

IntArray = npt.NDArray[np.int64]

ROUNDINGS = ("toward-zero", "floor", "half-up", "half-even")
OVERFLOWS = ("saturate", "saturate-symmetric", "wrap")
COMPARISONS = (">=", ">")
RESETS = ("subtract", "zero")
RESET_ORDERS = ("after-leak", "before-leak")


@dataclass(frozen=True)
class QFormat(Checked):
    """A signed two's-complement fixed-point format Qm.f.

    bits: total width, sign included (Q8.8 is 16 bits, Q4.4 is 8).
    fraction_bits: how many of them lie behind the binary point; the value is integer / 2**fraction_bits.

    >>> str(sast.QFormat(16, 8)), sast.QFormat(16, 8).high
    ('Q8.8', 32767)
    """

    bits: Annotated[int, Whole(2, 32)]
    fraction_bits: Annotated[int, Whole(0, 31)]

    def __post_init__(self) -> None:
        """Refuse more fraction bits than bits."""
        super().__post_init__()
        if self.fraction_bits >= self.bits:
            raise ValueError(f"{self.fraction_bits} fraction bits of {self.bits} bits; expected fewer")

    @property
    def low(self) -> int:
        """Smallest representable integer, -2**(bits-1)."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest representable integer, 2**(bits-1) - 1."""
        return (1 << (self.bits - 1)) - 1

    def lowest(self, overflow: str) -> int:
        """The smallest integer that an overflow rule leaves."""
        return -self.high if overflow == "saturate-symmetric" else self.low

    @property
    def one(self) -> int:
        """The integer that stands for 1.0."""
        return 1 << self.fraction_bits

    def __str__(self) -> str:
        """The usual name, as in Q8.8 or Q4.4."""
        return f"Q{self.bits - self.fraction_bits}.{self.fraction_bits}"


@dataclass(frozen=True)
class Arithmetic(Checked):
    """The rules of one program, by their profile names (profiles/README.md).

    state: format of the membrane potential. weight_bits: signed width of every weight;
    profiles have 2 to 8. reset_order: whether "subtract" takes the threshold off "after-leak" or
    "before-leak"; of "zero" there is one kind only, called "after-leak". All values of the others:
    ROUNDINGS, OVERFLOWS, COMPARISONS, RESETS of this module.

    >>> sast.Arithmetic(sast.QFormat(24, 0), 8, "wrap", "toward-zero", "floor", ">", "zero").reset_order
    'after-leak'
    """

    added_later: ClassVar[frozenset[str]] = frozenset({"reset_order"})
    state: QFormat
    weight_bits: Annotated[int, Whole(2, 32)]
    overflow: Annotated[str, Choice(OVERFLOWS)]
    leak_rounding: Annotated[str, Choice(ROUNDINGS)]
    shift_rounding: Annotated[str, Choice(ROUNDINGS)]
    comparison: Annotated[str, Choice(COMPARISONS)]
    reset: Annotated[str, Choice(RESETS)]
    reset_order: Annotated[str, Choice(RESET_ORDERS)] = RESET_ORDERS[0]

    def __post_init__(self) -> None:
        """Refuse, beside what breaks a rule, an order of what has none."""
        super().__post_init__()
        check_order(self.reset, self.reset_order)

    @property
    def reset_rule(self) -> str:
        """The reset in words: "zero", "subtract after-leak" or "subtract before-leak"."""
        return f"{self.reset} {self.reset_order}" if self.reset == "subtract" else self.reset


def check_order(reset: str, order: str) -> None:
    """Raise ValueError for an order of a reset that has none."""
    if reset != "subtract" and order != RESET_ORDERS[0]:
        raise ValueError(f"reset_order {order!r} with reset {reset!r}; expected {RESET_ORDERS[0]!r}")


def divide_pow2(value: int, exponent: int, rounding: str) -> int:
    """value / 2**exponent, rounded to an integer by one of ROUNDINGS; exponent >= 0.

    toward-zero drops the fraction; floor goes to the next lower integer; half-up goes to the nearest,
    a tie upwards (add half, then floor); half-even goes to the nearest, a tie to the even neighbour.
    """
    divisor = 1 << exponent
    quotient, remainder = divmod(value, divisor)
    if rounding == "floor" or remainder == 0:
        return quotient
    if rounding == "toward-zero":
        return quotient + (1 if value < 0 else 0)
    twice = 2 * remainder
    if rounding == "half-up":
        return quotient + (1 if twice >= divisor else 0)
    if rounding == "half-even":
        return quotient + (1 if twice > divisor or (twice == divisor and quotient % 2 == 1) else 0)
    raise ValueError(f"rounding {rounding!r} is none of {', '.join(ROUNDINGS)}")


def divide_pow2_array(values: IntArray, exponent: int, rounding: str) -> IntArray:
    """`divide_pow2` for int64 arrays of any shape, by shifts (an independent derivation)."""
    if exponent == 0:
        return values
    if rounding == "floor":
        return values >> exponent
    if rounding == "toward-zero":
        # Adding divisor-1 to negative numbers turns the floor of the shift into truncation.
        return (values + ((values >> 63) & ((1 << exponent) - 1))) >> exponent
    half = 1 << (exponent - 1)
    if rounding == "half-up":
        return (values + half) >> exponent
    if rounding == "half-even":
        return (values + (half - 1) + ((values >> exponent) & 1)) >> exponent
    raise ValueError(f"rounding {rounding!r} is none of {', '.join(ROUNDINGS)}")


def shift(value: int, exponent: int, rounding: str) -> int:
    """value * 2**exponent: exact to the left (exponent >= 0), rounded to the right (exponent < 0)."""
    return value << exponent if exponent >= 0 else divide_pow2(value, -exponent, rounding)


def shift_array(values: IntArray, exponent: int, rounding: str) -> IntArray:
    """`shift` for int64 arrays of any shape."""
    return values << exponent if exponent >= 0 else divide_pow2_array(values, -exponent, rounding)


def fit(value: int, form: QFormat, overflow: str) -> int:
    """Bring `value` into the format: clipped to its ends (saturate), clipped to +-its largest value
    (saturate-symmetric), or modulo 2**bits (wrap).
    """
    if overflow == "saturate":
        return max(form.low, min(form.high, value))
    if overflow == "saturate-symmetric":
        return max(-form.high, min(form.high, value))
    if overflow == "wrap":
        return (value - form.low) % (1 << form.bits) + form.low
    raise ValueError(f"overflow {overflow!r} is none of {', '.join(OVERFLOWS)}")


def fit_array(values: IntArray, form: QFormat, overflow: str) -> IntArray:
    """`fit` for int64 arrays of any shape."""
    if overflow == "saturate":
        return np.clip(values, form.low, form.high)
    if overflow == "saturate-symmetric":
        return np.clip(values, -form.high, form.high)
    if overflow == "wrap":
        return ((values - form.low) & ((1 << form.bits) - 1)) + form.low
    raise ValueError(f"overflow {overflow!r} is none of {', '.join(OVERFLOWS)}")
