"""What the readers of other frameworks make of a NIR graph, and what they cannot express.

Each was read in its source: snnTorch 1.0.0 (import_nir.py), Norse 1.1.0 (import_nir.py), SpikingJelly 2.0.0
(nir_exchange/from_nir.py), sinabs 3.1.3 (nir.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from sast_deploy.base.errors import ExchangeError
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatNetwork,
    FloatReadout,
    FloatSpiking,
    FloatUpsample,
)
from sast_deploy.exchange.nir.reading import EQUATIONS, Reading
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import NO_DECAY_FILTER, Program, per_neuron
from sast_deploy.proofs.bounds import NeuronBounds, bound_neurons


@dataclass(frozen=True)
class Target:
    """Who reads a graph. reading: how. one_leak: of all neurons of a layer. one_threshold: likewise; weights
    are divided by it. mean_pools: AvgPool2d, else SumPool2d. grouped: convolutions may be. forgetful: leaks
    of 0 may be. filters: of currents. whole: recurrence, delays, readouts.
    """

    title: str
    reading: Reading
    one_leak: bool = False
    one_threshold: bool = True
    mean_pools: bool = True
    grouped: bool = True
    forgetful: bool = True
    filters: bool = True
    whole: bool = False


_HARD = replace(EQUATIONS, dt=1e-4, leak="euler", reset="zero")
TARGETS: Mapping[str | None, Target] = {
    None: Target("NIR", replace(EQUATIONS, dt=1e-4, leak="euler"), one_threshold=False, whole=True),
    "snntorch": Target("snnTorch", replace(_HARD, comparison=">", integrator_gain="plain")),
    "norse": Target(
        "Norse", replace(_HARD, dt=1e-3, comparison=">", integrator_gain="plain"),
        one_threshold=False, mean_pools=False, filters=False,
    ),
    "spikingjelly": Target(
        "SpikingJelly", replace(_HARD, comparison=">="), one_leak=True, grouped=False, forgetful=False
    ),
    "sinabs": Target(
        "sinabs",
        replace(EQUATIONS, dt=1.0, leak="exp", gain="plain", integrator_gain="plain", reset="subtract",
                reset_order="before-leak", comparison=">="),
        one_threshold=False, mean_pools=False, forgetful=False, filters=False,
    ),
}  # fmt: skip


def check_target(
    network: FloatNetwork, program: Program | None, target: Target, where: str
) -> tuple[str, ...]:
    """What the target will do otherwise, a line each. Raises ExchangeError: what it cannot express at all."""
    _Check(network, program, target, where).layers()
    return tuple(_altered(network, program, target, where))


class _Check:
    def __init__(self, network: FloatNetwork, program: Program | None, target: Target, where: str) -> None:
        self.network, self.program, self.target, self.where = network, program, target, where

    def layers(self) -> None:
        self._reset()
        for index, layer in enumerate(self.network.layers):
            for found in self._unknown(layer):
                self._refuse(f"layer {index}: {found}")

    def _refuse(self, found: str, todo: str | None = None) -> NoReturn:
        what = f"{self.target.title} cannot express {found}"
        other = None if self.target.whole else "export it as NIR without a target"
        raise ExchangeError(what, where=self.where, todo=todo or other)

    def _reset(self) -> None:
        """Of a graph that is read as NIR, our metadata has it; a framework's reader has one."""
        reading, network = self.target.reading, self.network
        if reading.reset is None:
            return
        spiking = [each for each in network.layers if isinstance(each, FloatSpiking)]
        same_orders = all((network.leak(layer) == 1).all() for layer in spiking)
        if network.reset != reading.reset:
            self._refuse(f"a reset {network.reset!r}: its reader has {reading.reset!r} alone")
        if network.reset == "subtract" and network.reset_order != reading.reset_order and not same_orders:
            found = f"a reset {network.reset_order}"
            self._refuse(f"{found}: its reader has {reading.reset_order} alone")
        if self.target.title == "sinabs":
            self._several()

    def _several(self) -> None:
        """sinabs reads neurons that fire several times a step, and those without leak with a lower bound."""
        if self.program is None:
            self._refuse("neurons that fire once a step at most", "compile it: of integers that can be proved")
        bounds = bound_neurons(self.program)
        for index, layer in self.program.spiking():
            state = bounds[index].state
            vth = per_neuron(layer.vth, len(state.high))
            if (state.high >= 2 * vth).any():
                self._refuse(f"layer {index}: membrane potentials that may reach twice the threshold")
            if not layer.v_decay.any() and (state.low < -vth).any():
                self._refuse(f"layer {index}: membrane potentials that may fall below minus the threshold")

    def _unknown(self, layer: object) -> Iterator[str]:
        target = self.target
        if isinstance(layer, FloatUpsample):
            yield "an upsampling"
        if isinstance(layer, FloatDense) and layer.recurrent is not None and not target.whole:
            yield "recurrent weights"
        if not isinstance(layer, FloatDense | FloatConv2d | FloatReadout):
            return
        if layer.delay.any() and not target.whole:
            yield "delays"
        if layer.delay.ndim == 2:
            yield "a delay for each synapse"
        filtered = layer.current_leak is not None and bool(layer.current_leak.any())
        if filtered and not target.filters:
            yield "current filters"
        if filtered and layer.bias.any() and not target.whole:
            yield "a bias beside a current filter, which its readers would filter too"
        if isinstance(layer, FloatReadout):
            forgets = layer.leak is not None and bool((layer.leak < 1).any())
            if (forgets or filtered or layer.decoding != "last") and not target.whole:
                yield "a readout but the sum over time"
            return
        yield from self._neurons(layer)

    def _neurons(self, layer: FloatSpiking) -> Iterator[str]:
        leak, target = self.network.leak(layer), self.target
        if isinstance(layer, FloatConv2d) and layer.groups > 1 and not target.grouped:
            yield "a convolution in groups"
        if (leak == 0).any() and not target.forgetful:
            yield "a leak that keeps nothing"
        if target.one_leak and len(np.unique(leak)) > 1:
            yield "leaks that differ within a layer"
        if not target.whole and len({bool(each) for each in leak == 1}) > 1:
            yield "neurons with and without leak in one layer"


def _altered(
    network: FloatNetwork, program: Program | None, target: Target, where: str
) -> Iterator[str]:
    """What is not refused, and may spike otherwise there."""
    reading = target.reading
    half = program is not None and network.reset == "zero"
    if reading.comparison is not None and network.comparison != reading.comparison and not half:
        yield f"{target.title} fires at {reading.comparison}, this network at {network.comparison}"
    if program is not None:
        yield from _of_integers(program, target)
    if not target.whole and isinstance(network.layers[-1], FloatReadout):
        yield f"the last layer has no neurons in {target.title}: sum its output over the steps"


def _of_integers(program: Program, target: Target) -> Iterator[str]:
    rules, bounds = program.arithmetic, bound_neurons(program)
    for index, layer in program.spiking():
        for name, decay in (("leak", layer.v_decay), ("current leak", layer.u_decay)):
            if ((decay > 0) & (decay < NO_DECAY_FILTER)).any():
                yield (
                    f"layer {index}: integers round the {name} in every step ({rules.leak_rounding}), "
                    f"{target.title} does not"
                )
        if layer.weight_exp < 0:
            yield f"layer {index}: integers round its sums in every step, {target.title} does not"
        if count := _saturating(bounds[index], rules):
            yield f"layer {index}: {count} membrane potentials may leave {rules.state}, which has no end there"


def _saturating(bounds: NeuronBounds, rules: Arithmetic) -> int:
    return int(np.count_nonzero(bounds.membrane.leaves(rules.state, rules.overflow)))
