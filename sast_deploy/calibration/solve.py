"""One pass through the network: every layer's integers, chosen on what the layers below really send."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.calibration.hidden import choose_hidden
from sast_deploy.calibration.moments import Moments, compensated, measure
from sast_deploy.calibration.place import Place
from sast_deploy.calibration.readout import choose_readout, is_linear
from sast_deploy.calibration.rounding import prepare
from sast_deploy.calibration.scales import moment_points
from sast_deploy.calibration.targets import Frames, Targets, filter_of, leak_of, real_weights
from sast_deploy.calibration.task import Options, Seen, Task
from sast_deploy.compiler.choice import LayerChoice
from sast_deploy.compiler.floatnet import FloatNetwork, FloatResampling, FloatSpiking
from sast_deploy.compiler.quantize import Float64Array
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import Program, Readout, Resampling
from sast_deploy.program.sums import Weighted, input_maxima, layer_inputs, resampled

Array = npt.NDArray[Any]


@dataclass(eq=False)
class Solver:
    """Passes over one network, profile and set of frames; keeps what all of them share.

    program: the network compiled without calibration, for shapes and geometry. targets: of these frames.
    first: what the frames tell about the first layer; it is the same in every pass.
    """

    network: FloatNetwork
    profile: Profile
    program: Program
    frames: Frames
    targets: Targets
    first: Seen | None = None

    def choices(self, options: Options) -> dict[int, LayerChoice]:
        """Every weighted layer's choice, by its index."""
        wanted = layer_inputs(self.program, self.frames, self.targets.spikes, None)
        trains, built = iter(self.targets.spikes), self.program
        found: dict[int, LayerChoice] = {}
        x: Array = self.frames
        for index, layer in enumerate(self.program.layers):
            if isinstance(layer, Resampling):
                x = resampled(layer, x, self.program.arithmetic.shift_rounding)
                continue
            task = self._task(index, layer, x, wanted[index], options)
            if isinstance(layer, Readout):
                found[index] = choose_readout(task, self.targets.logits)
                continue
            place = Place(built, index, self.frames, next(trains), self._leak_above(index))
            threshold = np.asarray(self.network.layers[index].threshold, np.float64)  # type: ignore[union-attr]
            chosen, scaling = choose_hidden(task, layer, threshold, place)
            found[index] = LayerChoice(scaling, chosen.weight, chosen.bias, chosen.vth)
            x = place.spikes(chosen).reshape(*x.shape[:2], *self.program.shapes()[index + 1])
            built = replace(built, layers=(*built.layers[:index], chosen, *built.layers[index + 1 :]))
        return found

    def _task(self, index: int, layer: Weighted, x: Array, wanted: Array, options: Options) -> Task:
        trained = self.network.layers[index]
        weights = real_weights(self.network)[index]
        if isinstance(trained, FloatResampling) or weights is None:
            raise ValueError(f"layer {index} of program and network differ")
        real = weights.reshape(len(weights), -1)
        centred = isinstance(layer, Readout) and options.measures and is_linear(layer)
        if centred:
            real = real - real.mean(axis=0)
        profile = replace(self.profile, clipping="mse") if options.clipping else self.profile
        aim, seen = self._look(index, layer, real, x, wanted, options)
        bias, largest = trained.bias.astype(np.float64), input_maxima(self.program)[index]
        alpha = leak_of(self.network, index)
        return Task(layer, real, aim, bias, x, largest, seen, profile, options, alpha=alpha, centred=centred)

    def _look(
        self, index: int, layer: Weighted, real: Float64Array, x: Array, wanted: Array, options: Options
    ) -> tuple[Float64Array, Seen]:
        """What the layer's integers should be, and what its inputs tell."""
        if not options.measures:
            return real, Seen()
        leak, kappa = leak_of(self.network, index), filter_of(self.network, index)
        if x is self.frames:
            if self.first is None:
                moments = measure(layer, x, x, leak, kappa=kappa)
                self.first = Seen(moments, prepare(moments), self._points(layer, real, moments))
            return real, self.first
        moments = measure(layer, x, wanted, leak, kappa=kappa)
        aim = compensated(real, moments) if options.rounding else real
        feedback = prepare(moments) if options.rounding else ()
        return aim, Seen(moments, feedback, self._points(layer, aim, moments) if options.search else None)

    def _points(self, layer: Weighted, aim: Float64Array, moments: Moments) -> Float64Array | None:
        """The search's clipping points; None for a readout, which has one for all, and for scale "unit"."""
        if isinstance(layer, Readout) or self.profile.weight_scale == "unit":
            return None
        return moment_points(aim, moments, self.profile)

    def _leak_above(self, index: int) -> float:
        """The leak of the membranes that a layer's spikes act on; below the readout the layer's own."""
        above = range(index + 1, len(self.network.layers))
        spiking = (i for i in above if isinstance(self.network.layers[i], FloatSpiking))
        return leak_of(self.network, next(spiking, index))
