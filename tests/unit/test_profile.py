"""Profiles: the shipped ones literally, and one clear line for everything that is wrong."""

from __future__ import annotations

import pytest

from sast_deploy.base.errors import ProfileError
from sast_deploy.program.fixedpoint import RESET_ORDERS, Arithmetic, QFormat
from sast_deploy.program.profile import load_profile, parse_profile

TEXT = load_profile("loihi-int4").text


def test_shipped_profiles_literally():
    int8, int4, stock = (load_profile(f"loihi-{name}") for name in ("int8", "int4", "stock"))
    rules = ("saturate", "toward-zero", "half-up", ">=", "subtract")
    assert int8.arithmetic == Arithmetic(QFormat(16, 8), 8, *rules)
    assert int4.arithmetic == Arithmetic(QFormat(8, 4), 4, *rules)
    assert stock.arithmetic == Arithmetic(
        QFormat(24, 6), 8, "saturate-symmetric", "toward-zero", "toward-zero", ">", "zero"
    )
    assert (int8.weight_max, int4.weight_max, stock.weight_max) == (127, 7, 127)
    assert (int8.grid, int4.grid, stock.grid) == (1, 1, 64)
    assert (str(int8.arithmetic.state), str(int4.arithmetic.state)) == ("Q8.8", "Q4.4")
    assert (int4.arithmetic.state.low, int4.arithmetic.state.high, int4.arithmetic.state.one) == (
        -128,
        127,
        16,
    )


def test_a_path_is_read_and_equals_the_named_profile(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_profile(str(path)) == load_profile("loihi-int4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("overflow =", "overflw ="), "unknown key state.overflw; expected state.overflow"),
        (("[leak]", "[leek]"), "unknown key leek; expected leak"),
        (('kind = "subtract"', ""), "missing key reset.kind; expected subtract or zero; see"),
        (
            ('kind = "subtract"', 'kind = "substract"'),
            "reset.kind = 'substract'; expected subtract or zero",
        ),
        (("bits = 4  ", "bits = 1  "), "weight.bits = 1; expected an integer from 2 to 8"),
        (("bits = 4  ", "bits = 9  "), "weight.bits = 9; expected an integer from 2 to 8"),
        (("bits = 4  ", "bits = true  "), "weight.bits = True"),
        (("bits = 4  ", "bits = 4.0  "), "weight.bits = 4.0"),
        (("bits = 24", "bits = 64"), "accumulator.bits = 64; expected an integer from 8 to 31"),
        (("bits = 8   ", "bits = 25  "), "state.bits = 25; expected an integer from 2 to 24"),
        (("fraction_bits = 4", "fraction_bits = 8"), "state.fraction_bits = 8 of state.bits = 8"),
        (("delay = 1", "delay = 2"), "reset.delay = 2; expected an integer from 1 to 1"),
        (
            ('kind = "subtract"', 'kind = "subtract"\norder = "after"'),
            "reset.order = 'after'; expected after-leak or before-leak",
        ),
        (
            ('kind = "subtract"', 'kind = "zero"\norder = "before-leak"'),
            "reset.order = 'before-leak'; expected none: a reset to zero has one kind only",
        ),
        (("exponent_min = -8", "exponent_min = 7"), "weight.exponent_min = 7 > exponent_max = 5"),
        (('name = "loihi-int4"', "name = 4"), "name = 4"),
        (('name = "loihi-int4"', 'name = "a/b"'), "name = 'a/b'"),
        (("[state]", "state = 1\n[unused]"), "unknown key unused"),
        (("[weight]", "[weight"), "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    assert change[0] in TEXT
    with pytest.raises(ProfileError) as caught:
        parse_profile(TEXT.replace(*change, 1), where="mine.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", RESET_ORDERS)
def test_an_order_of_the_reset_is_the_profiles_or_else_the_networks(order):
    given = parse_profile(TEXT.replace('kind = "subtract"', f'kind = "subtract"\norder = "{order}"'), "t")
    assert given.arithmetic.reset_order == order
    assert [given.obeying(other) for other in RESET_ORDERS] == [given, given]
    left_open = parse_profile(TEXT, "t")
    assert left_open.obeying(order).arithmetic.reset_order == order
    to_zero = parse_profile(TEXT.replace('"subtract"', '"zero"'), "t")
    assert to_zero.obeying("before-leak") == to_zero


def test_all_that_is_wrong_is_named_at_once():
    text = TEXT.replace("bits = 4  ", "bits = 1  ", 1).replace("overflow =", "overflw =", 1)
    text = text.replace('kind = "subtract"', "").replace("[leak]", "[x]")
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, where="mine.toml")
    sections = "accumulator, description, leak, name, reset, shift, spike, state, weight"
    assert str(caught.value) == (
        "mine.toml: missing key leak (expected a table of rounding); "
        f"unknown key x (expected one of {sections}); "
        "weight.bits = 1 (expected an integer from 2 to 8); unknown key state.overflw (expected "
        "state.overflow); and 1 more; see profiles/README.md"
    )


@pytest.mark.parametrize("name", ["loihi-int9", "nowhere/x.toml", "x.toml"])
def test_a_profile_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match=r"loihi-int9|no such file"):
        load_profile(name)


def test_a_profile_that_is_no_text(tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="is of an unknown kind"):
        load_profile(str(path))
