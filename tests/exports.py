"""Programs for the tests of exports: of every kind that the specification allows, small."""

from __future__ import annotations

from dataclasses import replace

from sast_deploy.program.fixedpoint import RESET_ORDERS
from sast_deploy.program.program import DECODINGS, Program, Readout, frozen_ints
from tests.anyprogram import Seeded, any_program, any_rules

LONGEST = 70  # steps: beyond the longest delay, and few enough for the reference


def any_export(seed: int) -> Program:
    """A random program: every layer, rule, reset, order, decay and decoding."""
    choose = Seeded(seed, 12)
    rules = any_rules(choose, choose.pick((None, 2, 3, 4, 8)))
    if rules.reset == "subtract":
        rules = replace(rules, reset_order=choose.pick(RESET_ORDERS))
    program = any_program(choose, rules, upsamples=True)
    last, classes = program.layers[-1], len(program.classes)
    if isinstance(last, Readout) and choose.pick((True, False)):
        decays = [frozen_ints(choose.ints(0, 4096, (choose.pick((1, classes)),))) for _ in range(2)]
        last = replace(last, v_decay=decays[0], u_decay=decays[1], decoding=choose.pick(DECODINGS))
    return replace(program, layers=(*program.layers[:-1], last), steps=min(program.steps, LONGEST))
