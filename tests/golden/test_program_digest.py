"""The digest of one program, literally: a change here breaks every .net file in the world."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Dense, Program, Readout, SumPool, frozen_ints
from tests.programs import conv_program

RULES = Arithmetic(QFormat(8, 4), 4, "saturate", "toward-zero", "half-up", ">=", "subtract")


def program() -> Program:
    hidden = Dense(frozen_ints([[1, -2]]), frozen_ints([3]), frozen_ints([16]), -1, frozen_ints([2048]))
    readout = Readout(frozen_ints([[5], [-5]]), frozen_ints([0, 1]), 2)
    return Program("golden", (1, 1, 2), 4, 10, ("a", "b"), RULES, (hidden, readout))


def test_digest_is_the_documented_byte_string():
    parts = [
        b'<Program>name="golden";input_shape=(3:1;1;2;input_max=4;steps=10;classes=(2:"a";"b";',
        b"arithmetic=<Arithmetic>state=<QFormat>bits=8;fraction_bits=4;weight_bits=4;",
        b'overflow="saturate";leak_rounding="toward-zero";shift_rounding="half-up";comparison=">=";',
        b'reset="subtract";layers=(2:<Dense>weight=int32[1, 2]', np.array([1, -2], "<i4").tobytes(),
        b"bias=int32[1]", np.array([3], "<i4").tobytes(), b"vth=int32[1]", np.array([16], "<i4").tobytes(),
        b"weight_exp=-1;v_decay=int32[1]", np.array([2048], "<i4").tobytes(),
        b"u_decay=int32[1]", np.array([4096], "<i4").tobytes(),
        b"delay=int32[1]", np.array([0], "<i4").tobytes(), b"recurrent=null;reset_offset=0;",
        b"<Readout>weight=int32[2, 1]", np.array([5, -5], "<i4").tobytes(),
        b"bias=int32[2]", np.array([0, 1], "<i4").tobytes(), b"weight_exp=2;delay=int32[1]",
        np.array([0], "<i4").tobytes(), b"reset_interval=0;",
    ]  # fmt: skip
    assert program().digest() == hashlib.sha256(b"".join(parts)).hexdigest()
    assert program().digest() == "90336b1354051d06aca7319fd2270579d207ccb4601ba8c1cb057d4a9444e687"


def test_shapes_follow_from_one_another():
    shapes = conv_program(np.random.default_rng(0)).shapes()
    assert shapes == ((2, 9, 8), (4, 5, 7), (4, 2, 3), (6, 2, 3), (6, 1, 3), (5,), (3,))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((SumPool((1, 1)),), "neither reads out nor spikes"),
        ((program().layers[1], program().layers[1]), "weight"),
        ((program().layers[0], Readout(frozen_ints([[1]]), frozen_ints([1]), 0)), "1 logits for 2 classes"),
    ],
)
def test_inconsistent_programs_are_refused(layers, message):
    good = program()
    with pytest.raises(ValueError, match=message):
        Program("x", good.input_shape, 4, 10, good.classes, RULES, layers)


@pytest.mark.parametrize("values", [[0.5], [2**31], [float("nan")]])
def test_only_32_bit_integers_enter_a_program(values):
    with pytest.raises(ValueError, match="not 32-bit integers"):
        frozen_ints(values)
