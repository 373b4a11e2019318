"""One sample through a network, step by step: inputs, spikes, membrane potentials, logits over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.frames import Array
from sast_deploy.engines.reference import Integrators
from sast_deploy.program.program import Int32Array, Program, Readout, Shape, layer_label, per_neuron
from sast_deploy.program.record import Trace
from sast_deploy.program.sums import readout_sums


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """A spiking layer's part.

    shape: (n,) or (C, H, W). threshold: int32 (neurons,). membrane: int32 (time, neurons), in membrane LSBs,
    after the reset and before the comparison. spikes: uint8 (time, neurons). Neurons in C, H, W order.
    """

    name: str
    shape: Shape
    threshold: Int32Array
    membrane: npt.NDArray[np.int32]
    spikes: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SampleTrace:
    """What a network did with one sample.

    what: the sample, for people. frames: (time, C, H, W). layers: those that spike. logits: int64 (time,
    classes), as they would be if the sample ended with that step. label: the true class's index, or None.

    >>> sast.trace(net, frames[0]).logits.shape
    (4, 2)
    """

    what: str
    engine: str
    frames: Array
    layers: tuple[LayerTrace, ...]
    logits: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    label: int | None

    @property
    def prediction(self) -> int:
        """Index of the largest logit after the last step; the lowest index wins a tie."""
        return int(self.logits[-1].argmax())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """As the .npz file has them: frames, logits, classes, label (-1: unknown), and of each layer k that
        spikes membranes<k>, spikes<k>, thresholds<k>, shape<k>.
        """
        found: dict[str, npt.NDArray[Any]] = {
            "logits": self.logits, "frames": np.asarray(self.frames), "classes": np.array(self.classes),
            "label": np.array(-1 if self.label is None else self.label),
        }  # fmt: skip
        for number, layer in enumerate(self.layers):
            found |= {
                f"membranes{number}": layer.membrane, f"spikes{number}": layer.spikes,
                f"thresholds{number}": layer.threshold, f"shape{number}": np.array(layer.shape),
            }  # fmt: skip
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: without the arrays, but with the logits and spike counts."""
        rows = [
            {"name": each.name, "shape": list(each.shape), "spikes": int(each.spikes.sum()),
             "neurons_that_fired": int(each.spikes.any(axis=0).sum())}
            for each in self.layers
        ]  # fmt: skip
        label = None if self.label is None else self.classes[self.label]
        return {
            "sample": self.what, "engine": self.engine, "steps": len(self.logits),
            "prediction": self.classes[self.prediction], "label": label, "layers": rows,
            "logits": self.logits.tolist(),
        }  # fmt: skip


def trace_of(
    program: Program, frames: Array, traces: tuple[Trace, ...], what: str, engine: str, label: int | None
) -> SampleTrace:
    """Put together from a run's traces of one sample; frames (1, time, C, H, W)."""
    shapes, rows = program.shapes(), []
    for (index, layer), part in zip(program.spiking(), traces, strict=True):
        shape = shapes[index + 1]
        threshold = per_neuron(layer.vth, int(np.prod(shape)))
        rows.append(LayerTrace(layer_label(index, layer), shape, threshold, part.membrane[0], part.spikes[0]))
    logits = logits_over_time(program, frames, traces)
    return SampleTrace(what, engine, frames[0], tuple(rows), logits, program.classes, label)


def logits_over_time(program: Program, frames: Array, traces: tuple[Trace, ...]) -> npt.NDArray[np.int64]:
    """int64 (time, classes) of one sample, frames (1, time, C, H, W): what each step leaves as logits."""
    spikes, readout = [each.spikes for each in traces], program.layers[-1]
    if not isinstance(readout, Readout):
        return np.cumsum(spikes[-1][0], axis=0, dtype=np.int64)
    integrators = Integrators(readout, program.arithmetic)
    sums = readout_sums(program, frames, spikes)[0].tolist()
    return np.array([integrators.step(step) for step in sums], np.int64)
