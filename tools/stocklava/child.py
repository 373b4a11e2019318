"""The child process: stock NetX, stock source, stock sinks, Lava's own defaults.

Lava is changed only as shim.py says, so that it can be imported and leaves no shared memory behind, and where
NumPy 2 refuses what NumPy 1 took.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.engines.lava import shim
from sast_deploy.engines.lava.child import main


def widen_conv_groups() -> None:
    """Let stock convolutions have more than 127 channels; call after `shim.prepare`.

    Their process model passes `groups` on as int8, and `channels % groups` of NumPy 2 refuses a Python
    integer that int8 cannot hold, where NumPy 1 widened it. The values are the same.
    """
    utils = importlib.import_module("lava.proc.conv.utils")
    original: Callable[..., Any] = utils.conv

    def conv(*arguments: Any) -> Any:
        return original(*arguments[:-1], int(arguments[-1]))

    vars(utils)["conv"] = conv


def run_stock_network(run_dir: Path) -> None:
    """Build the stock network of a job, run it, write stock.npz."""
    job = json.loads((run_dir / "job.json").read_text(encoding="utf-8"))
    began = time.perf_counter()
    shim.prepare()
    widen_conv_groups()
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_configs import Loihi2SimCfg

    frames = np.load(run_dir / "frames.npy")
    samples, steps = frames.shape[:2]
    interval = steps if job["reset_interval"] is None else job["reset_interval"]
    network = Network(
        job["net"],
        input_message_bits=job["message_bits"],
        reset_interval=interval or None,
        reset_offset=job["reset_offset"],
        input_shape=tuple(job["input_shape"][::-1]) if job["input_shape"] else None,
    )
    # One step of latency per layer: the last sample needs some more steps to come through.
    total = samples * steps + len(network)
    probes = _probes(network, total) if job["record"] else []
    feed = _feed(network, _columns(frames, network), total)
    network.create_runtime(Loihi2SimCfg(select_tag="fixed_pt"))
    started = time.perf_counter()
    for _ in feed:
        pass
    ended = time.perf_counter()
    found: dict[str, Any] = {"seconds": ended - started, "start_seconds": started - began}
    for n, (sink, monitor, name) in enumerate(probes):
        found[f"spikes{n}"] = _rows(sink.data.get())
        found[f"membranes{n}"] = _rows(np.moveaxis(monitor.get_data()[name]["v"], 0, -1))
    layers = [layer for layer in network.layers if hasattr(layer, "synapse")]
    found.update({f"weights{n}": _weights(layer) for n, layer in enumerate(layers)})
    network.stop()
    np.savez(run_dir / "stock.npz", **found)


def _columns(frames: np.ndarray, network: Any) -> np.ndarray:
    """(C*H*W or W, H, C; Lava time steps), int32 or as floats: time last, and zeros after the last sample."""
    rows = frames.reshape(-1, *frames.shape[2:])
    rows = rows if rows.dtype.kind == "f" else rows.astype(np.int32)
    rows = rows.transpose(0, 3, 2, 1) if len(network.inp.shape) == 3 else rows.reshape(len(rows), -1)
    silence = np.zeros((len(network), *rows.shape[1:]), rows.dtype)
    return np.moveaxis(np.concatenate([rows, silence]), 0, -1)


def _feed(network: Any, columns: np.ndarray, total: int) -> Iterator[None]:
    """Runs `total` steps as it is iterated over: spikes from a source, or biases of the input's neurons."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc.io.source import RingBuffer

    if hasattr(network.in_layer, "synapse"):
        source = RingBuffer(data=columns)
        source.s_out.connect(network.inp)
        return (network.run(RunSteps(total)) for _ in range(1))
    bias = network.in_layer.neuron.bias_mant
    bias.init = columns[..., 0]
    return _step_by_step(network, bias, columns, total)


def _step_by_step(network: Any, bias: Any, columns: np.ndarray, total: int) -> Iterator[None]:
    from lava.magma.core.run_conditions import RunSteps

    for t in range(total):
        if t and (columns[..., t] != columns[..., t - 1]).any():
            bias.set(np.ascontiguousarray(columns[..., t]))
        network.run(RunSteps(1))
        yield


def _probes(network: Any, total: int) -> list[tuple[Any, Any, str]]:
    """A spike sink and a membrane monitor at every layer, with the name under which the latter files it."""
    from lava.proc.io.sink import RingBuffer
    from lava.proc.monitor.process import Monitor

    probes = []
    for layer in network.layers:
        sink, monitor = RingBuffer(shape=layer.out.shape, buffer=total), Monitor()
        layer.out.connect(sink.a_in)
        monitor.probe(layer.neuron.v, total)
        probes.append((sink, monitor, layer.neuron.name))
    return probes


def _rows(data: np.ndarray) -> np.ndarray:
    """int64 (neurons in C, H, W order, Lava time steps); stock layers have W, H, C."""
    ordered: np.ndarray = data.transpose(2, 1, 0, 3) if data.ndim == 4 else data
    return ordered.reshape(-1, data.shape[-1]).astype(np.int64)


def _weights(layer: Any) -> np.ndarray:
    """What the stock synapse computes with, as the file had it."""
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    synapse = layer.synapse
    if hasattr(synapse, "weight"):  # a convolution: O, kW, kH, I, mirrored, used as it is
        return np.asarray(synapse.weight.init.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1], dtype=np.int64)
    weights, params = synapse.weights.init, synapse.proc_params
    mode = params.get("sign_mode") or determine_sign_mode(weights)
    used = truncate_weights(clip_weights(weights, mode, num_bits=8), mode, params.get("num_weight_bits", 8))
    return np.asarray(used * 2.0 ** params.get("weight_exp", 0), dtype=np.int64)


if __name__ == "__main__":
    main(run_stock_network)
