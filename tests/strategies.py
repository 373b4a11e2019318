"""Hypothesis strategies that several property tests draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from sast_deploy.fixedpoint import OVERFLOWS, ROUNDINGS, Arithmetic, QFormat


def arithmetics(most_bits: int) -> st.SearchStrategy[Arithmetic]:
    """Every rounding, overflow, comparison and reset; states of 5 to `most_bits` bits, 4-bit weights."""
    return st.builds(
        Arithmetic,
        state=st.builds(QFormat, st.integers(5, most_bits), st.just(4)),
        weight_bits=st.just(4),
        overflow=st.sampled_from(OVERFLOWS),
        leak_rounding=st.sampled_from(ROUNDINGS),
        shift_rounding=st.sampled_from(ROUNDINGS),
        comparison=st.sampled_from([">=", ">"]),
        reset=st.sampled_from(["subtract", "zero"]),
    )
