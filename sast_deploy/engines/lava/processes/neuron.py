"""Neurons: leaky integrate-and-fire with reset by subtraction or to zero, and the readout's accumulators."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_deploy.engines.lava.clock import BatchClock
from sast_deploy.engines.lava.results import NeuronResults
from sast_deploy.program.fixedpoint import Arithmetic, divide_pow2_array, fit_array, shift_array
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY_FILTER,
    Readout,
    Shape,
    SpikingLayer,
    per_neuron,
)


class LIF(AbstractProcess):  # type: ignore[misc]
    """One layer of neurons: a_in int64 (batch, neurons) -> s_out uint8 (batch, neurons).

        c_t = shift(a_t, weight_exp)                                  no current filter: u_decay = 4096
        c_t = wrap24(leak(c_{t-1}, u_decay) + shift(a_t, weight_exp))
        u_t = fit(leak(u_{t-1}, v_decay) + c_t + bias - vth * s_{t-1})         reset "subtract"
        u_t = fit(leak(u_{t-1} * (1 - s_{t-1}), v_decay) + c_t + bias)         reset "zero"
        s_t = u_t >= vth  (or u_t > vth)

    Vars c, u, s (batch, neurons); vth, bias, v_decay, u_decay (neurons,). c, u and s are cleared at every
    sample's first step, and by `reset_interval` as sast_deploy/program/program.py says.
    """

    def __init__(
        self,
        layer: SpikingLayer,
        shape: Shape,
        rules: Arithmetic,
        clock: BatchClock,
        results: NeuronResults,
        reset_interval: int,
        name: str,
    ) -> None:
        super().__init__(
            layer=layer, rules=rules, clock=clock, results=results, reset_interval=reset_interval, name=name
        )
        size = int(np.prod(shape))
        self.a_in = InPort(shape=(clock.batch, size))
        self.s_out = OutPort(shape=(clock.batch, size))
        self.c = Var(shape=(clock.batch, size), init=0)
        self.u = Var(shape=(clock.batch, size), init=0)
        self.s = Var(shape=(clock.batch, size), init=0)
        self.vth = Var(shape=(size,), init=per_neuron(layer.vth, size))
        self.bias = Var(shape=(size,), init=per_neuron(layer.bias, size))
        self.v_decay = Var(shape=(size,), init=per_neuron(layer.v_decay, size))
        self.u_decay = Var(shape=(size,), init=per_neuron(layer.u_decay, size))


@implements(proc=LIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLIF(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of LIF."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)
    c: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    u: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    s: np.ndarray = LavaPyType(np.ndarray, np.uint8, precision=1)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    v_decay: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=13)
    u_decay: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=13)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.rules = proc_params["layer"], proc_params["rules"]
        self.clock, self.results = proc_params["clock"], proc_params["results"]
        self.reset_interval = proc_params["reset_interval"]
        self.filtered = bool((self.layer.u_decay != NO_DECAY_FILTER).any())

    def run_spk(self) -> None:
        """Receive weighted sums, update every neuron, send spikes."""
        samples, step = self.clock.at(self.time_step)
        if self._cleared_at(step):
            # The remembered spike goes too: else a sample would start with its predecessor's reset.
            self.c[:], self.u[:], self.s[:] = 0, 0, 0
        arriving = shift_array(self.a_in.recv(), self.layer.weight_exp, self.rules.shift_rounding)
        self.c[:] = self._current(arriving)
        self.u[:] = fit_array(self._reset() + self.c + self.bias, self.rules.state, self.rules.overflow)
        self.s[:] = self.u >= self.vth if self.rules.comparison == ">=" else self.u > self.vth
        self._record(samples, step)
        self.s_out.send(self.s)

    def _cleared_at(self, step: int) -> bool:
        interval = self.reset_interval
        return step == 0 or bool(interval and step % interval == self.layer.reset_offset)

    def _current(self, arriving: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if not self.filtered:
            return arriving
        kept = fit_array(self._leak(self.c, self.u_decay) + arriving, CURRENT, "wrap")
        return np.where(self.u_decay == NO_DECAY_FILTER, arriving, kept)

    def _reset(self) -> npt.NDArray[np.int64]:
        if self.rules.reset == "subtract":
            return np.asarray(self._leak(self.u, self.v_decay) - self.vth * self.s)
        return self._leak(np.where(self.s, 0, self.u), self.v_decay)

    def _leak(self, state: npt.NDArray[np.int64], decay: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return divide_pow2_array(state * ((1 << LEAK_BITS) - decay), LEAK_BITS, self.rules.leak_rounding)

    def _record(self, samples: slice, step: int) -> None:
        valid = samples.stop - samples.start
        self.results.counts[samples] += self.s[:valid]
        if self.results.membrane is not None:
            self.results.membrane[samples, step] = self.u[:valid]
            self.results.spikes[samples, step] = self.s[:valid]
        if self.results.beats is not None:
            self.results.beats[0] = self.time_step


class Accumulator(AbstractProcess):  # type: ignore[misc]
    """The readout: logits = sum_t (shift(a_t, weight_exp) + bias).

    a_in int64 (batch, classes); s_out int64, the logits so far. Var logits (batch, classes).
    """

    def __init__(
        self,
        layer: Readout,
        rules: Arithmetic,
        clock: BatchClock,
        logits: npt.NDArray[np.int64],
        beats: npt.NDArray[np.int64],
        name: str,
    ) -> None:
        super().__init__(layer=layer, rules=rules, clock=clock, logits=logits, beats=beats, name=name)
        shape = (clock.batch, len(layer.bias))
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.total = Var(shape=shape, init=0)
        self.bias = Var(shape=(len(layer.bias),), init=layer.bias)


@implements(proc=Accumulator, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyAccumulator(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of Accumulator; its count of finished Lava steps is the run's heartbeat."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int64)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)
    total: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=32)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.rules, self.clock = proc_params["layer"], proc_params["rules"], proc_params["clock"]
        self.logits, self.beats = proc_params["logits"], proc_params["beats"]

    def run_spk(self) -> None:
        """Receive weighted sums, add them up, write the logits after a sample's last step."""
        samples, step = self.clock.at(self.time_step)
        if step == 0:
            self.total[:] = 0
        sums = shift_array(self.a_in.recv(), self.layer.weight_exp, self.rules.shift_rounding)
        self.total += sums + self.bias
        if step == self.clock.steps - 1:
            self.logits[samples] = self.total[: samples.stop - samples.start]
        self.beats[0] = self.time_step
        self.s_out.send(self.total)
