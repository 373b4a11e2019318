"""The child process of stock.py: stock NetX, stock source, stock sinks, Lava's own defaults.

Lava is changed only as shim.py says: so that it can be imported, and leaves no shared memory behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.simulate.lava import shim
from sast_deploy.simulate.lava.child import main
from sast_deploy.simulate.lava.shared import map_frames


def run_stock_network(run_dir: Path) -> None:
    """Build the stock network of a job, run it, write stock.npz."""
    job = json.loads((run_dir / "job.json").read_text(encoding="utf-8"))
    began = time.perf_counter()
    shim.prepare()
    from lava.lib.dl.netx.hdf5 import Network
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.source import RingBuffer

    frames = map_frames(job["frames"])
    samples, steps = frames.shape[:2]
    # One step of latency per layer: the last sample needs some more steps to come through.
    network = Network(job["net"], input_message_bits=8, reset_interval=steps, reset_offset=1)
    total = samples * steps + len(network)
    source = RingBuffer(data=_columns(frames, network))
    source.s_out.connect(network.inp)
    sinks = _sinks(network, total) if job["record"] else []
    network.create_runtime(Loihi2SimCfg(select_tag="fixed_pt"))
    started = time.perf_counter()
    network.run(RunSteps(total))
    ended = time.perf_counter()
    found: dict[str, Any] = {f"spikes{n}": _spikes(sink) for n, sink in enumerate(sinks)}
    found.update({f"weight{n}": _weights(layer) for n, layer in enumerate(network.layers)})
    found.update(layers=len(network), seconds=ended - started, start_seconds=started - began)
    network.stop()
    np.savez(run_dir / "stock.npz", **found)


def _columns(frames: np.ndarray, network: Any) -> np.ndarray:
    """int32 (C*H*W or W, H, C; Lava time steps): time last, and zeros while the last sample comes through."""
    rows = frames.reshape(-1, *frames.shape[2:]).astype(np.int32)
    rows = rows.transpose(0, 3, 2, 1) if len(network.inp.shape) == 3 else rows.reshape(len(rows), -1)
    silence = np.zeros((len(network), *rows.shape[1:]), np.int32)
    return np.moveaxis(np.concatenate([rows, silence]), 0, -1)


def _sinks(network: Any, total: int) -> list[Any]:
    from lava.proc.io.sink import RingBuffer

    sinks = [RingBuffer(shape=layer.out.shape, buffer=total) for layer in network.layers[:-1]]
    for layer, sink in zip(network.layers, sinks, strict=False):
        layer.out.connect(sink.a_in)
    return sinks


def _spikes(sink: Any) -> np.ndarray:
    """(neurons in C, H, W order, Lava time steps); stock convolutions send W, H, C."""
    data = sink.data.get().astype(np.int64)
    ordered: np.ndarray = data.transpose(2, 1, 0, 3) if data.ndim == 4 else data
    return ordered.reshape(-1, data.shape[-1])


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
    code = main(run_stock_network)
    sys.stdout.flush()
    os._exit(code)
