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

from sast_deploy.engines.lava.processes.neuron import LIF, Accumulator
from sast_deploy.engines.lava.processes.synapse import Recurrence, Resample, Synapse
from sast_deploy.engines.lava.shared import BatchClock, Results
from sast_deploy.program.program import Dense, Program, Readout, Resampling, layer_label


class Block(AbstractProcess):  # type: ignore[misc]
    """One layer, as NetX builds them: inp -> synapse -> neuron -> out; a resampling layer has no neuron.

    recurrence: neuron -> recurrence -> neuron, or None.
    """

    def __init__(
        self,
        synapse: Synapse | Resample,
        neuron: LIF | Accumulator | None = None,
        recurrence: Recurrence | None = None,
    ) -> None:
        super().__init__(name=synapse.name.rpartition(" ")[0])
        self.synapse, self.neuron, self.recurrence = synapse, neuron, recurrence
        end = synapse.out if neuron is None else neuron.out
        self.inp = InPort(shape=synapse.inp.shape)
        self.out = OutPort(shape=end.shape)
        self.output_message_bits = 0
        self.inp.connect(synapse.inp)
        if neuron is not None:
            synapse.out.connect(neuron.inp)
        if neuron is not None and recurrence is not None:
            neuron.out.connect(recurrence.inp)
            recurrence.out.connect(neuron.inp)
        end.connect(self.out)


class ProgramNetwork(Network):  # type: ignore[misc]
    """NetX's Network with reset by subtraction, exact arithmetic and `clock.batch` samples at once.

    Ports inp uint8 (batch, C*H*W) and out int64 (batch, classes); layers, in_layer and out_layer as NetX has
    them. Where NetX would build its own blocks from /layer, `_create` builds them from `program`; net_config:
    any file with that group.
    """

    def __init__(self, net_config: str, program: Program, clock: BatchClock, results: Results) -> None:
        self._program, self._clock, self._results = program, clock, results
        super().__init__(net_config, input_message_bits=8)
        self.net_config.f.close()

    def _create(self) -> list[Block]:
        blocks, shapes = [], self._program.shapes()
        for index, layer in enumerate(self._program.layers):
            blocks.append(self._block(index))
            if index:
                blocks[-2].out.connect(blocks[-1].inp)
            self.net_str += f"{layer_label(index, layer)}: {shapes[index]} -> {shapes[index + 1]}\n"
        return blocks

    def _block(self, index: int) -> Block:
        layer, parts = self._program.layers[index], (self._program, index, self._clock, self._results)
        if isinstance(layer, Resampling):
            return Block(Resample(*parts))
        if isinstance(layer, Readout):
            return Block(Synapse(*parts), Accumulator(*parts))
        recurrent = isinstance(layer, Dense) and layer.recurrent is not None
        return Block(Synapse(*parts), LIF(*parts), Recurrence(*parts) if recurrent else None)


@implements(protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class _PassThrough(AbstractSubProcessModel):  # type: ignore[misc]
    """A process that only groups others."""

    def __init__(self, proc: Any) -> None:
        """Nothing to build: the process connected its parts itself."""


@implements(proc=Block)
class PyBlock(_PassThrough):
    """Process model of Block."""


@implements(proc=ProgramNetwork)
class PyProgramNetwork(_PassThrough):
    """Process model of ProgramNetwork."""
