"""Limits of a Loihi 1 core: what a layer needs, how many cores, met or broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.program.fixedpoint import QFormat
from sast_deploy.program.program import Dense, Program, Readout, frozen_ints
from sast_deploy.proofs.limits import (
    FITS,
    PROGRAM,
    WHY,
    broken_limits,
    check_limits,
    verdict,
)
from sast_deploy.proofs.mapping import DELAY_BITS, stored_weight_bits
from tests.programs import RULES, conv_program, fc_program

UNIT = frozen_ints([0])


def wide(inputs, outputs, *, weight=1, rules=RULES, classes=2, **more):
    values = {"bias": UNIT, "vth": frozen_ints([16]), "weight_exp": 0, "v_decay": frozen_ints([2048]), **more}
    layer = Dense(frozen_ints(np.full((outputs, inputs), weight)), **values)
    out = Readout(frozen_ints(np.full((classes, outputs), -1)), frozen_ints(np.zeros(classes)), 0)
    return Program("wide", (1, 1, inputs), 1, 4, tuple(map(str, range(classes))), rules, (layer, out))


def found(program, limit, layer="layer 0 (dense)"):
    return next(check for check in check_limits(program) if (check.limit, check.layer) == (limit, layer))


@pytest.mark.parametrize(
    ("inputs", "outputs", "limit", "needs", "cores", "meets"),
    [
        (10, 1024, "neurons", "1024", 1, True),
        (10, 1025, "neurons", "1025", 2, True),
        (4096, 3, "input axons", "4096", 1, True),
        (4097, 3, "input axons", "4097", 1, False),
        (1, 4096, "output axons", "4096", 1, True),
        # 1025 classes behind it take three cores for 2048 * 1025 bits: three axons for every neuron
        (1, 2048, "output axons", "6144", 2, True),
        (1024, 1024, "synapse bits", str(1 << 20), 1, True),
        (1024, 1025, "synapse bits", str((1 << 20) + 1024), 2, True),
    ],
)
def test_capacities(inputs, outputs, limit, needs, cores, meets):
    program = wide(inputs, outputs, classes=1025 if outputs == 2048 else 2)
    check = found(program, limit)
    assert (check.needs, check.cores, check.meets) == (needs, cores, meets)


@pytest.mark.parametrize(
    ("change", "limit", "needs", "meets"),
    [
        ({"vth": frozen_ints([131071])}, "threshold", "131071", True),
        ({"vth": frozen_ints([131072])}, "threshold", "131072", False),
        ({"bias": frozen_ints([-4095])}, "bias", "4095", True),
        ({"bias": frozen_ints([4097])}, "bias", "4097", False),
        ({"bias": frozen_ints([4098])}, "bias", "4098", True),
        # A bias is mantissa * 2**(0..7) of the chip's v, of which 64 are one unit here: twice 4095 at most.
        ({"bias": frozen_ints([-2 * 4095])}, "bias", "8190", True),
        ({"bias": frozen_ints([2 * 4096])}, "bias", "8192", False),
        ({"v_decay": frozen_ints([4095])}, "decay", "v 4095, u 4095", True),
        ({"v_decay": frozen_ints([4096])}, "decay", "v 4096, u 4095", False),
        ({"u_decay": frozen_ints([0])}, "decay", "v 2048, u -1", False),
        ({"delay": frozen_ints([62])}, "delay", "62", True),
        ({"delay": frozen_ints([63])}, "delay", "63", False),
        ({"weight_exp": 7}, "weight exponent", "0", True),  # one bit stands left-aligned, 7 places up
        ({"weight_exp": 15}, "weight exponent", "8", False),
    ],
)
def test_single_numbers(change, limit, needs, meets):
    check = found(wide(3, 2, **change), limit)
    assert (check.needs, check.meets) == (needs, meets)


STOCK = replace(RULES, state=QFormat(24, 6), comparison=">", reset="zero", overflow="saturate-symmetric")


@pytest.mark.parametrize(
    ("change", "limit", "needs", "meets"),
    [
        ({"vth": frozen_ints([3569 * 64])}, "threshold", "3569", True),
        ({"vth": frozen_ints([131071 * 64])}, "threshold", "131071", True),
        ({"vth": frozen_ints([131072 * 64])}, "threshold", "131072", False),
        ({"vth": frozen_ints([3569 * 64 + 1])}, "state bits", "30", False),  # no whole mantissa, no room
        ({}, "state bits", "24", True),
        ({"bias": frozen_ints([-4095 * 64])}, "bias", "4095", True),
        ({"bias": frozen_ints([4097 * 64])}, "bias", "4097", False),
        ({"bias": frozen_ints([3])}, "bias", "0.046875", True),  # 3 * 2**0 of the chip's v
        ({"delay": frozen_ints([63])}, "delay", "62", True),  # one step of it is the way to the next core
        ({"weight_exp": 6}, "weight exponent", "-7", True),  # one bit stands left-aligned, 7 places up
        ({"weight_exp": 20}, "weight exponent", "7", True),
        ({"weight_exp": 21}, "weight exponent", "8", False),
        ({"u_decay": frozen_ints([2048])}, "current bits", "10", True),
        ({"u_decay": frozen_ints([1]), "weight_exp": 20}, "current bits", "25", False),
    ],
)
def test_programs_of_stock_lava_are_counted_in_the_units_of_the_mantissa(change, limit, needs, meets):
    program = wide(3, 2, rules=STOCK, **{"weight_exp": 6, "vth": frozen_ints([64]), **change})
    check = found(program, limit)
    assert (check.needs, check.meets) == (needs, meets)


def test_the_way_to_the_next_core_costs_no_synapse_bits():
    first, later = (
        found(wide(3, 2, rules=STOCK, weight_exp=6, vth=UNIT, delay=frozen_ints([d])), "synapse bits").needs
        for d in (1, 2)
    )
    assert (first, later) == ("6", str(6 * (1 + DELAY_BITS)))


def test_a_filtered_current_needs_the_bits_that_its_bound_says():
    """Three weights of 1 at inputs of 1 and no loss but 1 / 4096: 3 a step for 4 steps, and 6 bits below."""
    check = found(wide(3, 2, u_decay=frozen_ints([1])), "current bits")
    assert (check.needs, check.meets) == (str(5 + 6), True)


def test_every_limit_that_can_break_says_why_and_the_verdict_names_all_that_do():
    rules = replace(RULES, weight_bits=9)
    values = {"vth": frozen_ints([200000]), "bias": frozen_ints([9999]), "u_decay": UNIT}
    program = wide(5000, 2, rules=rules, weight=-200, **values)
    checks = check_limits(program)
    broken = broken_limits(checks)
    assert {check.limit for check in broken} >= {"input axons", "weight bits", "threshold", "bias", "decay"}
    for check in checks:
        assert check.limit in WHY or check.cores, check
    for check in broken:
        assert check.layer == PROGRAM or check.layer in check.why
        assert str(check) in verdict(checks)
    assert verdict(checks).startswith("does not fit a Loihi 1 core: input axons 5000 of 4096, layer 0; ")
    assert broken[-1].why == "Loihi 1 resets to zero; this program subtracts"
    cores = next(int(check.needs) for check in checks if check.limit == "cores")
    met = verdict([check for check in checks if check.meets])
    assert met == FITS.format(cores=f"{cores} Loihi 1 cores")
    one = [check for check in checks if check.meets and check.cores <= 1]
    assert verdict(one) == FITS.format(cores="a Loihi 1 core")


def test_a_small_exponent_scales_the_whole_layer_up():
    """Weight 1 is stored as 128, so exponent -3 becomes -10: everything must be scaled by 4 to reach -8."""
    program = wide(3, 2, weight_exp=-3, vth=frozen_ints([32768]), bias=frozen_ints([5]))
    assert found(program, "weight exponent").needs == "-8"
    assert (found(program, "threshold").needs, found(program, "threshold").meets) == ("131072", False)
    assert found(program, "bias").needs == "20"
    assert found(program, "state bits").needs == "16"


@pytest.mark.parametrize(
    ("weights", "bits"),
    [
        ([0, 1], 1), ([0, 3], 2), ([-1, 0], 1), ([-1, 1], 2), ([-8, 7], 4), ([-32, 31], 6), ([-33, 0], 8),
        ([0, 64], 8), ([-128, 127], 8), ([0, 255], 8), ([-1, 128], 0), ([0, 256], 0),
    ],
)  # fmt: skip
def test_stored_weight_bits(weights, bits):
    assert stored_weight_bits(frozen_ints([weights])) == bits


def test_the_state_and_the_reset_of_the_chip():
    assert found(wide(3, 2, rules=replace(RULES, state=QFormat(18, 8))), "state bits").meets
    assert not found(wide(3, 2, rules=replace(RULES, state=QFormat(19, 8))), "state bits").meets
    reset = {
        kind: found(wide(3, 2, rules=replace(RULES, reset=kind)), "reset", PROGRAM)
        for kind in ("zero", "subtract")
    }
    assert (reset["zero"].meets, reset["subtract"].meets) == (True, False)


def test_cores_add_up_over_layers():
    assert found(wide(10, 2048), "cores", PROGRAM).needs == "3"
    assert found(fc_program(np.random.default_rng(0)), "cores", PROGRAM).needs == "3"
    assert found(conv_program(np.random.default_rng(0)), "cores", PROGRAM).needs == "4"
