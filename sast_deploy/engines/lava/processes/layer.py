"""What the processes of a layer have in common: two ports, and models that run on the CPU."""

from __future__ import annotations

import math
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

from sast_deploy.engines.lava.shared import BatchClock, Results
from sast_deploy.program.program import Program, layer_label


class LayerProcess(AbstractProcess):  # type: ignore[misc]
    """One part of the layer `index` of a program: inp (batch, inputs) -> out (batch, outputs).

    Its inputs are the layer's where `first`, else they are as many as the layer's outputs.
    """

    part, first = "neuron", False

    def __init__(self, program: Program, index: int, clock: BatchClock, results: Results) -> None:
        name = f"{layer_label(index, program.layers[index])} {self.part}"
        super().__init__(program=program, index=index, clock=clock, results=results, name=name)
        before, after = program.shapes()[index : index + 2]
        self.inp = InPort(shape=(clock.batch, math.prod(before if self.first else after)))
        self.out = OutPort(shape=(clock.batch, math.prod(after)))


@implements(protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class LayerModel(PyLoihiProcessModel):  # type: ignore[misc]
    """What the process models have in common: its arguments; spikes in, sums out where they say no other."""

    # Lava adds what arrives to zeros of this type, so the narrowest one widens to what the sender used.
    inp: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8)
    out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int64)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.program, self.index = proc_params["program"], proc_params["index"]
        self.clock, self.results = proc_params["clock"], proc_params["results"]
        self.layer, self.rules = self.program.layers[self.index], self.program.arithmetic
