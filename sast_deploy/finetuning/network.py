"""The network as it will be deployed: integer weights, integer membranes, hard spikes, and a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from sast_deploy.finetuning.clipping import ClippingMemory
from sast_deploy.finetuning.lif import LayerRules, exact_dtype, integer_lif, shift
from sast_deploy.finetuning.quantized import Clamp, IntegerLayer, integer_layer, integer_readout
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import LEAK_BITS
from sast_deploy.training.network.network import Network
from sast_deploy.training.network.sparse import EventInput, Input, counts_of, event_linear


@dataclass(frozen=True, eq=False)
class IntegerStates:
    """Every membrane and spike of every LIF layer, (time, batch, *layer), and the logits.

    logits: integers (batch, classes), float64; scale: what turns them into the trained network's logits.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    logits: Tensor
    scale: float

    def real_logits(self) -> Tensor:
        """Logits (batch, classes) float32 in the trained network's unit."""
        return (self.logits * self.scale).float()


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """What the compiler makes of `network` for `profile`, run with torch.

    Membranes, spikes and logits equal those of the compiled program on every engine. The gradient is that of
    `Network` with hard spikes, roundings and clippings taken straight-through (lif.py, quantized.py); it
    reaches `network`'s weights and biases.

    profile: one that leaves no order of a reset open. clip: the count that became 1.0 in the network's input.
    memory: of clipping points, where their search would be too slow; then values equal the program's only as
    far as the points are those of a new search.
    """

    network: Network
    profile: Profile
    clip: int
    memory: ClippingMemory | None = None

    def run(self, x: Input, k: float) -> IntegerStates:
        """Every state, for `x` (time, batch, C*H*W) float32 = count / clip; k: surrogate slope factor."""
        values = self.network.shaped(x if self._exact_shares else counts_of(x, self.clip))
        unit, largest = 1.0 / self.clip, self.clip
        layers, parameter = [], self.network.get_parameter
        for index in range(len(self.network.layers)):
            gain = self.network.spec.gains[index]
            weight, bias = (parameter(f"layers.{index}.{name}") * gain for name in ("weight", "bias"))
            theta = self.network.theta(index).detach().flatten()
            integers = integer_layer(weight, bias, theta, self.profile, unit, largest, self._clamp(index))
            membrane, values = self._spike(index, integers, values, largest, k)
            layers.append((membrane, values))
            unit, largest = 1.0, 1
        logits, scale = self._read_out(layers[-1][1])
        return IntegerStates(tuple(layers), logits, scale)

    @property
    def _exact_shares(self) -> bool:
        """Whether count / clip is exact: then so is (clip W)(count / clip), without a pass over the input
        that makes counts of it.
        """
        return self.clip & (self.clip - 1) == 0

    def _spike(
        self, index: int, integers: IntegerLayer, values: Input, largest: int, k: float
    ) -> tuple[Tensor, Tensor]:
        """Membranes and spikes of LIF layer `index` for its integer inputs, none above `largest`."""
        u_decay = round((1.0 - float(np.float32(self.network.spec.current_leaks[index]))) * (1 << LEAK_BITS))
        rules = LayerRules(
            self.profile.arithmetic, integers.exponent, self._v_decay(index), u_decay,
            self.network.spec.surrogate,
        )  # fmt: skip
        bound = math.prod(integers.weight.shape[1:]) * self.profile.weight_max * largest
        exact, layer = exact_dtype(bound), self.network.layers[index]
        weight = integers.weight.to(exact) * (self.clip if index == 0 and self._exact_shares else 1)
        inputs = values if isinstance(values, EventInput) else values.to(exact)
        sums = weighted_sums(layer, weight, inputs).to(rules.dtype(bound))
        bias, vth, factor = (
            value.reshape(-1, *[1] * (sums.ndim - 3)).to(sums.dtype)
            for value in (integers.bias, integers.vth, integers.factor)
        )
        membrane, spikes = integer_lif(sums, bias, vth, factor, rules, k)
        return membrane, spikes.float()

    def _v_decay(self, index: int) -> int | Tensor:
        alpha = self.network.dynamics(index).alpha
        if isinstance(alpha, Tensor):  # which were learned
            return ((1.0 - alpha.detach().double()) * (1 << LEAK_BITS)).round_()
        return round((1.0 - self.network.spec.leak(index)) * (1 << LEAK_BITS))

    def _read_out(self, spikes: Tensor) -> tuple[Tensor, float]:
        """Integer logits and the real value of one: sum_t (shift(W s_t, e) + b), maps summed over space."""
        layer, steps, unit = self.network.readout, len(spikes), 1.0 / math.prod(spikes.shape[3:])
        clamp = self._clamp(len(self.network.layers))
        integers = integer_readout(layer.weight, layer.bias, self.profile, unit, steps, clamp)
        exponent = integers.exponent
        totals = spikes.flatten(3).sum(3) if spikes.ndim > 3 else spikes
        if exponent >= 0:
            totals = totals.sum(0, keepdim=True)  # left shifts are exact: the sums of all steps at once
        sums = functional.linear(totals.double(), integers.weight.double())
        exact = sums * 2.0**exponent
        rounded = exact + (shift(sums, exponent, self.profile.arithmetic.shift_rounding) - exact).detach()
        logits = rounded.sum(0) + steps * integers.bias.double()
        return logits, 1.0 / (float(integers.factor[0]) * steps)

    def _clamp(self, index: int) -> Clamp | None:
        """What brings the weights of layer `index` between remembered clipping points."""
        profile, memory = self.profile, self.memory
        if memory is None or profile.clipping == "none" or profile.weight_scale == "unit":
            return None  # no search that would be too slow
        together = profile.weight_scale == "layer" or index == len(self.network.layers)
        return partial(memory.clamp, index, profile, together)


def weighted_sums(layer: nn.Module, weight: Tensor, values: Input) -> Tensor:
    """W x_t of integers, (time, batch, *layer): exact where the dtype holds them, in any order."""
    rows = values if isinstance(values, EventInput) else values.flatten(0, 1)
    if isinstance(layer, nn.Conv2d) and isinstance(rows, Tensor):
        product = functional.conv2d(rows, weight, None, layer.stride, layer.padding)
        if product.is_cuda:  # cuDNN may take an algorithm whose partial results are no integers
            product = product + (product.round() - product).detach()
    else:
        product = event_linear(rows, weight, weight.new_zeros(len(weight)))
    return product.reshape(*values.shape[:2], *product.shape[1:])
