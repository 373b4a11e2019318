"""Synapses: weighted sums of a dense, convolutional or pooling layer, exact integers.

Received, computed and sent within one time step, so a layer adds no latency but its own delays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_deploy.engines.lava.clock import BatchClock
from sast_deploy.engines.lava.exact import convolve, exact_type
from sast_deploy.program.fixedpoint import Arithmetic
from sast_deploy.program.program import Conv2d, Dense, Int32Array, Readout, Shape, SumPool
from sast_deploy.program.sums import pooled


class Pool(AbstractProcess):  # type: ignore[misc]
    """Pooled values of one layer: s_in (batch, inputs) -> a_out int64 (batch, outputs), no delay.

    in_shape: (C, H, W).
    """

    def __init__(self, layer: SumPool, in_shape: Shape, rules: Arithmetic, batch: int, name: str) -> None:
        super().__init__(layer=layer, in_shape=in_shape, rules=rules, name=name)
        self.s_in = InPort(shape=(batch, int(np.prod(in_shape))))
        self.a_out = OutPort(shape=(batch, int(np.prod(layer.out_shape(in_shape)))))


@implements(proc=Pool, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPool(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of Pool."""

    # Lava adds what arrives to zeros of this type, so the narrowest one widens to what the sender used.
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.in_shape = proc_params["layer"], proc_params["in_shape"]
        self.rules = proc_params["rules"]

    def run_spk(self) -> None:
        """Receive the inputs, send the pooled values."""
        inputs = self.s_in.recv()
        images = inputs.reshape(len(inputs), *self.in_shape)
        self.a_out.send(pooled(self.layer, images, self.rules.shift_rounding).reshape(len(inputs), -1))


class Synapse(AbstractProcess):  # type: ignore[misc]
    """Weighted sums of one layer: s_in (batch, inputs) -> a_out int64 (batch, outputs).

        a_t = sum_j W_ij x_j,(t - delay_ij)

    in_shape: (C, H, W) or (n,). x_max: largest input value. What is under way is lost at every sample's
    first step.
    """

    def __init__(
        self, layer: Dense | Conv2d | Readout, in_shape: Shape, x_max: int, clock: BatchClock, name: str
    ) -> None:
        super().__init__(layer=layer, in_shape=in_shape, x_max=x_max, clock=clock, name=name)
        self.s_in = InPort(shape=(clock.batch, int(np.prod(in_shape))))
        self.a_out = OutPort(shape=(clock.batch, int(np.prod(layer.out_shape(in_shape)))))


@implements(proc=Synapse, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySynapse(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of Synapse."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.in_shape = proc_params["layer"], proc_params["in_shape"]
        self.clock = proc_params["clock"]
        weight = self.layer.weight.astype(exact_type(self.layer.weight, proc_params["x_max"]))
        delays = np.unique(self.layer.delay).tolist()
        # The weights of every delay; the others' are 0.
        parts = [weight] if len(delays) == 1 else [np.where(self.layer.delay == d, weight, 0) for d in delays]
        self.weights = dict(zip(delays, parts, strict=True))
        self.past: list[np.ndarray] = []  # the inputs of this and the last steps, newest first

    def run_spk(self) -> None:
        """Receive the inputs, send the weighted sums of what arrives."""
        _, step = self.clock.at(self.time_step)
        if step == 0:
            self.past = []
        self.past = [self.s_in.recv(), *self.past][: max(self.weights) + 1]
        arrived = [
            self._product(self.past[delay], weight)
            for delay, weight in self.weights.items()
            if delay < len(self.past)
        ]
        self.a_out.send(sum(arrived[1:], arrived[0]) if arrived else np.zeros(self.a_out.shape))

    def _product(self, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        inputs = values.astype(weight.dtype)
        if isinstance(self.layer, Conv2d):
            images = inputs.reshape(len(inputs), *self.in_shape)
            return convolve(images, weight, self.layer).reshape(len(inputs), -1)
        return np.asarray(inputs @ weight.T)


class Recurrence(AbstractProcess):  # type: ignore[misc]
    """A layer's own spikes of the step before: s_in (batch, n) -> a_out int64 (batch, n), R s_(t-1)."""

    def __init__(self, weight: Int32Array, clock: BatchClock, name: str) -> None:
        super().__init__(weight=weight, clock=clock, name=name)
        self.s_in = InPort(shape=(clock.batch, len(weight)))
        self.a_out = OutPort(shape=(clock.batch, len(weight)))


@implements(proc=Recurrence, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecurrence(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of Recurrence: it sends before it receives, or the neurons and it would wait for one
    another.
    """

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.clock = proc_params["clock"]
        weight = proc_params["weight"]
        self.weight = weight.astype(exact_type(weight, 1))
        self.next: np.ndarray | None = None

    def run_spk(self) -> None:
        """Send what the last spikes cause, receive the new ones."""
        _, step = self.clock.at(self.time_step)
        if step == 0 or self.next is None:
            self.next = np.zeros(self.a_out.shape)
        self.a_out.send(self.next)
        self.next = self.s_in.recv().astype(self.weight.dtype) @ self.weight.T
