"""The same weights in plain torch, snnTorch and SpikingJelly, fp32, as their users would run them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool

Run = Callable[[Tensor], Tensor]  # frames (samples, T, C, H, W) float32 -> logits (samples, classes)
Neurons = Callable[[Tensor], Tensor]  # currents (T, samples, ...) -> spikes of the same shape


def peers(program: Program) -> dict[str, Run]:
    """Every peer that is installed; a line is printed for each that is not."""
    found = {"torch fp32": torch_plain(program)}
    for name, make in (("snnTorch", snntorch_run), ("SpikingJelly", spikingjelly_run)):
        try:
            found[name] = make(program)
        except ImportError as error:
            print(f"{name} left out: {error} (pip install 'sast-deploy[bench]')")
    return found


def torch_plain(program: Program) -> Run:
    """Layer by layer, the products of all steps in one, then the same LIF recursion in tensor operations."""

    def neurons(layer: Dense | Conv2d) -> Neurons:
        vth, keep = vector(layer, layer.vth), decay(layer)

        def run(current: Tensor) -> Tensor:
            u, s, out = torch.zeros_like(current[0]), torch.zeros_like(current[0]), []
            for a in current:
                u = u * keep + a - vth * s
                s = (u >= vth).float()
                out.append(s)
            return torch.stack(out)

        return run

    return network(program, neurons, unit_threshold=False)


def snntorch_run(program: Program) -> Run:
    import snntorch

    def neurons(layer: Dense | Conv2d) -> Neurons:
        vth = vector(layer, layer.vth)
        cell = snntorch.Leaky(beta=decay(layer), threshold=vth, reset_mechanism="subtract")

        def run(current: Tensor) -> Tensor:
            membrane, out = cell.reset_mem(), []
            for a in current:
                spikes, membrane = cell(a, membrane)
                out.append(spikes)
            return torch.stack(out)

        return run

    return network(program, neurons, unit_threshold=False)


def spikingjelly_run(program: Program) -> Run:
    from spikingjelly.activation_based import functional as jelly, neuron

    def neurons(layer: Dense | Conv2d) -> Neurons:
        tau = 1.0 / (1.0 - decay(layer))
        node = neuron.LIFNode(tau=tau, decay_input=False, v_threshold=1.0, v_reset=None, step_mode="m").eval()

        def run(current: Tensor) -> Tensor:
            jelly.reset_net(node)
            return node(current)

        return run

    return network(program, neurons, unit_threshold=True)


def network(program: Program, neurons: Callable[[Dense | Conv2d], Neurons], unit_threshold: bool) -> Run:
    """unit_threshold: weights and biases divided by the threshold, for neurons that allow but one."""
    steps = [layer_run(layer, neurons, unit_threshold) for layer in program.layers]

    @torch.inference_mode()
    def run(frames: Tensor) -> Tensor:
        x = frames.transpose(0, 1)
        for step in steps:
            x = step(x)
        return x

    return run


def layer_run(layer, neurons, unit_threshold: bool) -> Run:
    if isinstance(layer, SumPool):
        area = layer.kernel[0] * layer.kernel[1]
        return lambda x: over_steps(x, lambda rows: functional.avg_pool2d(rows, layer.kernel) * area)
    unit = layer.vth.astype(np.float64) if unit_threshold and not isinstance(layer, Readout) else 1.0
    scaled = layer.weight * 2.0**layer.weight_exp / np.reshape(unit, (-1, *[1] * (layer.weight.ndim - 1)))
    weight, bias = (torch.tensor(v, dtype=torch.float32) for v in (scaled, layer.bias / unit))
    if isinstance(layer, Readout):
        return lambda x: functional.linear(x.sum(0).flatten(1), weight, bias * len(x))
    cells = neurons(layer)
    if isinstance(layer, Dense):
        return lambda x: cells(over_steps(x.flatten(2), lambda rows: functional.linear(rows, weight, bias)))
    weight = weight.to(memory_format=torch.channels_last)  # the faster layout here
    shape = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return lambda x: cells(over_steps(x, lambda rows: functional.conv2d(rows, weight, bias, *shape)))


def over_steps(x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    return product(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def decay(layer: Dense | Conv2d) -> float:
    return 1.0 - float(layer.v_decay[0]) / 4096


def vector(layer: Dense | Conv2d, values: np.ndarray) -> Tensor:
    shape = (-1, 1, 1) if isinstance(layer, Conv2d) else (-1,)
    return torch.tensor(values, dtype=torch.float32).reshape(shape)
