"""What lies between two layers of neurons, folded into one layer's weights: weights, scales, pools, delays.

Everything here is linear, so that its order can be changed: only a bias before a delay cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import nir
import numpy as np
import numpy.typing as npt

from sast_deploy.compiler.floatnet import LONGEST_DELAY, FloatPool
from sast_deploy.program.geometry import Axis
from sast_deploy.program.program import Shape

Float64Array = npt.NDArray[np.float64]
MATRIX = 4096  # neurons whose own inputs become a matrix
Refuse = Callable[[str, str], NoReturn]


@dataclass(eq=False)
class Weights:
    """The weights of one layer. weight: (out, in) or (O, I/groups, kH, kW). bias: (out,) or (O,).
    geometry: of a convolution, stride, padding, dilation, groups. delay: steps, as a layer has them.
    out_shape: of the values that reach the neurons.
    """

    weight: Float64Array
    bias: Float64Array
    out_shape: Shape
    geometry: dict[str, Any] | None = None
    delay: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))


@dataclass(eq=False)
class Between:
    """What was met since the last layer of neurons, or the input, of values of `shape`.

    pools: with the factor that makes means of sums. scale: of the values before any weights, one number or
    one for each; delay likewise, in steps.
    """

    shape: Shape
    pools: list[FloatPool] = field(default_factory=list)
    scale: Float64Array = field(default_factory=lambda: np.ones(1))
    delay: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    weights: Weights | None = None

    @property
    def out_shape(self) -> Shape:
        """Of the values as they are now."""
        return self.shape if self.weights is None else self.weights.out_shape

    def add(self, node: nir.NIRNode, dt: float | None, refuse: Refuse) -> None:
        """One node more."""
        if isinstance(node, nir.Linear | nir.Affine):
            self._dense(node, refuse)
        elif isinstance(node, nir.Conv2d):
            self._conv(node, refuse)
        elif isinstance(node, nir.Scale):
            self._scale(np.asarray(node.scale, np.float64), refuse)
        elif isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            self._pool(node, refuse)
        elif isinstance(node, nir.Flatten):
            self._flatten(node, refuse)
        elif isinstance(node, nir.Delay):
            self._delay(np.asarray(node.delay, np.float64), dt, refuse)
        else:
            refuse(f"is a {type(node).__name__}", "a node that sast-deploy reads; docs/nir.md has them")

    def done(self, refuse: Refuse) -> Weights:
        """The layer's weights; of neurons that have none, each its own input at weight 1."""
        if self.weights is None:
            if self.pools and len(self.shape) == 3:
                self._pool_as_weights()
            else:
                self._own_inputs(refuse)
        assert self.weights is not None
        return self.weights

    def _dense(self, node: nir.Linear | nir.Affine, refuse: Refuse) -> None:
        weight = np.asarray(node.weight, np.float64)
        bias = np.asarray(node.bias, np.float64) if isinstance(node, nir.Affine) else np.zeros(1)
        if weight.ndim != 2 or weight.shape[1] != math.prod(self.out_shape) or not weight.size:
            inputs = math.prod(self.out_shape)
            refuse(f"has weights {weight.shape} after {self.out_shape}", f"(out, {inputs})")
        if bias.ndim != 1 or len(bias) not in (1, len(weight)):
            refuse(f"has a bias {bias.shape}", f"({len(weight)})")
        bias, shape = np.resize(bias, len(weight)), (len(weight),)
        if self.weights is None:
            columns = np.broadcast_to(self.scale, weight.shape[1:])
            self.weights = Weights(weight * columns, bias, shape, None, self.delay)
            return
        last = self.weights
        if last.geometry is not None or last.delay.any():
            refuse("follows weights that no neurons follow", "neurons between two layers of weights")
        last.weight, last.bias, last.out_shape = weight @ last.weight, weight @ last.bias + bias, shape

    def _conv(self, node: nir.Conv2d, refuse: Refuse) -> None:
        weight, bias = np.asarray(node.weight, np.float64), np.asarray(node.bias, np.float64)
        if self.weights is not None:
            refuse("follows weights that no neurons follow", "neurons between two layers of weights")
        if len(self.shape) != 3 or weight.ndim != 4 or not weight.size:
            refuse(f"has weights {weight.shape} after {self.shape}", "four axes, and an input (C, H, W)")
        stride, dilation = _two(node.stride, refuse), _two(node.dilation, refuse)
        padding = _padding(node, weight.shape[2:], stride, dilation, refuse)
        groups = _two(node.groups, refuse)[0]
        if bias.ndim > 1 or bias.size not in (1, len(weight)):
            refuse(f"has a bias {bias.shape}", f"({len(weight)})")
        whole = groups > 0 and self.shape[0] == groups * weight.shape[1] and len(weight) % groups == 0
        if not whole or min(*stride, *dilation) < 1 or min(padding) < 0:
            refuse(f"has weights {weight.shape} in {groups} groups after {self.shape}", "as many channels")
        axes = zip(self.shape[1:], weight.shape[2:], stride, padding, dilation, strict=True)
        sizes = [Axis(*axis).outputs for axis in axes]
        if min(sizes) < 1:
            refuse(f"has a kernel {weight.shape[2:]} larger than its input {self.shape}", "a smaller one")
        self.weights = Weights(
            weight * self._of_channels(weight, groups, refuse), np.resize(bias, len(weight)),
            (len(weight), *sizes),
            {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
            self._one_delay(refuse),
        )  # fmt: skip

    def _of_channels(self, weight: Float64Array, groups: int, refuse: Refuse) -> Float64Array:
        """The scale before a convolution, for its weights."""
        if self.scale.size == 1:
            return self.scale.reshape(1, 1, 1, 1)
        each = per_channel(self.scale, self.shape, "a scale", refuse)
        columns = np.asarray(each.reshape(groups, -1), np.float64)
        return np.repeat(columns, len(weight) // groups, axis=0)[:, :, None, None]

    def _scale(self, scale: Float64Array, refuse: Refuse) -> None:
        if scale.size not in (1, math.prod(self.out_shape)):
            scale = per_channel(scale, self.out_shape, "a scale", refuse)
            scale = scale.repeat(math.prod(self.out_shape) // scale.size)
        if self.weights is None:
            if scale.size > 1 and self.pools:
                refuse("scales what a pool has summed", "one number, or a scale before the pool")
            self.scale = (self.scale * scale.ravel()).ravel()
            return
        last = self.weights
        rows = scale.ravel() if scale.size == 1 else per_row(scale.ravel(), last, "a scale", refuse)
        wide = (-1, *[1] * (last.weight.ndim - 1))
        last.weight = last.weight * np.resize(rows, len(last.weight)).reshape(wide)
        last.bias = last.bias * rows

    def _pool(self, node: nir.SumPool2d | nir.AvgPool2d, refuse: Refuse) -> None:
        kernel, padding = _two(node.kernel_size, refuse), _two(node.padding, refuse)
        stride = _two(node.stride, refuse)
        if self.weights is not None:
            refuse("is between weights and the neurons that they reach", "a pool before weights")
        if len(self.shape) != 3 or self.scale.size > 1 or self.delay.size > 1:
            refuse(f"pools {self.shape}, scaled or delayed one by one", "(C, H, W) as they are")
        if stride != kernel or any(padding) or min(kernel) < 1:
            refuse(f"has windows {kernel} at a stride of {stride} and padding {padding}",
                   "windows side by side, without padding")  # fmt: skip
        if self.shape[1] < kernel[0] or self.shape[2] < kernel[1]:
            refuse(f"has windows {kernel} on {self.shape}", "smaller ones")
        self.pools.append(FloatPool(kernel))
        self.shape = self.pools[-1].out_shape(self.shape)
        if isinstance(node, nir.SumPool2d):
            self.scale = self.scale * math.prod(kernel)

    def _flatten(self, node: nir.Flatten, refuse: Refuse) -> None:
        if len(self.out_shape) == 1:
            return
        first, last = (int(np.ravel(end)[0]) for end in (node.start_dim, node.end_dim))
        if last not in (-1, len(self.out_shape) - 1) or first not in (0, 1, -len(self.out_shape)):
            refuse(f"flattens axes {first} to {last} of {self.out_shape}", "all of them")
        # From axis 1 on: of what has its samples in axis 0; weights of another size are refused later.
        if self.weights is None:
            self.shape = (math.prod(self.shape),) if not self.pools else self.shape
        elif self.weights.geometry is None:
            self.weights.out_shape = (math.prod(self.out_shape),)

    def _delay(self, seconds: Float64Array, dt: float | None, refuse: Refuse) -> None:
        assert dt is not None
        steps = seconds.ravel() / dt
        whole = np.rint(steps)
        off = float(np.abs(steps - whole).max())
        if off > 1e-3 or whole.min() < 0 or whole.max() > LONGEST_DELAY:
            worst = seconds.ravel()[np.abs(steps - whole).argmax()] if off > 1e-3 else seconds.max()
            found = f"delays by {worst:.6g} s, {worst / dt:.4g} steps of {dt:g} s"
            refuse(found, f"whole steps, 0 to {LONGEST_DELAY}")
        late = whole.astype(np.int64)
        late = late[:1] if (late == late[0]).all() else late
        if self.weights is None:
            self.delay = self.delay + late
            return
        last = self.weights
        if last.bias.any() and late.any():
            refuse("delays a bias, too", "a delay before the weights")
        if late.size > 1 and (last.geometry is not None or late.size != len(last.weight)):
            refuse("has delays that differ within a convolution", "one")
        wide = late if late.size == 1 else np.broadcast_to(late[:, None], last.weight.shape)
        last.delay = last.delay + wide

    def _one_delay(self, refuse: Refuse) -> npt.NDArray[np.int64]:
        if self.delay.size > 1:
            refuse("follows delays that differ", "one delay before a convolution")
        return self.delay

    def _pool_as_weights(self) -> None:
        """Pools that neurons follow are a convolution of each channel by itself, of the last of them."""
        pool = self.pools.pop()
        kernel, channels = pool.kernel, self.shape[0]
        weight = np.full((channels, 1, *kernel), 1 / math.prod(kernel)) * self.scale
        geometry = {"stride": kernel, "padding": (0, 0), "dilation": (1, 1), "groups": channels}
        self.weights = Weights(weight, np.zeros(channels), self.shape, geometry, self.delay)

    def _own_inputs(self, refuse: Refuse) -> None:
        shape = self.shape if len(self.shape) == 3 else (math.prod(self.shape), 1, 1)
        geometry = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": shape[0]}
        if len(self.shape) == 3 and self.scale.size == 1 and self.delay.size == 1:
            weight = np.full((shape[0], 1, 1, 1), self.scale)
            self.weights = Weights(weight, np.zeros(shape[0]), shape, geometry, self.delay)
            return
        n = math.prod(shape)
        if n > MATRIX:
            refuse(f"has {n:,} inputs, scaled or delayed one by one, and no weights", f"at most {MATRIX:,}")
        self.weights = Weights(np.diag(np.resize(self.scale, n)), np.zeros(n), (n,), None, self.delay)


def per_row(values: npt.ArrayLike, weights: Weights, what: str, refuse: Refuse) -> Float64Array:
    """(out,) of parameters of a layer's neurons: one for each row of its weights."""
    array, rows = np.asarray(values, np.float64), len(weights.weight)
    if array.size == 1:
        return np.full(rows, array.ravel()[0])
    if weights.geometry is None:
        if array.size != rows:
            refuse(f"has {what} {array.shape} for {rows} neurons", f"({rows})")
        return array.ravel()
    return per_channel(array, weights.out_shape, what, refuse)


def per_channel(values: Float64Array, shape: Shape, what: str, refuse: Refuse) -> Float64Array:
    """(C,) of values for channels, or for places (C, H, W) that do not differ within a channel."""
    channels = shape[0]
    if values.size == channels:
        return values.ravel()
    if values.size != math.prod(shape):
        refuse(f"has {what} {values.shape} for {shape}", f"({channels}) or {shape}")
    each = values.reshape(channels, -1)
    if (each != each[:, :1]).any():
        refuse(f"has {what} that differs within a channel", "one for each channel")
    return each[:, 0]


def _two(value: Any, refuse: Refuse) -> tuple[int, int]:
    array = np.ravel(np.asarray(value))
    if array.size not in (1, 2) or array.dtype.kind not in "iu" or np.abs(array).max(initial=0) > 1 << 30:
        refuse(f"has {array.tolist()[:4]} for rows and columns", "one integer or two")
    return int(array[0]), int(array[-1])


def _padding(
    node: nir.Conv2d, kernel: Shape, stride: Shape, dilation: Shape, refuse: Refuse
) -> tuple[int, int]:
    """Zeros on every side, rows and columns."""
    if not isinstance(node.padding, str | bytes):
        return _two(node.padding, refuse)
    text = node.padding.decode() if isinstance(node.padding, bytes) else node.padding
    if text == "valid":
        return 0, 0
    around = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if text != "same" or stride != (1, 1) or any(each % 2 for each in around):
        refuse(f"has padding {text!r}, kernel {kernel}, stride {stride}", "as much on both sides")
    return around[0] // 2, around[1] // 2
