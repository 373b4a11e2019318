"""Surrogate-forward LIF networks: fully connected and convolutional."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sast_deploy.base.errors import UsageError
from sast_deploy.base.rules import FLOAT_MAX, Items, Number, OneOrEach, Whole
from sast_deploy.base.settings import Settings
from sast_deploy.program.fixedpoint import check_order
from sast_deploy.training.kernels.membranes import Dynamics, Reset, ResetOrder, SurrogateName
from sast_deploy.training.network.lif import filtered, lif, lif_states
from sast_deploy.training.network.neurons import FIXED, LEARNED, Learned, Neuron
from sast_deploy.training.network.sparse import EventInput, Input, event_linear

KERNEL = 3  # the papers' convolutions are all 3x3 ...
PADDING = 1  # ... and keep the map's size at stride 1
FC_HIDDEN = {4608: (80, 336)}  # DVS Gesture at 2x48x48; every other input takes N-MNIST's widths
FC_HIDDEN_DEFAULT = (168, 64)
CONV_CHANNELS = (68, 136, 272)
CONV_STRIDE = 2
LAYERS = 256  # at most
FLOAT32 = 2.0**-126, 2.0**127  # whose numbers are neither 0 nor infinite there
PerLayer = float | tuple[float, ...]
ADDED_LATER: dict[str, Any] = {  # of checkpoints from before these options
    "reset": "subtract", "reset_order": "after-leak", "surrogate": "arctan", "neuron": "lif",
    "current_leak": 0.5, "resistance": 1.0, "capacitance": 2.0, "time_step": 1.0, "learn_theta": "none",
    "learn_alpha": "none",
}  # fmt: skip


@dataclass(frozen=True)
class NetworkSpec(Settings, called="network", error=UsageError, later=ADDED_LATER):
    """Everything that defines a network except its weights, as plain values.

    Attributes:
        kind: "fc" (dense LIF layers) or "conv" (3x3 LIF blocks, then global average pooling).
        input_shape: (channels, height, width) of one frame.
        hidden: neurons per LIF layer (fc) or channels per block (conv).
        classes: outputs of the linear readout.
        alpha: membrane leak per step, in [0, 1), of all LIF layers, or a tuple with one for each.
        theta: threshold of every neuron, likewise.
        k: slope factor of the surrogate in the finished network.
        strides: one per conv block; empty for fc.
        reset: "subtract" (the papers': theta is subtracted a step after a spike) or "zero" (the membrane
            starts from 0 a step after a spike).
        reset_order: of "subtract": "after-leak" (the papers', as in snnTorch) or "before-leak" (as in Norse,
            SpikingJelly, sinabs and rockpool), see `Dynamics`.
        surrogate: the spike function of training, see network/surrogates.py.
        neuron: "lif"; "lapicque" (its leak and input gain follow from R, C and dt); "if" (alpha is 1); "cuba"
            (the current has a leak of its own); see `Network`.
        current_leak: of "cuba", per step, in (0, 1), of all layers or one for each.
        resistance, capacitance: of "lapicque", R and C, likewise. time_step: its dt, at most R C.
        learn_theta, learn_alpha: whether thresholds and leaks are learned, from `theta` and `alpha` on:
            "none", one a "layer", or one a "neuron" (conv: channel).

    A tuple of equal values is kept as the one number. Raises UsageError for impossible values.

    >>> sast.NetworkSpec("fc", (2, 34, 34), (168, 64), 10).alpha
    0.5
    >>> sast.NetworkSpec("fc", (2, 34, 34), (168, 64), 10, theta=(1.0, 0.5)).thetas
    (1.0, 0.5)
    """

    kind: Literal["fc", "conv"]
    input_shape: Annotated[tuple[int, int, int], Items(Whole(1, 1 << 16), 3, 3)]
    hidden: Annotated[tuple[int, ...], Items(Whole(1, 1 << 24), 1, LAYERS)]
    classes: Annotated[int, Whole(1, 1 << 16)]
    alpha: Annotated[PerLayer, OneOrEach(Number(0.0, 1.0, below=True), LAYERS)] = 0.5
    theta: Annotated[PerLayer, OneOrEach(Number(*FLOAT32), LAYERS)] = 1.0
    k: Annotated[float, Number(0.0, FLOAT_MAX, above=True)] = 25.0
    strides: Annotated[tuple[int, ...], Items(Whole(1, 1 << 16), 0, LAYERS)] = ()
    reset: Reset = "subtract"
    reset_order: ResetOrder = "after-leak"
    surrogate: SurrogateName = "arctan"
    neuron: Neuron = "lif"
    current_leak: Annotated[PerLayer, OneOrEach(Number(0.0, 1.0, above=True, below=True), LAYERS)] = 0.5
    resistance: Annotated[PerLayer, OneOrEach(Number(*FLOAT32), LAYERS)] = 1.0
    capacitance: Annotated[PerLayer, OneOrEach(Number(*FLOAT32), LAYERS)] = 2.0
    time_step: Annotated[float, Number(*FLOAT32)] = 1.0
    learn_theta: Learned = "none"
    learn_alpha: Learned = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = len(self.hidden) if self.kind == "conv" else 0
        if len(self.strides) != expected:
            found = f"{len(self.strides)} strides for {self.kind}"
            raise UsageError(found, where="network", expected=f"{expected}")
        try:
            check_order(self.reset, self.reset_order)
        except ValueError as error:
            raise UsageError(str(error), where="network") from None
        self._check_per_layer("alpha", "theta", "current_leak", "resistance", "capacitance")
        self._check_neuron()

    def _check_per_layer(self, *names: str) -> None:
        for name in names:
            values, layers = getattr(self, name), len(self.hidden)
            if isinstance(values, tuple):
                if len(values) not in (1, layers):
                    found = f"{len(values)} values of {name} for {layers} LIF layer{'s' * (layers > 1)}"
                    raise UsageError(found, where="network", expected=f"one, or {layers}")
                if len(set(values)) == 1:
                    object.__setattr__(self, name, values[0])

    def _check_neuron(self) -> None:
        for name, why in FIXED[self.neuron].items():
            default = type(self).__dataclass_fields__[name].default
            if (found := getattr(self, name)) != default:
                raise UsageError(
                    f"{name} = {found} with neuron = {self.neuron}, which {why}", where="network",
                    expected=f"{default}, as without it",
                )  # fmt: skip
        if (least := min(self.alphas)) < 0:
            found = f"time_step = {self.time_step:g} with R C = {self.time_step / (1 - least):g}"
            raise UsageError(found, where="network", expected="a time step of at most R C")
        if self.learn_alpha != "none" and least == 0:
            raise UsageError(
                f"alpha = {self.alpha} with learn_alpha = {self.learn_alpha}", where="network",
                expected="above 0, which no learned leak ever reaches",
            )  # fmt: skip

    @property
    def alphas(self) -> tuple[float, ...]:
        """The leak that every LIF layer has, or begins with."""
        if self.neuron == "lapicque":
            both = zip(self._of_layers(self.resistance), self._of_layers(self.capacitance), strict=True)
            return tuple(1.0 - self.time_step / (r * c) for r, c in both)
        return self._of_layers(1.0 if self.neuron == "if" else self.alpha)

    @property
    def gains(self) -> tuple[float, ...]:
        """What every LIF layer multiplies its weighted sums and its bias with: R (1 - alpha) = dt / C."""
        if self.neuron != "lapicque":
            return self._of_layers(1.0)
        return tuple(self.time_step / c for c in self._of_layers(self.capacitance))

    @property
    def current_leaks(self) -> tuple[float, ...]:
        """The leak of every LIF layer's current; 0: no filter."""
        return self._of_layers(self.current_leak if self.neuron == "cuba" else 0.0)

    def leak(self, index: int) -> float:
        """The leak of LIF layer `index` as the compiler reads it: one of the layer's own is a float32."""
        alphas = self.alphas
        return alphas[index] if len(set(alphas)) == 1 else float(np.float32(alphas[index]))

    @property
    def thetas(self) -> tuple[float, ...]:
        """The threshold that every LIF layer begins with."""
        return self._of_layers(self.theta)

    def _of_layers(self, values: PerLayer) -> tuple[float, ...]:
        return values if isinstance(values, tuple) else (values,) * len(self.hidden)

    def dynamics(self, index: int) -> Dynamics:
        """How the membranes of LIF layer `index` go on, as long as no leak is learned."""
        return Dynamics(self.alphas[index], self.reset, self.reset_order, self.surrogate)


def network_spec(
    kind: Literal["fc", "conv"],
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: tuple[int, ...] | None = None,
    alpha: PerLayer = 0.5,
    theta: PerLayer = 1.0,
    k: float = 25.0,
    **others: Any,
) -> NetworkSpec:
    """The papers' network of that kind for frames of `input_shape`, or one with other LIF layers.

    hidden: neurons (fc) or channels (conv, stride 2 each) of any number of layers; None: as published, which
    is, fc, 2312-168-64 for N-MNIST (400,050 learnable parameters) and any other size, 4608-80-336 for DVS
    Gesture (399,643), and conv 68/136/272 channels. The papers do not state how the maps shrink: strides,
    unlike pooling between blocks, keep every block's input binary. others: any other fields of `NetworkSpec`.

    >>> sast.network_spec("conv", (2, 34, 34), 10).hidden
    (68, 136, 272)
    """
    papers = CONV_CHANNELS if kind == "conv" else FC_HIDDEN.get(math.prod(input_shape), FC_HIDDEN_DEFAULT)
    widths = papers if hidden is None else hidden
    strides = (CONV_STRIDE,) * len(widths) if kind == "conv" else ()
    return NetworkSpec(kind, input_shape, widths, classes, alpha, theta, k, strides, **others)


class Network(nn.Module):
    """LIF layers and a linear readout, without state between calls.

        u_t = alpha u_{t-1} + I_t - theta s_{t-1},     s_t = sigma(u_t - theta)
        I_t = A s^{l-1}_t + b                                  "lif", and "if", whose alpha is 1
        I_t = (A s^{l-1}_t + b) dt / C                         "lapicque", whose alpha is 1 - dt / (R C)
        I_t = c_t + b,   c_t = kappa c_{t-1} + A s^{l-1}_t     "cuba"
        logits = W_out mean_t(s_t) + b_out

    and other resets as in `Dynamics`. A is a matrix (fc) or a 3x3 convolution (conv); conv averages its last
    map over space before the readout. `layers` and `readout` hold the learnable parameters, the buffers
    `theta_<l>` the thresholds (one per neuron, fc, or per channel, conv). Learned ones are
    theta_<l> exp(log_theta_<l>), learned leaks sigmoid(logit(alpha) + logit_alpha_<l>): neither leaves its
    range, both start where the spec says, and a weight decay draws them back there.
    Source: Nicholson, arXiv 2603.18039, 2604.09696.
    """

    def __init__(self, spec: NetworkSpec, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        inputs = spec.input_shape[0] if spec.kind == "conv" else math.prod(spec.input_shape)
        self.layers = nn.ModuleList()
        for index, width in enumerate(spec.hidden):
            self.layers.append(self._layer(index, inputs, width))
            self.register_buffer(f"theta_{index}", torch.full((width,), spec.thetas[index]))
            for name, shape in learned_shapes(spec, index).items():
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            inputs = width
        self.readout = nn.Linear(inputs, spec.classes)
        self._initialise(seed)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):  # a fifth off the time of a training step
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)

    def _layer(self, index: int, inputs: int, width: int) -> nn.Module:
        if self.spec.kind == "fc":
            return nn.Linear(inputs, width)
        return nn.Conv2d(inputs, width, KERNEL, self.spec.strides[index], PADDING)

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        """Uniform in +-1/sqrt(fan-in), torch's own default, from a generator of its own."""
        generator = torch.Generator().manual_seed(seed)
        for module in [*self.layers, self.readout]:
            bound = 1.0 / math.sqrt(next(module.parameters())[0].numel())  # weight (out, *fan-in), then bias
            for parameter in module.parameters():
                parameter.uniform_(-bound, bound, generator=generator)

    def theta(self, index: int) -> Tensor:
        """Thresholds of LIF layer `index`, shaped to broadcast against (batch, ...)."""
        return self._shaped_to_broadcast(threshold_of(self.spec, index, self._named))

    def dynamics(self, index: int) -> Dynamics:
        """How the membranes of LIF layer `index` go on; a learned leak is a tensor, shaped as `theta`."""
        leak = leak_of(self.spec, index, self._named)
        found = self.spec.dynamics(index)
        return found if leak is None else replace(found, alpha=self._shaped_to_broadcast(leak))

    def _named(self, name: str) -> Tensor:
        found: Tensor = getattr(self, name)
        return found

    def _shaped_to_broadcast(self, values: Tensor) -> Tensor:
        return values[:, None, None] if self.spec.kind == "conv" else values

    def spikes(self, x: Input, *, hard: bool = False, k: float | Tensor | None = None) -> list[Tensor]:
        """Spikes of every LIF layer, each (time, batch, *layer), for inputs `x` (time, batch, C*H*W).

        `hard` spikes are 0 or 1; their gradient is the straight-through estimate of `lif`.
        """
        layers, s = [], self.shaped(x)
        for index in range(len(self.layers)):
            s = self.spike(index, s, hard=hard, k=k)
            layers.append(s)
        return layers

    def spike(self, index: int, s: Input, *, hard: bool = False, k: float | Tensor | None = None) -> Tensor:
        """Spikes of LIF layer `index`, (time, batch, *layer), for the spikes or frames `s` below it."""
        slope, dynamics = self.spec.k if k is None else k, self.dynamics(index)
        return lif(self.current(index, s), self.theta(index), dynamics, slope, hard=hard)

    @torch.no_grad()
    def states(self, x: Input, *, hard: bool = False, k: float | None = None) -> list[tuple[Tensor, Tensor]]:
        """Membranes u and spikes s of every LIF layer, each (time, batch, *layer); no gradient."""
        slope = None if hard else self.spec.k if k is None else k
        layers, s = [], self.shaped(x)
        for index in range(len(self.layers)):
            current, theta = self.current(index, s), self.theta(index)
            u, s = lif_states(current, theta, self.dynamics(index), slope)
            layers.append((u, s))
        return layers

    @overload
    def shaped(self, x: Tensor) -> Tensor: ...
    @overload
    def shaped(self, x: Input) -> Input: ...
    def shaped(self, x: Input) -> Input:
        """Inputs `x` (time, batch, C*H*W) as the first layer takes them: maps for conv."""
        if self.spec.kind == "fc":
            return x
        x = x.dense() if isinstance(x, EventInput) else x
        return x.reshape(*x.shape[:2], *self.spec.input_shape)

    def current(self, index: int, s: Input) -> Tensor:
        """I of LIF layer `index`, (time, batch, *layer), for the spikes or frames `s` below it."""
        layer, kappa, gain = self.layers[index], self.spec.current_leaks[index], self.spec.gains[index]
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        if not kappa:
            sums = self._sums(index, s, layer.bias)
            return sums if gain == 1.0 else sums * gain
        assert layer.bias is not None
        bias = self._shaped_to_broadcast(layer.bias)
        return filtered(self._sums(index, s, None), kappa) + bias

    def _sums(self, index: int, s: Input, bias: Tensor | None) -> Tensor:
        """A s + bias."""
        layer, rows = self.layers[index], s if isinstance(s, EventInput) else s.flatten(0, 1)
        if index == 0 and isinstance(layer, nn.Linear):  # one product for all time steps
            nothing = layer.weight.new_zeros(len(layer.weight)) if bias is None else bias
            product = event_linear(rows, layer.weight, nothing)
        elif isinstance(layer, nn.Conv2d) and isinstance(rows, Tensor):
            product = _convolution(layer, rows, bias)
        else:
            assert isinstance(layer, nn.Linear)
            assert isinstance(rows, Tensor)
            product = functional.linear(rows, layer.weight, bias)
        return product.reshape(*s.shape[:2], *product.shape[1:])

    def logits(self, last: Tensor) -> Tensor:
        """Readout (batch, classes) of the last LIF layer's spikes (time, batch, *layer)."""
        mean = last.sum(0) / len(last)  # the gradient of the sum is one step's, for all steps
        logits: Tensor = self.readout(mean.mean((2, 3)) if self.spec.kind == "conv" else mean)
        return logits

    def forward(self, x: Input, *, hard: bool = False, k: float | None = None) -> Tensor:
        """Logits (batch, classes) for `x` (time, batch, C*H*W), float in [0, 1].

        `hard` puts the step H(u - theta), H(0) = 1, in sigma's place and changes nothing else; `k`
        overrides the spec's slope (slope annealing). Every call starts from u = s = 0.
        """
        return self.logits(self.spikes(x, hard=hard, k=k)[-1])


class _BiasGradient(torch.autograd.Function):
    """What a convolution gave, as it is; the gradient for its bias is summed here: oneDNN takes longer."""

    @staticmethod
    def forward(ctx: Any, product: Tensor, bias: Tensor) -> Tensor:
        return product.view_as(product)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0].movedim(1, -1).flatten(0, -2).sum(0)


def _convolution(layer: nn.Conv2d, rows: Tensor, bias: Tensor | None) -> Tensor:
    apart = bias is not None and not rows.is_cuda
    given = bias.detach() if bias is not None and apart else bias
    product = functional.conv2d(rows, layer.weight, given, layer.stride, layer.padding)
    if not apart:
        return product
    found: Tensor = _BiasGradient.apply(product, bias)  # type: ignore[no-untyped-call]
    return found


def learned_shapes(spec: NetworkSpec, index: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what LIF layer `index` learns of its neurons, by name."""
    kinds = zip(LEARNED, (spec.learn_theta, spec.learn_alpha), strict=True)
    widths = {"layer": 1, "neuron": spec.hidden[index]}
    return {f"{name}{index}": (widths[kind],) for name, kind in kinds if kind != "none"}


def threshold_of(spec: NetworkSpec, index: int, named: Callable[[str], Tensor]) -> Tensor:
    """Thresholds (width,) of LIF layer `index`, from a state's tensors by name."""
    theta = named(f"theta_{index}")
    return theta if spec.learn_theta == "none" else theta * named(f"log_theta_{index}").exp()


def leak_of(spec: NetworkSpec, index: int, named: Callable[[str], Tensor]) -> Tensor | None:
    """Learned leaks (width,) of LIF layer `index`, likewise; None where they are the spec's."""
    if spec.learn_alpha == "none":
        return None
    start = spec.alphas[index]
    shift = named(f"logit_alpha_{index}").expand(spec.hidden[index])
    return torch.sigmoid(shift + math.log(start / (1.0 - start)))


def state_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Shape of every array in `Network(spec).state_dict()`, without building the network.

    Parameters, which are all but theta_<l>, stand in the order of the network's own.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(len(spec.hidden)):
        shapes |= learned_shapes(spec, index)
    conv = spec.kind == "conv"
    inputs = spec.input_shape[0] if conv else math.prod(spec.input_shape)
    for index, width in enumerate(spec.hidden):
        kernel = (KERNEL, KERNEL) if conv else ()
        shapes[f"layers.{index}.weight"] = (width, inputs, *kernel)
        shapes[f"layers.{index}.bias"] = shapes[f"theta_{index}"] = (width,)
        inputs = width
    return shapes | {"readout.weight": (spec.classes, inputs), "readout.bias": (spec.classes,)}


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the batch."""
    return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
