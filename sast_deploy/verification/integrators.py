"""The readout from the spikes that an engine recorded, by the true rules or with one mistake; with arrays.

This derivation knows nothing of the reference, and nothing of the engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sast_deploy.program.fixedpoint import ROUNDINGS, Arithmetic, fit_array, shift_array
from sast_deploy.program.program import (
    CURRENT,
    DECODINGS,
    NO_DECAY,
    NO_DECAY_FILTER,
    UNFILTERED,
    Program,
    Readout,
    leak,
    per_neuron,
)
from sast_deploy.program.sums import Int64Array

CALLED = {"last": "last", "max": "largest", "mean": "mean"}  # membrane potential, by decoding


@dataclass(frozen=True, eq=False)
class ReadoutMutant:
    """The readout with one mistake. name: what a report calls it; the rest: where it leaves the true rules.

    bias_once: added in the first step alone. shift_last: sums are shifted once, after all steps, not in
    each. filtered_bias: the bias passes the current filter. leaks_all: the leak takes its share of what
    arrives, too. kept: membranes are not cleared at a sample's start, `lanes` samples apart.
    """

    name: str
    layer: Readout
    rules: Arithmetic
    bias_once: bool = False
    shift_last: bool = False
    filtered_bias: bool = False
    leaks_all: bool = False
    kept: bool = False
    lanes: int = 1

    def logits(self, sums: Int64Array) -> Int64Array:
        """(samples, classes) of the weighted sums a_t (samples, time, classes)."""
        exponent, rounding = self.layer.weight_exp, self.rules.shift_rounding
        if self.shift_last:
            sums = np.diff(shift_array(sums.cumsum(axis=1), exponent, rounding), axis=1, prepend=0)
        else:
            sums = shift_array(sums, exponent, rounding)
        membranes = self._membranes(sums)
        if self.layer.decoding == "last":
            return np.asarray(membranes[:, -1])
        return np.asarray(membranes.max(axis=1) if self.layer.decoding == "max" else membranes.sum(axis=1))

    def _membranes(self, arriving: Int64Array) -> Int64Array:
        """m_t from what arrives, of the same shape."""
        samples, _, classes = arriving.shape
        start = np.zeros((samples, classes), np.int64)
        found = self._integrated(arriving, start)
        for first in range(0, samples if self.kept else 0, self.lanes):
            lanes, before = slice(first, first + self.lanes), slice(max(first - self.lanes, 0), first)
            left = found[before, -1][: len(arriving[lanes])]
            start[lanes][: len(left)] = left
            found[lanes] = self._integrated(arriving[lanes], start[lanes])
        return found

    def _integrated(self, arriving: Int64Array, membrane: Int64Array) -> Int64Array:
        bias, v_decay, u_decay = (
            per_neuron(values, arriving.shape[2]).astype(np.int64)
            for values in (self.layer.bias, self.layer.v_decay, self.layer.u_decay)
        )
        rounding, filtered, found = self.rules.leak_rounding, u_decay < NO_DECAY_FILTER, arriving.copy()
        current = np.zeros_like(membrane)
        for t in range(arriving.shape[1]):
            added = np.where(self.filtered_bias & filtered, bias, 0)
            held = fit_array(leak(current, u_decay, rounding) + arriving[:, t] + added, CURRENT, "wrap")
            current = np.where(filtered, held, arriving[:, t])
            more = current + (0 if self.bias_once and t else bias - added)
            if self.leaks_all:
                membrane = leak(membrane + more, v_decay, rounding)
            else:
                membrane = np.asarray(leak(membrane, v_decay, rounding) + more)
            found[:, t] = membrane
        return np.asarray(found)


def readout_mutants(program: Program, lanes: tuple[int, ...]) -> Iterator[ReadoutMutant]:
    """Every mistake of the readout that has a name; none of a program without one."""
    layer, rules = program.layers[-1], program.arithmetic
    if not isinstance(layer, Readout):
        return
    yield ReadoutMutant("readout bias added once", layer, rules, bias_once=True)
    if layer.weight_exp < 0:
        yield ReadoutMutant("readout shifted once, after all steps", layer, rules, shift_last=True)
    for other in ROUNDINGS if layer.weight_exp < 0 else ():
        if other != rules.shift_rounding:
            name = f"readout sums rounded {other} instead of {rules.shift_rounding}"
            yield ReadoutMutant(name, layer, replace(rules, shift_rounding=other))
    for decoding in DECODINGS:
        if decoding != layer.decoding:
            name = f"readout's {CALLED[decoding]} membrane potential instead of its {CALLED[layer.decoding]}"
            yield ReadoutMutant(name, replace(layer, decoding=decoding), rules)
    if layer.v_decay.any():
        yield from _leaky(layer, rules)
    if (layer.u_decay < NO_DECAY_FILTER).any():
        name = "readout without its current filter"
        yield ReadoutMutant(name, replace(layer, u_decay=UNFILTERED), rules)
        yield ReadoutMutant("readout bias filtered by the current decay", layer, rules, filtered_bias=True)
    for apart in lanes:
        name = "readout's membrane potential not cleared between samples"
        yield ReadoutMutant(name, layer, rules, kept=True, lanes=apart)


def _leaky(layer: Readout, rules: Arithmetic) -> Iterator[ReadoutMutant]:
    yield ReadoutMutant("readout without its leak", replace(layer, v_decay=NO_DECAY), rules)
    yield ReadoutMutant("readout leaks what arrives, too", layer, rules, leaks_all=True)
    for other in ROUNDINGS:
        if other != rules.leak_rounding:
            name = f"readout leak rounded {other} instead of {rules.leak_rounding}"
            yield ReadoutMutant(name, layer, replace(rules, leak_rounding=other))
