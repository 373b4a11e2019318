"""No layer, rule or program can be constructed wrong: every field of each has a rule, and every breach of it
is refused by name. All cases come from the rules themselves, so that a new field is covered by itself.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, DataError
from sast_deploy.base.rules import Choice, Instance, Ints, Items, Text, Whole
from sast_deploy.base.settings import ruled
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.profile import LAYOUT, SCHEMA
from sast_deploy.program.program import (
    Dense,
    Layer,
    Program,
    Readout,
    SumPool,
    Upsample,
    frozen_ints,
)
from tests.programs import conv_program, rich_program

RICH = rich_program(np.random.default_rng(0))
GOOD = (*RICH.layers, Upsample((2, 1)), RICH.arithmetic, RICH.arithmetic.state, RICH)
OBJECTS = {type(each).__name__: each for each in GOOD}


ONE = frozen_ints([1])


def wrong(rule, value):
    """Values that break a rule, among them those that a lenient constructor would convert."""
    if isinstance(rule, Whole):
        yield from (rule.low - 1, rule.high + 1, 1.0, "1", None, True, np.int64(rule.low), float("nan"), [1])
    elif isinstance(rule, Items):
        yield from (tuple(each for _ in value) for each in wrong(rule.rule, value[0]))
        yield from (list(value), value[0], None, 3)
        if isinstance(rule.rule, Whole):
            yield np.array(value)
        if rule.fewest:
            yield ()
        if rule.fewest == rule.most:
            yield from (value[1:], (*value, 1))
    elif isinstance(rule, Choice):
        yield from (b"x", None, 1, ["x"], "substract", "", rule.names[0].upper() + " ")
    elif isinstance(rule, Text):
        yield from (b"x", None, 1, ["x"], "\ud800", "x" * (rule.longest + 1))
    elif isinstance(rule, Instance):
        yield from (None, "x", 1, rule.kinds[0])
    else:
        yield from wrong_arrays(rule, value)


def wrong_arrays(rule, value):
    array = frozen_ints(np.zeros((2, 2))) if value is None else value
    yield from (array.astype(np.float64), array.astype(np.int64), array.astype(np.uint8), array.tolist())
    yield from (array.astype(bool), array.reshape(1, *array.shape), np.int32(1), np.zeros(0, np.int32), "1")
    yield np.zeros((), np.int32)
    if " or " in rule.shape or rule.optional:  # else it is the array that names the axes
        yield np.zeros((*array.shape[:-1], 97), np.int32)
    if not rule.optional:
        yield None
    for limit, beyond in ((rule.low, rule.low - 1), (rule.high, rule.high + 1)):
        if abs(limit) < 2**31 - 1:
            yield np.full(array.shape, beyond, np.int32)


def breaches():
    for name, good in OBJECTS.items():
        for field, rule in ruled(type(good)).items():
            for number, value in enumerate(wrong(rule, getattr(good, field))):
                yield pytest.param(good, field, value, id=f"{name}.{field}-{number}")


@pytest.mark.parametrize(("good", "field", "value"), list(breaches()))
def test_a_breach_of_any_rule_is_refused_by_name(good, field, value):
    with pytest.raises(ValueError, match=rf"{type(good).__name__}\.{field}(\[\d\])* = .*expected "):
        replace(good, **{field: value})


@pytest.mark.parametrize("name", OBJECTS)
def test_every_field_has_a_rule(name):
    kind = type(OBJECTS[name])
    assert [each.name for each in fields(kind)] == list(ruled(kind))
    assert replace(OBJECTS[name])  # the good one passes


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["a", "b", "c"]}, {"classes": (1, 2, 3)}, {"classes": ("a", "b")}, {"layers": ()},
        {"layers": list(RICH.layers)}, {"layers": ("dense",)}, {"layers": RICH.layers[:2]},
        {"arithmetic": "subtract"}, {"arithmetic": None}, {"reset_interval": 2},  # an offset is 2
        {"arithmetic": replace(RICH.arithmetic, weight_bits=3)}, {"input_max": 2**31 - 1, "steps": 0},
    ],
    ids=str,
)  # fmt: skip
def test_a_program_whose_parts_contradict_one_another_is_refused(change):
    with pytest.raises(ValueError, match=r"inconsistent program|Program\.[a-z]+.* = "):
        replace(RICH, **change)


def test_layers_of_impossible_size_are_refused_before_anything_is_allocated():
    layer = replace(conv_program(np.random.default_rng(0)).layers[0], padding=(60_000, 60_000))
    with pytest.raises(ValueError, match="more than 16,777,216 values"):
        replace(RICH, layers=(layer,))


def test_inputs_that_pools_raise_beyond_31_bits_are_refused():
    layers = (SumPool((2, 2), 29), Dense(frozen_ints([[1]] * 3), ONE, ONE, 0, ONE))
    with pytest.raises(ValueError, match=r"layer 1: inputs 0\.\.6442450944"):
        Program("p", (1, 2, 2), 3, 4, RICH.classes, RICH.arithmetic, layers)


@pytest.mark.parametrize("name", OBJECTS)
def test_nothing_can_be_changed_after_construction(name):
    good = OBJECTS[name]
    for field, rule in ruled(type(good)).items():
        with pytest.raises(FrozenInstanceError):
            setattr(good, field, getattr(good, field))
        if isinstance(rule, Ints) and getattr(good, field) is not None:
            with pytest.raises(ValueError, match="read-only"):
                getattr(good, field)[...] = 0


def test_an_array_that_somebody_can_still_write_to_is_copied():
    mine = np.ones((2, 3), np.int32)
    view = mine.view()
    view.flags.writeable = False
    one = ONE
    for array in (mine, view, np.asfortranarray(frozen_ints(mine))):
        layer = Dense(array, one, one, 0, one)
        digest = Program("p", (1, 1, 3), 1, 1, ("a", "b"), RICH.arithmetic, (layer,)).digest()
        mine[0, 0] = 5
        assert layer.weight[0, 0] == 1
        assert layer.weight.flags.c_contiguous
        assert digest == Program("p", (1, 1, 3), 1, 1, ("a", "b"), RICH.arithmetic, (layer,)).digest()
        mine[0, 0] = 1
    assert Dense(layer.weight, one, one, 0, one).weight is layer.weight  # no copy without need


@pytest.mark.parametrize("name", OBJECTS)
def test_not_even_the_owner_of_an_array_can_write_to_it_again(name):
    good = OBJECTS[name]
    for field, rule in ruled(type(good)).items():
        if isinstance(rule, Ints) and getattr(good, field) is not None:
            mine = np.array(getattr(good, field))
            mine.flags.writeable = False
            kept = getattr(replace(good, **{field: mine}), field)
            mine.flags.writeable = True
            mine[...] += 1
            assert (kept == getattr(good, field)).all()
            with pytest.raises(ValueError, match="WRITEABLE"):
                kept.flags.writeable = True


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb"])
def test_halves_of_characters_are_no_texts(text):
    with pytest.raises(ValueError, match="name"):
        replace(RICH, name=text)
    with pytest.raises(ValueError, match="classes"):
        replace(RICH, classes=(text, *RICH.classes[1:]))


def test_arrays_with_a_mask_are_refused():
    masked = np.ma.masked_array(np.ones((2, 3), np.int32), mask=np.eye(2, 3))
    with pytest.raises(ValueError, match=r"Dense\.weight = an array with a mask"):
        Dense(masked, ONE, ONE, 0, ONE)
    frames = np.ma.masked_array(np.zeros((1, RICH.steps, *RICH.input_shape), np.uint8), mask=True)
    for run in (run_fast, run_reference):
        with pytest.raises(DataError, match="frames of MaskedArray"):
            run(RICH, frames)


def test_a_logit_beyond_64_bits_is_refused_by_every_engine():
    most = np.iinfo(np.int32).max
    readout = Readout(np.full((2, 3), most, np.int32), np.full(2, most, np.int32), 0)
    rules = replace(RICH.arithmetic, weight_bits=32)
    program = Program("p", (1, 1, 3), most, 4, ("a", "b"), rules, (readout,))
    for run in (run_fast, run_reference):
        with pytest.raises(CompileError, match="expected at most 9223372036854775807"):
            run(program, np.full((1, 4, 1, 1, 3), most, np.int32))


def test_a_field_added_later_changes_no_digest_while_it_says_nothing_new():
    assert {kind.__name__: set(kind.added_later) for kind in (Program, Arithmetic, Readout)} == {
        "Program": {"input_min"}, "Arithmetic": {"reset_order"},
        "Readout": {"v_decay", "u_decay", "decoding"},
    }  # fmt: skip
    rules = replace(RICH.arithmetic, reset="subtract", reset_order="before-leak")
    readout = replace(RICH.layers[-1], decoding="max")
    for other in ({"input_min": -1}, {"arithmetic": rules}, {"layers": (*RICH.layers[:-1], readout)}):
        assert RICH.digest() != replace(RICH, **other).digest()


def test_profiles_allow_nothing_that_a_program_refuses():
    wide = {**ruled(QFormat), **ruled(Arithmetic)}
    for section, keys in LAYOUT.items():
        for key, name in keys.items():
            rule = SCHEMA.fields[section].fields[key]
            if isinstance(wide.get(name), Whole):
                assert wide[name].low <= rule.low <= rule.high <= wide[name].high
            elif name in wide:
                assert rule == wide[name]
    assert {name for keys in LAYOUT.values() for name in keys.values()} >= set(wide) - {"state"}


def test_every_kind_of_layer_is_tried_here():
    assert {kind.__name__ for kind in Layer.__args__} <= set(OBJECTS)
