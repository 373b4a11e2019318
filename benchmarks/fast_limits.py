"""What the machine can do at best, layer by layer, on the inputs that the layers really get.

    python benchmarks/fast_limits.py [--net FILE.net] [--data-root DIR] [--repeat N]

For every weighted layer of the benchmarks' networks, one core's processor time a sample of the best known
kernels, none of them the fast engine's: additions of the rows that events select (gather.py), int8 products
and fp32 products of torch (oneDNN, FBGEMM), on matrices and, where there is one, in a convolution. Inputs and
lists of events are ready beforehand, neurons are not updated, counts above 1 are added once, the readout is
left out: it is what weighted sums cost at least. "best of each layer" takes the fastest kernel of each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import gather
import numpy as np
import torch
from fast_networks import Workload, workloads
from torch.nn import functional
from turns import Cost, Path as Timed, in_turns

from sast_deploy.engines.fast import FastEngine
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool

GATHER, INT8, FP32 = KERNELS = ("gather-add", "int8 products", "fp32 products")
SAMPLES = {"fc": 128, "conv": 16}
LEAST = 0.01  # seconds of a turn
SQUARE = 2048  # for the machine's rates at their best
ENGINES = ("onednn", "fbgemm")  # of torch's quantized operators
LimitKey = tuple[str, int, str, str]  # "limit", number of the layer, kernel, which of its forms


def layer_inputs(program: Program, frames: np.ndarray) -> list[tuple[Dense | Conv2d, np.ndarray]]:
    """Every layer of neurons with its inputs (samples * steps, C, H, W) or (samples * steps, n), uint8."""
    traces = FastEngine(program, threads=1).run(frames, trace=True).traces
    x, found, shapes = frames.reshape(-1, *program.input_shape), [], program.shapes()
    for index, layer in enumerate(program.layers):
        if isinstance(layer, (Readout, SumPool)):
            break
        found.append((layer, x))
        x = traces[len(found) - 1].spikes.reshape(-1, *shapes[index + 1])
    return found


def limits(program: Program, frames: np.ndarray) -> dict[LimitKey, Timed]:
    """What is to be timed, all on one thread; frames: (samples, T, C, H, W), uint8."""
    return {
        ("limit", number, kernel, form): again(act, len(frames))
        for number, (layer, x) in enumerate(layer_inputs(program, frames))
        for kernel, forms in (
            (GATHER, gathering(layer, x)), (INT8, int8(layer, x)), (FP32, fp32(layer, x))
        )
        for form, act in forms.items()
    }  # fmt: skip


def again(act: Callable[[], object], samples: int) -> Timed:
    """The act as often as takes LEAST seconds: so many samples one after the other, the caches warm."""
    act()
    began = time.perf_counter()
    act()
    times = 1 + int(LEAST / (time.perf_counter() - began))
    return Timed(lambda: [act() for _ in range(times)], samples * times)


def matrices(layer: Dense | Conv2d, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (sums, rows) and weights (rows, outputs), int8, whose product is the layer's weighted sums."""
    weight = layer.weight.reshape(len(layer.weight), -1).T.astype(np.int8)
    if isinstance(layer, Dense):
        return x.reshape(len(x), -1).astype(np.int8), weight
    windows = functional.unfold(
        torch.from_numpy(x).float(), layer.weight.shape[2:], layer.dilation, layer.padding, layer.stride
    )
    return windows.transpose(1, 2).reshape(-1, len(weight)).numpy().astype(np.int8), weight


def gathering(layer: Dense | Conv2d, x: np.ndarray) -> dict[str, Callable[[], object]]:
    inputs, weight = matrices(layer, x)
    return {"rows in registers": gather.sums(gather.table(weight), gather.Lists.of(inputs))}


def int8(layer: Dense | Conv2d, x: np.ndarray) -> dict[str, Callable[[], object]]:
    """Products of int8 matrices, and torch's quantized operators on the same values."""
    a, b = map(torch.from_numpy, matrices(layer, x))
    forms = {"_int_mm": lambda: torch._int_mm(a, b)}
    for engine in set(ENGINES) & set(torch.backends.quantized.supported_engines):
        forms[engine] = quantized(engine, layer, x)
    return forms


def quantized(engine: str, layer: Dense | Conv2d, x: np.ndarray) -> Callable[[], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own about quantized tensors
        torch.backends.quantized.engine = engine
        weight = torch._make_per_tensor_quantized_tensor(torch.tensor(layer.weight, dtype=torch.int8), 1.0, 0)
        inputs = torch._make_per_tensor_quantized_tensor(torch.tensor(x), 1.0, 0)
        if isinstance(layer, Dense):
            packed, flat = torch.ops.quantized.linear_prepack(weight, None), inputs.flatten(1)
            return lambda: torch.ops.quantized.linear(flat, packed, 1.0, 0)
        shape = (list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups)
        packed = torch.ops.quantized.conv2d_prepack(weight, None, *shape)
        maps = inputs.contiguous(memory_format=torch.channels_last)
        return lambda: torch.ops.quantized.conv2d(maps, packed, 1.0, 0)


def fp32(layer: Dense | Conv2d, x: np.ndarray) -> dict[str, Callable[[], object]]:
    a, b = (torch.from_numpy(each).float() for each in matrices(layer, x))
    forms: dict[str, Callable[[], object]] = {"mm": lambda: torch.mm(a, b)}
    if isinstance(layer, Conv2d):
        last = torch.channels_last
        maps = torch.from_numpy(x).float().contiguous(memory_format=last)
        weight = torch.tensor(layer.weight, dtype=torch.float32).contiguous(memory_format=last)
        shape = (None, layer.stride, layer.padding, layer.dilation, layer.groups)
        forms["conv2d"] = lambda: functional.conv2d(maps, weight, *shape)
    return forms


def squares() -> dict[tuple[str, str], Timed]:
    """Products of large matrices, in which a processor is at its best; a sample is a multiplication."""
    paths = {}
    for name, kind, multiply in ((INT8, torch.int8, torch._int_mm), (FP32, torch.float32, torch.mm)):
        a = torch.ones(SQUARE, SQUARE, dtype=kind)
        paths["square", name] = Timed(lambda a=a, multiply=multiply: multiply(a, a), SQUARE**3)
    return paths


# ---- what follows from the times ------------------------------------------------


def by_layer(costs: dict[LimitKey, Cost]) -> list[dict[str, float]]:
    """For every layer the seconds a sample of each kernel, in its fastest form."""
    found: list[dict[str, float]] = [{} for _ in range(1 + max(key[1] for key in costs))]
    for (_, number, kernel, _), cost in costs.items():
        layer = found[number]
        layer[kernel] = min(layer.get(kernel, cost.processor), cost.processor)
    return found


def totals(layers: list[dict[str, float]]) -> dict[str, float]:
    """Seconds a sample with one kernel for all layers, and with the best of each."""
    alone = {kernel: sum(layer[kernel] for layer in layers) for kernel in KERNELS}
    return {**alone, "best of each layer": sum(min(layer.values()) for layer in layers)}


def measure(load: Workload, repeat: int) -> dict[LimitKey, Cost]:
    return in_turns(limits(load.program, np.asarray(load.frames[: SAMPLES[load.kind]])), repeat)


def report(load: Workload, costs: dict[LimitKey, Cost]) -> list[str]:
    """Microseconds a sample and layer, and additions or multiplications a second."""
    inputs = layer_inputs(load.program, np.asarray(load.frames[: SAMPLES[load.kind]]))
    lines = [f"{load.name} ({load.source}), one core"]
    for number, (layer, x) in enumerate(inputs):
        a, b = matrices(layer, x)
        dense, events = a.size * b.shape[1], np.count_nonzero(a) * b.shape[1]
        samples = len(x) / load.program.steps
        size = f"layer {number}: {len(a) / samples:,.0f} sums of {a.shape[1]} x {b.shape[1]}"
        lines.append(f"  {size}, {np.count_nonzero(a) / max(1, a.any(1).sum()):.1f} events in a list")
        for (_, at, kernel, form), cost in costs.items():
            if at == number:
                rate = (events if kernel == GATHER else dense) / samples / cost.processor / 1e9
                lines.append(f"    {kernel:14} {form:18} {cost.processor * 1e6:9.2f} us {rate:8.1f} G/s")
    for kernel, seconds in totals(by_layer(costs)).items():
        lines.append(f"  {kernel:20} {seconds * 1e6:8.2f} us a sample")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--net", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        for load in workloads(Path(folder), options.net, options.data_root, max(SAMPLES.values())):
            print("\n".join(report(load, measure(load, options.repeat))))
    for (_, name), cost in in_turns(squares(), options.repeat).items():
        print(f"{name} of {SQUARE} x {SQUARE} matrices: {1e-9 / cost.processor:.1f} G/s")


if __name__ == "__main__":
    main()
