"""Sources: they send the frames of a batch of samples, one time step after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from sast_deploy.engines.lava.shared import BatchClock


class FrameSource(AbstractProcess):  # type: ignore[misc]
    """Sends x_t of a batch of samples: uint8 (batch, C*H*W). The last batch is filled up with zeros.

    frames: uint8 (samples, time, C, H, W); the forked process model reads it where it lies, uncopied.
    """

    def __init__(self, frames: npt.NDArray[np.integer[Any]], clock: BatchClock) -> None:
        super().__init__(frames=frames, clock=clock, name="source")
        self.s_out = OutPort(shape=(clock.batch, int(np.prod(frames.shape[2:]))))


class WideFrameSource(FrameSource):
    """FrameSource of int32 frames."""


@implements(protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class _Sender(PyLoihiProcessModel):  # type: ignore[misc]
    """What the process models of both have in common; one that implements a process can have no heirs."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.frames, self.clock = proc_params["frames"], proc_params["clock"]

    def run_spk(self) -> None:
        """Send the frames of this step."""
        samples, step = self.clock.at(self.time_step)
        now = self.frames[samples, step].reshape(samples.stop - samples.start, -1)
        if len(now) < self.clock.batch:
            now = np.concatenate([now, np.zeros((self.clock.batch - len(now), now.shape[1]), now.dtype)])
        self.s_out.send(now)


@implements(proc=FrameSource)
class PyFrameSource(_Sender):
    """Process model of FrameSource."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8)


@implements(proc=WideFrameSource)
class PyWideFrameSource(_Sender):
    """Process model of WideFrameSource."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


def source_of(frames: npt.NDArray[np.integer[Any]], clock: BatchClock) -> FrameSource:
    """The source of uint8 or int32 frames."""
    return (FrameSource if frames.dtype == np.uint8 else WideFrameSource)(frames, clock)
