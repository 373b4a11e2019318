"""Build the integer program layer by layer, and refuse what the integers cannot represent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    choose_scaling,
    quantize,
)
from sast_deploy.errors import CompileError
from sast_deploy.fixedpoint import shift
from sast_deploy.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatPool, FloatReadout
from sast_deploy.profile import Profile
from sast_deploy.program import LEAK_BITS, Conv2d, Dense, Layer, Program, Readout, Shape, SumPool, frozen_ints

INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class LayerFacts:
    """What the compiler established about one weighted layer.

    low, high: the exact worst-case accumulator for the actual weights and the input's range.
    accumulator_bits: the signed width that holds it. zero_weights: share of weights that became 0.
    clipped_weights: share of weights beyond the clipping point. error: rms weight error over rms weight.
    vth: smallest, median and largest threshold in membrane LSBs (empty for the readout).
    """

    name: str
    shape: Shape
    weights: int
    exponent: int
    low: int
    high: int
    accumulator_bits: int
    zero_weights: float
    clipped_weights: float
    error: float
    vth: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Compilation:
    """The program, what is known of each weighted layer, and warnings for a person, one line each."""

    program: Program
    layers: tuple[LayerFacts, ...]
    warnings: tuple[str, ...]


def compile_network(network: FloatNetwork, profile: Profile, name: str) -> Compilation:
    """Compile a trained network for a profile.

    Raises:
        CompileError: weights that all become zero, a threshold that rounds to zero or leaves the state's
            range, a bias that leaves it, an accumulator wider than the profile's, values not finite.
    """
    return _Builder(network, profile).build(name)


class _Builder:
    def __init__(self, network: FloatNetwork, profile: Profile) -> None:
        self.network, self.profile = network, profile
        self.facts: list[LayerFacts] = []
        self.warnings: list[str] = []
        # What the next layer's weights see: the real value of one integer unit, and the largest integer.
        self.input_unit, self.input_max = 1.0 / network.input_clip, network.input_clip

    def build(self, name: str) -> Compilation:
        layers: list[Layer] = []
        shape: Shape = self.network.input_shape
        for index, layer in enumerate(self.network.layers):
            layers.append(self._layer(layer, f"layer {index}"))
            shape = layers[-1].out_shape(shape)
        program = Program(
            name,
            self.network.input_shape,
            self.network.input_clip,
            self.network.steps,
            self.network.classes,
            self.profile.arithmetic,
            tuple(layers),
        )
        return Compilation(program, tuple(self.facts), tuple(self.warnings))

    def _layer(self, layer: FloatDense | FloatConv2d | FloatPool | FloatReadout, where: str) -> Layer:
        if isinstance(layer, FloatPool):
            # The mean over a window is its sum in units of 1 / window size.
            area = layer.kernel[0] * layer.kernel[1]
            self.input_unit, self.input_max = self.input_unit / area, self.input_max * area
            return SumPool(layer.kernel)
        _require_usable(layer, where)
        real = layer.weight.astype(np.float64) * self.input_unit
        if isinstance(layer, FloatReadout):
            return self._readout(layer, real, where)
        return self._spiking(layer, real, where)

    def _readout(self, layer: FloatReadout, real: Float64Array, where: str) -> Readout:
        self._refuse_zeros(real, where)
        scaling = choose_readout_scaling(real, self.profile)
        weight = quantize(real, scaling.factor, scaling.exponent, self.profile.weight_max)
        bias = np.rint(layer.bias.astype(np.float64) * scaling.factor)
        self._bound(np.abs(bias), INT32_MAX // self.network.steps, where, "bias")
        self._note((where, "readout"), real, weight, scaling, ())
        return Readout(frozen_ints(weight), frozen_ints(bias), scaling.exponent)

    def _spiking(self, layer: FloatDense | FloatConv2d, real: Float64Array, where: str) -> Layer:
        self._refuse_zeros(real, where)
        theta = layer.threshold.astype(np.float64)
        scaling = choose_scaling(real.reshape(len(real), -1), theta, self.profile)
        weight = quantize(real, scaling.factor, scaling.exponent, self.profile.weight_max)
        vth = np.rint(theta * scaling.factor)
        bias = np.rint(layer.bias.astype(np.float64) * scaling.factor)
        self._check_neurons(weight, vth, bias, where)
        spread = tuple(int(v) for v in (vth.min(), np.median(vth), vth.max()))
        kind = "conv" if isinstance(layer, FloatConv2d) else "dense"
        self._note((where, kind), real, weight, scaling, spread)
        self.input_unit, self.input_max = 1.0, 1
        common = (frozen_ints(weight), frozen_ints(bias), frozen_ints(vth), scaling.exponent, self._decay())
        if isinstance(layer, FloatConv2d):
            return Conv2d(*common, layer.stride, layer.padding, layer.dilation, layer.groups)
        return Dense(*common)

    def _decay(self) -> int:
        return round((1.0 - self.network.alpha) * (1 << LEAK_BITS))

    def _check_neurons(self, weight: np.ndarray, vth: Float64Array, bias: Float64Array, where: str) -> None:
        state = self.profile.arithmetic.state
        for neuron in np.flatnonzero(vth < 1)[:1]:
            raise CompileError(
                f"the threshold of neuron {neuron} becomes {int(vth[neuron])}",
                where=where,
                expected=f"at least 1 LSB of {state}",
                todo='use a profile with more state bits, less headroom or scale = "neuron"',
            )
        self._bound(vth, state.high, where, "threshold")
        self._bound(np.abs(bias), state.high, where, "bias")
        silent = np.flatnonzero(~weight.reshape(len(weight), -1).any(axis=1))
        if len(silent):
            named = ", ".join(map(str, silent[:5])) + (", ..." if len(silent) > 5 else "")
            self.warnings.append(f"{where}: {len(silent)} neurons have no weight left (neuron {named})")

    def _bound(self, values: Float64Array, limit: int, where: str, what: str) -> None:
        for neuron in np.flatnonzero(values > limit)[:1]:
            raise CompileError(
                f"the {what} of neuron {neuron} is {values[neuron]:.0f} LSB",
                where=where,
                expected=f"at most {limit}",
                todo="use a profile with more state bits or a smaller scale",
            )

    def _refuse_zeros(self, real: Float64Array, where: str) -> None:
        if not real.any():
            raise CompileError("every weight is zero", where=where, expected="a trained layer")

    def _note(
        self,
        name: tuple[str, str],
        real: Float64Array,
        weight: np.ndarray,
        scaling: Scaling,
        vth: tuple[int, ...],
    ) -> None:
        where, kind = name
        if not weight.any():
            raise CompileError(
                f"all {weight.size} weights become zero at {self.profile.arithmetic.weight_bits} bits",
                where=where,
                todo='use scale = "layer" or "neuron", a lower exponent_min, or more weight bits',
            )
        rows = weight.reshape(len(weight), -1).astype(np.int64)
        high = int((np.maximum(rows, 0).sum(axis=1) * self.input_max).max())
        low = int((np.minimum(rows, 0).sum(axis=1) * self.input_max).min())
        ends = [shift(end, max(scaling.exponent, 0), "floor") for end in (low, high)]
        bits = max(end.bit_length() if end >= 0 else (-end - 1).bit_length() for end in ends) + 1
        if bits > self.profile.accumulator_bits:
            raise CompileError(
                f"the weighted sum reaches {low}..{high} times 2**{scaling.exponent}, {bits} bits",
                where=where,
                expected=f"at most accumulator.bits = {self.profile.accumulator_bits}",
            )
        step = (2.0**scaling.exponent / scaling.factor).reshape(-1, *[1] * (real.ndim - 1))
        error = np.sqrt(((weight * step - real) ** 2).mean() / (real**2).mean())
        clipped = float((np.abs(real) > step * (self.profile.weight_max + 0.5)).mean())
        self.facts.append(
            LayerFacts(
                f"{where} ({kind})",
                weight.shape,
                weight.size,
                scaling.exponent,
                low,
                high,
                bits,
                float((weight == 0).mean()),
                clipped,
                float(error),
                vth,
            )
        )


def _require_usable(layer: FloatDense | FloatConv2d | FloatReadout, where: str) -> None:
    parts = {"weight": layer.weight, "bias": layer.bias}
    if not isinstance(layer, FloatReadout):
        parts["threshold"] = layer.threshold
    for part, values in parts.items():
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            at = tuple(int(i) for i in bad[0])
            raise CompileError(f"{part}{list(at)} is {values[at]}", where=where, expected="finite numbers")
    if not isinstance(layer, FloatReadout):
        for neuron in np.flatnonzero(layer.threshold <= 0)[:1]:
            what = f"threshold[{neuron}] is {layer.threshold[neuron]}"
            raise CompileError(what, where=where, expected="positive numbers")
