"""The network: a NetX Network whose layers run the exact program of a .net file, batched."""

from __future__ import annotations

from typing import Any

from lava.lib.dl.netx.hdf5 import Network
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_deploy.program import Conv2d, Dense, Layer, Program, Readout, Shape
from sast_deploy.simulate.lava.clock import BatchClock
from sast_deploy.simulate.lava.exact import input_maxima
from sast_deploy.simulate.lava.processes.neuron import LIF, Accumulator
from sast_deploy.simulate.lava.processes.synapse import Synapse
from sast_deploy.simulate.lava.results import Results


class Block(AbstractProcess):  # type: ignore[misc]
    """One layer, as NetX builds them: inp -> synapse -> neuron -> out; a pooling layer has no neuron."""

    def __init__(self, synapse: Synapse, neuron: LIF | Accumulator | None) -> None:
        super().__init__(name=synapse.name.rpartition(" ")[0])
        self.synapse, self.neuron = synapse, neuron
        end = synapse.a_out if neuron is None else neuron.s_out
        self.inp = InPort(shape=synapse.s_in.shape)
        self.out = OutPort(shape=end.shape)
        self.output_message_bits = 0
        self.inp.connect(synapse.s_in)
        if neuron is not None:
            synapse.a_out.connect(neuron.a_in)
        end.connect(self.out)


class ProgramNetwork(Network):  # type: ignore[misc]
    """NetX's Network with reset by subtraction, exact arithmetic and `clock.batch` samples at once.

    Ports inp uint8 (batch, C*H*W) and out int64 (batch, classes); layers, in_layer and out_layer as NetX has
    them. Where NetX would build its own blocks from /layer, `_create` builds them from `program`, which
    the caller read from the same file.
    """

    def __init__(self, net_config: str, program: Program, clock: BatchClock, results: Results) -> None:
        self._program, self._clock, self._results = program, clock, results
        super().__init__(net_config, input_message_bits=8)
        self.net_config.f.close()

    def _create(self) -> list[Block]:
        shapes, maxima = self._program.shapes(), input_maxima(self._program)
        blocks: list[Block] = []
        for index, layer in enumerate(self._program.layers):
            name = f"layer {index} ({layer.kind})"
            synapse = Synapse(layer, shapes[index], maxima[index], self._clock.batch, f"{name} synapse")
            blocks.append(Block(synapse, self._neuron(layer, shapes[index + 1], blocks, f"{name} neuron")))
            if index:
                blocks[-2].out.connect(blocks[-1].inp)
            self.net_str += f"{name}: {shapes[index]} -> {shapes[index + 1]}\n"
        return blocks

    def _neuron(self, layer: Layer, shape: Shape, before: list[Block], name: str) -> LIF | Accumulator | None:
        rules = self._program.arithmetic
        if isinstance(layer, (Dense, Conv2d)):
            spiking = sum(isinstance(block.neuron, LIF) for block in before)
            return LIF(layer, shape, rules, self._clock, self._results.neurons[spiking], name)
        if isinstance(layer, Readout):
            return Accumulator(layer, rules, self._clock, self._results.logits, self._results.beats, name)
        return None


class _PassThrough(AbstractSubProcessModel):  # type: ignore[misc]
    """A process that only groups others."""

    def __init__(self, proc: Any) -> None:
        """Nothing to build: the process connected its parts itself."""


@implements(proc=Block, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBlock(_PassThrough):
    """Process model of Block."""


@implements(proc=ProgramNetwork, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProgramNetwork(_PassThrough):
    """Process model of ProgramNetwork."""
