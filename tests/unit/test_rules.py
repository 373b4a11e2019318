"""The language of rules, and dataclasses made of it: what is said of a wrong document, word by word."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Annotated, Any, Literal

import pytest

from sast_deploy.base.errors import DataError, SastError
from sast_deploy.base.rules import (
    Choice,
    Items,
    Maybe,
    Named,
    Number,
    Plain,
    Problem,
    Rule,
    Table,
    Text,
    Whole,
    refuse,
)  # fmt: skip
from sast_deploy.base.settings import Settings, check_fields, ruled
from sast_deploy.finetuning.recipe import FineTuning
from sast_deploy.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Window(Settings, called="window", error=DataError, partial=True):
    steps: Annotated[int, Whole(1, 9)]
    way: Literal["sum", "mean"] = "sum"
    size: Annotated[tuple[int, ...] | None, Maybe(Items(Whole(0, 5), 2, 2))] = None


@dataclass(frozen=True)
class Camera(Settings, called="camera", error=DataError, later={"on": True}):
    window: Window
    on: bool


def said(rule: Rule, value: Any) -> str:
    try:
        refuse(rule.problems(value, ""), "x", DataError)
    except DataError as error:
        return str(error).removeprefix("x: ")
    return ""


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        (Number(0, 1, below=True), 1, "1; expected a number from 0 to below 1"),
        (Number(0, 9, above=True), 0, "0; expected a number above 0 to 9"),
        (Number(0, 9), float("nan"), "nan; expected a number from 0 to 9"),
        (Number(0, 9), True, "True; expected a number from 0 to 9"),
        (Choice(("a", "b", "c")), "d", "'d'; expected one of a, b, c"),
        (Choice(("a", "b")), ["a"], "['a']; expected a or b"),
        (Text(3, "/", blank=False), " ", "' '; expected a text of 1 to 3 letters without '/'"),
        (Text(9, whole=True), "\udcff", r"'\udcff'; expected a text of at most 9 letters without '\x00'"),
        (Maybe(Items(Whole(0, 1), 2, 2)), 1, "1; expected a list of 2 values, each an integer from 0 to 1"),
        (Named(Plain()), 3, "3; expected a table of values by name"),
        (Named(Plain()), {"a": {"b": {1}}}, ".a = set of 1; expected plain values"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_wrong_value(rule: Rule, value: Any, words: str) -> None:
    assert said(rule, value) == words
    assert not rule.fits(value)


TABLE = Table({"bits": Whole(2, 8), "scale": Text(9), "deep": Table({"one": Whole(1, 1)})})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"bits": 2, "scale": "x", "deep": {"one": 1}}, ""),
        ({"bits": 2, "scael": "x", "deep": {"one": 1}}, "unknown key scael; expected scale"),
        ({"bits": 2, "scale": "x", "deep": {"oen": 1}}, "unknown key deep.oen; expected deep.one"),
        (
            {"bits": 2, "scale": "x", "scael": "x", "deep": {"one": 2}},
            "unknown key scael (expected one of bits, deep, scale); "
            "deep.one = 2 (expected an integer from 1 to 1)",
        ),
        ({"bits": 2, "deep": {"one": 1}}, rf"missing key scale; expected {Text(9)}"),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_one_problem(value: Any, words: str) -> None:
    assert said(TABLE, value) == words


def test_of_many_problems_the_first_few_are_named_and_all_are_counted() -> None:
    rule = Items(Whole(0, 1))
    first = "; ".join(f"[{n}] = 7 (expected an integer from 0 to 1)" for n in range(4))
    assert said(rule, [7] * 9) == f"{first}; and 5 more"
    assert said(rule, [7] * 10**6) == f"{first}; and at least 996 more"
    long = Table({"k" * 50 + str(n): Whole(0, 1) for n in range(9)})
    assert said(long, {"x": 1, "y": 1}).endswith("and 7 more")  # SastError cuts what is longer


def test_settings_are_checked_read_and_written_by_the_rules_of_their_fields() -> None:
    made = Camera.from_dict({"window": {"steps": 3, "way": "mean", "size": [1, 2]}})
    assert made == Camera(Window(3, "mean", (1, 2)), True)
    assert made.to_dict() == {"window": {"steps": 3, "way": "mean", "size": [1, 2]}, "on": True}
    assert Window.from_dict({"steps": 3}) == Window(3)
    assert Window(3, size=[1, 2]).size == (1, 2)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^window: steps = 0; expected an integer from 1 to 9$"):
        Window(0)
    with pytest.raises(FrozenInstanceError):
        made.on = False  # type: ignore[misc]


def test_all_that_is_wrong_in_nested_settings_has_its_path() -> None:
    with pytest.raises(DataError) as caught:
        Camera.from_dict({"window": {"steps": True, "way": "max", "size": [1, 9]}, "on": 1})
    assert str(caught.value) == (
        "camera: window.steps = True (expected an integer from 1 to 9); window.way = 'max' (expected sum or "
        "mean); window.size[1] = 9 (expected an integer from 0 to 5); on = 1 (expected true or false)"
    )
    with pytest.raises(DataError, match=r"missing key window\.way"):  # partial only by itself
        Camera.from_dict({"window": {"steps": 3, "size": None}})


def test_a_dataclass_that_is_no_settings_converts_nothing() -> None:
    @dataclass(frozen=True)
    class Kernel:
        rows: int

    Kernel.__annotations__["rows"] = Annotated[tuple[int, ...], Items(Whole(1, 9))]
    with pytest.raises(ValueError, match=r"^Kernel\.rows = a list, \[1\]; expected a tuple; a list of"):
        check_fields(Kernel([1]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [FineTuning, Checkpoint])
def test_every_field_of_settings_has_a_rule(kind: type[Settings]) -> None:
    """Those of the others are tried in test_readers.py."""
    assert [each.name for each in fields(kind)] == list(ruled(kind))


def test_every_kind_of_rule_has_words_of_its_own() -> None:
    import sast_deploy.studies.sweep.study  # those of studies and of .net files, too

    waiting, found = [Rule], set()
    while waiting:
        waiting += (kinds := waiting.pop().__subclasses__())
        found |= set(kinds)
    assert {sast_deploy.studies.sweep.keys.Section, Whole, Plain} <= found
    assert all({"__str__", "_words"} & vars(kind).keys() for kind in found), found


def test_a_problem_says_in_which_part_of_a_file_it_is() -> None:
    problem = Problem("rho", "-1", "0 or more", "[[grid]] 1")
    assert str(problem) == "[[grid]] 1: rho = -1"
    with pytest.raises(SastError, match=r"^a\.toml: \[\[grid\]\] 1: rho = -1; expected 0 or more$"):
        refuse(iter([problem]), "a.toml", SastError)
