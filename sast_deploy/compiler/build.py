"""Build the integer program layer by layer, and refuse what the integers cannot represent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sast_deploy.base.errors import CompileError
from sast_deploy.base.rules import INT32
from sast_deploy.base.text import encodable, percent
from sast_deploy.compiler.choice import LayerChoice, check_choice
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatPool,
    FloatReadout,
    FloatResampling,
    FloatSpiking,
)
from sast_deploy.compiler.quantize import (
    Float64Array,
    Scaling,
    choose_readout_scaling,
    choose_scaling,
    constant_gain,
    gain_errors,
    quantize,
)
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import (
    CURRENT,
    LEAK_BITS,
    NO_DECAY,
    NO_DECAY_FILTER,
    UNFILTERED,
    Conv2d,
    Dense,
    Int32Array,
    Layer,
    Program,
    Readout,
    SumPool,
    Upsample,
    frozen_ints,
    per_neuron,
)
from sast_deploy.program.sums import readout_reach, weighted_layers
from sast_deploy.proofs.bounds import LayerProof, NeuronBounds, bound_neurons, prove, signed_bits
from sast_deploy.proofs.intervals import firing_limit

# A leak's rounding is worth a word where it changes the sum of a constant input over all steps by so much: a
# quarter of what rounding to 8 bits may change in a neuron's largest weight.
LEAK_ERROR = 1e-3


@dataclass(frozen=True)
class LayerFacts:
    """What the compiler established about one weighted layer.

    proof: what holds of the integers alone. clipped_weights: share of weights beyond the clipping point.
    error: rms weight error over rms weight. Both of all weights, the recurrent ones among them.
    """

    proof: LayerProof
    clipped_weights: float
    error: float


@dataclass(frozen=True, eq=False)
class Compilation:
    """The program, what is known of each weighted layer, and what a person should know, one line each.

    warnings: of what may cost accuracy. notes: of leaks that are no multiple of 1/4096, where it does not.
    """

    program: Program
    layers: tuple[LayerFacts, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def compile_network(
    network: FloatNetwork, profile: Profile, name: str, choices: Mapping[int, LayerChoice] | None = None
) -> Compilation:
    """Compile a trained network for a profile.

    choices: explicit integers by index in `network.layers`; every other layer is the compiler's own choice.
    What is refused and what is proved is the same for both.

    Raises:
        CompileError: weights that all become zero, a threshold that rounds to zero or leaves the state's
            range, a bias that leaves it, an accumulator wider than the profile's, a filtered current that may
            wrap, a readout that 64 bits may not hold, choices that do not fit the network or the profile.
    """
    return _Builder(network, profile, choices or {}).build(name)


class _Builder:
    def __init__(self, network: FloatNetwork, profile: Profile, choices: Mapping[int, LayerChoice]) -> None:
        self.network, self.choices = network, choices
        self.profile = profile.obeying(network.reset_order, network.comparison)
        self.losses: list[tuple[float, float]] = []  # share clipped and rms error of each weighted layer
        self.warnings: list[str] = []
        self.notes: list[str] = []
        # What the next layer's weights see: the real value of one integer unit, and the largest integer.
        self.input_unit, self.input_max = 1.0 / network.input_clip, network.input_max

    def build(self, name: str) -> Compilation:
        layers: list[Layer] = []
        self._compare_resets()
        for index, layer in enumerate(self.network.layers):
            layers.append(self._layer(layer, index))
        program = Program(
            encodable(name),
            self.network.input_shape,
            self.network.input_max,
            self.network.steps,
            tuple(map(encodable, self.network.classes)),
            self.profile.arithmetic,
            tuple(layers),
        )
        bounds = bound_neurons(program)
        self._check_sums(program, bounds)
        _check_currents(program, bounds)
        _check_logits(program, bounds)
        facts = [LayerFacts(p, *loss) for p, loss in zip(prove(program, bounds), self.losses, strict=True)]
        warnings = (*self.warnings, *_silent(program, bounds))
        return Compilation(program, tuple(facts), warnings, tuple(self.notes))

    def _compare_resets(self) -> None:
        trained, rules = self.network, self.profile.arithmetic
        if trained.reset != rules.reset:
            given = f"trained with reset {trained.reset!r}, but this profile has {rules.reset!r}"
            given += f": other spikes; a profile with reset.kind = {trained.reset!r} keeps them"
            self.warnings.append(given)
        elif trained.reset_order != rules.reset_order:
            given = f"trained with reset {trained.reset_order}, but this profile has {rules.reset_order}"
            self.warnings.append(given)
        if trained.comparison == ">" != rules.comparison and not self._stricter:
            what = 'a membrane potential that meets its threshold does not fire, but this profile has ">="'
            self.warnings.append(f"trained so that {what}")

    @property
    def _stricter(self) -> int:
        """What makes u >= vth + it the same as u > vth; 0 where other values would change with vth."""
        rules = self.profile.arithmetic
        exact = rules.reset == "zero" and self.profile.grid == 1
        return int(exact and self.network.comparison == ">" != rules.comparison)

    def _layer(self, layer: FloatLayer, index: int) -> Layer:
        where, choice = f"layer {index}", self.choices.get(index)
        if isinstance(layer, FloatResampling):
            # The mean over a window is its sum in units of 1 / window size.
            self.input_unit, self.input_max = self.input_unit / layer.area, self.input_max * layer.area
            return SumPool(layer.kernel) if isinstance(layer, FloatPool) else Upsample(layer.factors)
        real = layer.weight.astype(np.float64) * self.input_unit
        if choice is not None:
            check_choice(choice, real.shape, self.profile, where)
        if isinstance(layer, FloatReadout):
            return self._readout(layer, real, choice, where)
        return self._spiking(layer, real, choice, where)

    def _readout(
        self, layer: FloatReadout, real: Float64Array, choice: LayerChoice | None, where: str
    ) -> Readout:
        self._refuse_zeros(real, where)
        v_decay, u_decay = NO_DECAY, UNFILTERED
        if layer.leak is not None:
            v_decay = self._decay("leak", layer.leak.astype(np.float64), where)
        if layer.current_leak is not None:
            u_decay = self._decay("current_leak", layer.current_leak.astype(np.float64), where)
        nothing = (frozen_ints(np.zeros(real.shape)), frozen_ints(np.zeros(len(real))), 0)
        readout = Readout(*nothing, layer.delay, v_decay, u_decay, layer.decoding)
        if choice is None:
            total_bias = float(np.abs(layer.bias).max()) * biases_at_once(readout, self.network.steps)
            gain = filter_gain(readout, self.network.steps) * self.input_max
            choice = LayerChoice(choose_readout_scaling(real, total_bias, self.profile, gain))
        elif choice.centred:
            real = real - real.mean(axis=0)
        scaling, weight = choice.scaling, choice.weights(real, self.profile)
        bias = choice.lsbs(layer.bias, choice.bias, self.profile)
        most = INT32.max // biases_at_once(readout, self.network.steps)
        self._bound(np.abs(bias), most, where, "bias")
        self._note(where, real, weight, scaling)
        fixed = frozen_ints(weight), frozen_ints(bias)
        return replace(readout, weight=fixed[0], bias=fixed[1], weight_exp=scaling.exponent)

    def _spiking(
        self, layer: FloatSpiking, real: Float64Array, choice: LayerChoice | None, where: str
    ) -> Layer:
        theta = layer.threshold.astype(np.float64)
        rows = np.hstack([real.reshape(len(real), -1), _recurrent(layer)])
        self._refuse_zeros(rows, where)
        if choice is None:
            reach = np.repeat([self.input_max, 1], [real[0].size, rows.shape[1] - real[0].size])
            choice = LayerChoice(choose_scaling(rows, theta, self.profile, reach))
        scaling, weight = choice.scaling, choice.weights(real, self.profile)
        back = quantize(_recurrent(layer), scaling.factor, scaling.exponent, self.profile.weight_max)
        whole = np.hstack([weight.reshape(len(weight), -1), back])
        vth = choice.lsbs(theta, choice.vth, self.profile) + (self._stricter if choice.vth is None else 0)
        bias = choice.lsbs(layer.bias, choice.bias, self.profile)
        self._note(where, rows, whole, scaling)
        self._check_neurons(whole, vth, bias, theta, where)
        self.input_unit, self.input_max = 1.0, 1
        v_decay, u_decay = self._decay("leak", self.network.leak(layer), where), UNFILTERED
        if layer.current_leak is not None:
            u_decay = self._decay("current_leak", layer.current_leak.astype(np.float64), where)
        common = (frozen_ints(weight), frozen_ints(bias), frozen_ints(vth), scaling.exponent, v_decay)
        if isinstance(layer, FloatConv2d):
            geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
            return Conv2d(*common, *geometry, u_decay, layer.delay)
        return Dense(*common, u_decay, layer.delay, frozen_ints(back) if back.size else None)

    def _decay(self, name: str, leak: Float64Array, where: str) -> Int32Array:
        """What a step takes, in 1/4096; its rounding is noted, and where it matters a warning."""
        exact, steps = (1.0 - leak) * (1 << LEAK_BITS), self.network.steps
        decay = np.rint(exact)
        error = gain_errors(leak, decay, steps)
        worst = int(error.argmax())
        if (exact != decay).any():
            said = self.warnings if error[worst] >= LEAK_ERROR else self.notes
            said.append(
                f"{where}: {name} {leak[worst]:.6g} (neuron {worst}) becomes {4096 - decay[worst]:.0f}/4096, "
                f"rounded by {exact[worst] - decay[worst]:+.2g}/4096: a constant input's sum over {steps} "
                f"steps changes by {percent(error[worst])}"
            )
        return frozen_ints(decay[:1] if (decay == decay[0]).all() else decay)

    def _check_neurons(
        self, weight: np.ndarray, vth: Float64Array, bias: Float64Array, theta: Float64Array, where: str
    ) -> None:
        rules = self.profile.arithmetic
        for neuron in np.flatnonzero(vth < 1)[:1]:
            raise CompileError(
                f"the threshold of neuron {neuron}, {theta[neuron]:.3g}, becomes {int(vth[neuron])}",
                where=where,
                expected=f"at least 1 LSB of {rules.state}",
                todo='use a profile with more state bits, less headroom or scale = "neuron"',
            )
        self._bound(vth, rules.state.high - (rules.comparison == ">"), where, "threshold")
        self._bound(np.abs(bias), rules.state.high, where, "bias")
        empty = np.flatnonzero(~weight.any(axis=1))
        if len(empty):
            self.warnings.append(f"{where}: {len(empty)} neurons have no weight left ({_some(empty)})")

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

    def _note(self, where: str, real: Float64Array, weight: np.ndarray, scaling: Scaling) -> None:
        if not weight.any():
            raise CompileError(
                f"all {weight.size} weights become zero at {self.profile.arithmetic.weight_bits} bits",
                where=where,
                todo='use scale = "layer" or "neuron", a lower exponent_min, or more weight bits',
            )
        step = (2.0**scaling.exponent / scaling.factor)[:, None]
        error = np.sqrt(((weight * step - real) ** 2).mean() / (real**2).mean())
        clipped = float((np.abs(real) > step * (self.profile.weight_max + 0.5)).mean())
        self.losses.append((clipped, float(error)))

    def _check_sums(self, program: Program, bounds: dict[int, NeuronBounds]) -> None:
        """Refuse a weighted sum that the profile's accumulator cannot hold."""
        for index, layer in weighted_layers(program):
            left, sums = max(layer.weight_exp, 0), bounds[index].sums
            for neuron, (low, high) in enumerate(zip(sums.low.tolist(), sums.high.tolist(), strict=True)):
                bits = signed_bits(low << left, high << left)
                if bits > self.profile.accumulator_bits:
                    raise CompileError(
                        f"the weighted sum of neuron {neuron} reaches {low}..{high} times "
                        f"2**{layer.weight_exp}, {bits} bits",
                        where=f"layer {index}",
                        expected=f"at most accumulator.bits = {self.profile.accumulator_bits}",
                    )


def _check_currents(program: Program, bounds: dict[int, NeuronBounds]) -> None:
    """Refuse a filtered current that may leave its register: it would wrap, which no trained network does."""
    for index, layer in weighted_layers(program):
        current = bounds[index].current
        if isinstance(layer, Readout) and layer.sums:
            continue
        filtered = per_neuron(layer.u_decay, len(current.low)) < NO_DECAY_FILTER
        for neuron in np.flatnonzero(filtered & current.leaves(CURRENT, "wrap"))[:1]:
            raise CompileError(
                f"the filtered current of neuron {neuron} may wrap in {program.steps} steps",
                where=f"layer {index}",
                expected=f"{CURRENT.low}..{CURRENT.high}, the {CURRENT.bits} bits of its register",
                todo="use a smaller current_leak or a profile with a lower exponent_max",
            )


def _check_logits(program: Program, bounds: dict[int, NeuronBounds]) -> None:
    """Refuse a readout whose integrators, or the sum of whose membranes, 64 bits may not hold."""
    index, last = len(program.layers) - 1, program.layers[-1]
    if isinstance(last, Readout):
        sums, most = bounds[index].sums, np.iinfo(np.int64).max
        largest = max(-int(sums.low.min()), int(sums.high.max()), 0) << max(last.weight_exp, 0)
        reach = readout_reach(last, largest + 1, program.steps)
        if reach > most:
            raise CompileError(
                f"the logits' intermediate results may reach {reach} in {program.steps} steps",
                where=f"layer {index}",
                expected=f"at most {most}",
                todo="use a profile with a lower exponent_max, or fewer steps",
            )


def biases_at_once(readout: Readout, steps: int) -> int:
    """How many steps' biases stock NetX adds at once: all of a plain sum, which it can hold."""
    return steps if readout.sums else 1


def filter_gain(readout: Readout, steps: int) -> float:
    """What a readout's current filter makes of 1 in each of so many steps, at most; 0 without a filter."""
    kept = 1 - readout.u_decay / NO_DECAY_FILTER
    return float(constant_gain(kept, steps).max()) if kept.any() else 0.0


def _silent(program: Program, bounds: dict[int, NeuronBounds]) -> list[str]:
    """A warning for every layer with neurons that are proved never to fire."""
    found = []
    for index, layer in program.spiking():
        state = bounds[index].state
        never = np.flatnonzero(state.high < firing_limit(layer, program.arithmetic, len(state.high)))
        if len(never):
            found.append(f"layer {index}: {len(never)} neurons can never fire ({_some(never)})")
    return found


def _some(neurons: np.ndarray) -> str:
    return f"neuron {', '.join(map(str, neurons[:5]))}{', ...' if len(neurons) > 5 else ''}"


def _recurrent(layer: FloatSpiking) -> Float64Array:
    """float64 (neurons, neurons); without recurrence (neurons, 0)."""
    if isinstance(layer, FloatDense) and layer.recurrent is not None:
        return layer.recurrent.astype(np.float64)
    return np.zeros((len(layer.weight), 0))
