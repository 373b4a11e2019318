"""Synapses: a_t = sum_j W_ij x_j,t of a dense, convolutional or pooling layer, exact integers.

Received, computed and sent within one time step, so a layer adds no latency.
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

from sast_deploy.program import Conv2d, Dense, Readout, Shape, SumPool
from sast_deploy.simulate.lava.exact import convolve, exact_type, sum_pool


class Synapse(AbstractProcess):  # type: ignore[misc]
    """Weighted sums of one layer: s_in (batch, inputs) -> a_out int64 (batch, outputs).

    layer: Dense, Conv2d, SumPool or Readout. in_shape: (C, H, W) or (n,). x_max: largest input value.
    """

    def __init__(
        self, layer: Dense | Conv2d | SumPool | Readout, in_shape: Shape, x_max: int, batch: int, name: str
    ) -> None:
        super().__init__(layer=layer, in_shape=in_shape, x_max=x_max, name=name)
        self.s_in = InPort(shape=(batch, int(np.prod(in_shape))))
        self.a_out = OutPort(shape=(batch, int(np.prod(layer.out_shape(in_shape)))))


@implements(proc=Synapse, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySynapse(PyLoihiProcessModel):  # type: ignore[misc]
    """Process model of Synapse."""

    # Lava adds what arrives to zeros of this type, so the narrowest one widens to what the sender used.
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.in_shape = proc_params["layer"], proc_params["in_shape"]
        if not isinstance(self.layer, SumPool):
            kind = exact_type(self.layer.weight, proc_params["x_max"])
            self.weight = self.layer.weight.astype(kind)

    def run_spk(self) -> None:
        """Receive the inputs, send the weighted sums."""
        self.a_out.send(self._accumulate(self.s_in.recv()))

    def _accumulate(self, inputs: np.ndarray) -> np.ndarray:
        images = (len(inputs), *self.in_shape)
        if isinstance(self.layer, SumPool):
            return sum_pool(inputs.reshape(images), self.layer).reshape(len(inputs), -1)
        values = inputs.astype(self.weight.dtype)
        if isinstance(self.layer, Conv2d):
            return convolve(values.reshape(images), self.weight, self.layer).reshape(len(inputs), -1)
        return np.asarray(values @ self.weight.T)
