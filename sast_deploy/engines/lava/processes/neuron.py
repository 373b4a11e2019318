"""Neurons: leaky integrate-and-fire with reset by subtraction or to zero, and the readout's accumulators."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.decorator import implements
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType

from sast_deploy.engines.lava.processes.layer import LayerModel, LayerProcess
from sast_deploy.program.fixedpoint import Arithmetic, fit_array, shift_array
from sast_deploy.program.program import CURRENT, NO_DECAY_FILTER, leak, per_neuron


class LIF(LayerProcess):
    """One layer of neurons: inp int64 (batch, neurons) -> out uint8 (batch, neurons).

        c_t = shift(a_t, weight_exp)                                  no current filter: u_decay = 4096
        c_t = wrap24(leak(c_{t-1}, u_decay) + shift(a_t, weight_exp))
        u_t = fit(leak(u_{t-1}, v_decay) + c_t + bias - vth * s_{t-1})         reset "subtract", after-leak
        u_t = fit(leak(u_{t-1} - vth * s_{t-1}, v_decay) + c_t + bias)         reset "subtract", before-leak
        u_t = fit(leak(u_{t-1} * (1 - s_{t-1}), v_decay) + c_t + bias)         reset "zero"
        s_t = u_t >= vth  (or u_t > vth)

    c, u and s (batch, neurons) are cleared at every sample's first step, and by the program's reset_interval
    as sast_deploy/program/program.py says.
    """


@implements(proc=LIF)
class PyLIF(LayerModel):
    """Process model of LIF."""

    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        layer, neurons = self.layer, int(np.prod(self.program.shapes()[self.index + 1]))
        self.vth, self.bias, self.v_decay, self.u_decay = (
            per_neuron(values, neurons).astype(np.int64)
            for values in (layer.vth, layer.bias, layer.v_decay, layer.u_decay)
        )
        self.filtered = bool((layer.u_decay != NO_DECAY_FILTER).any())
        spiking = [index for index, _ in self.program.spiking()]
        self.number, self.last = spiking.index(self.index), self.index == len(self.program.layers) - 1

    def run_spk(self) -> None:
        """Receive weighted sums, update every neuron, send spikes."""
        samples, step = self.clock.at(self.time_step)
        arriving = shift_array(self.inp.recv(), self.layer.weight_exp, self.rules.shift_rounding)
        if self.program.clears(self.layer, step):
            # The remembered spike goes too: else a sample would start with its predecessor's reset.
            self.c, self.u, self.s = np.zeros((3, *arriving.shape), np.int64)
        self.c = self._current(arriving)
        self.u = fit_array(self._reset() + self.c + self.bias, self.rules.state, self.rules.overflow)
        self.s = (self.u >= self.vth if self.rules.comparison == ">=" else self.u > self.vth).view(np.uint8)
        self._record(samples, step)
        self.out.send(self.s)

    def _current(self, arriving: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return filtered(self.c, arriving, self.u_decay, self.rules) if self.filtered else arriving

    def _reset(self) -> npt.NDArray[np.int64]:
        rounding = self.rules.leak_rounding
        if self.rules.reset == "zero":
            return leak(np.where(self.s, 0, self.u), self.v_decay, rounding)
        if self.rules.reset_order == "before-leak":
            return leak(self.u - self.vth * self.s, self.v_decay, rounding)
        return np.asarray(leak(self.u, self.v_decay, rounding) - self.vth * self.s)

    def _record(self, samples: slice, step: int) -> None:
        valid, record = samples.stop - samples.start, self.results.record
        record.counts[self.number][samples] += self.s[:valid]
        if record.traces is not None:
            trace = record.traces[self.number]
            trace.membrane[samples, step] = self.u[:valid]
            trace.spikes[samples, step] = self.s[:valid]
        if self.last:
            self.results.beats[0] = self.time_step


class Accumulator(LayerProcess):
    """The readout: leaky integrators that never spike; without leak and filter, sums over time.

        m_t = leak(m_{t-1}, v_decay) + c_t + bias             c_t as in LIF

    inp int64 (batch, classes); out int64, the logits so far: the last m, the largest or the sum of all.
    """


@implements(proc=Accumulator)
class PyAccumulator(LayerModel):
    """Process model of Accumulator; its count of finished Lava steps is the run's heartbeat."""

    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        layer, classes = self.layer, len(self.layer.weight)
        self.v_decay, self.u_decay = (
            per_neuron(values, classes).astype(np.int64) for values in (layer.v_decay, layer.u_decay)
        )

    def run_spk(self) -> None:
        """Receive weighted sums, update every integrator, write the logits after a sample's last step."""
        samples, step = self.clock.at(self.time_step)
        arriving = shift_array(self.inp.recv(), self.layer.weight_exp, self.rules.shift_rounding)
        if step == 0:
            self.c, self.m = np.zeros((2, *arriving.shape), np.int64)
        self.c = filtered(self.c, arriving, self.u_decay, self.rules)
        left = leak(self.m, self.v_decay, self.rules.leak_rounding) if self.v_decay.any() else self.m
        self.m = left + self.c + self.layer.bias
        if step == 0 or self.layer.decoding == "last":
            self.logits = self.m
        else:
            together = np.maximum if self.layer.decoding == "max" else np.add
            self.logits = together(self.logits, self.m)
        if step == self.clock.steps - 1:
            self.results.record.logits[samples] = self.logits[: samples.stop - samples.start]
        self.results.beats[0] = self.time_step
        self.out.send(self.logits)


def filtered(
    current: npt.NDArray[np.int64], arriving: npt.NDArray[np.int64], decay: npt.NDArray[np.int64],
    rules: Arithmetic,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """The next current, (batch, neurons) each: what arrives, and with a filter what is left of `current`."""
    kept = fit_array(leak(current, decay, rules.leak_rounding) + arriving, CURRENT, "wrap")
    return np.where(decay == NO_DECAY_FILTER, arriving, kept)
