"""`sast-deploy simulate` on other people's .net files: stock NetX networks on an array of inputs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.base.errors import UsageError
from sast_deploy.base.files import input_digest
from sast_deploy.base.outputs import NPZ, ORIGIN_MEMBER, check_output
from sast_deploy.commands.answers import answer
from sast_deploy.commands.options import console
from sast_deploy.commands.own_frames import Wanted
from sast_deploy.engines.stockrun import run_in_chunks, write_npz
from sast_deploy.netx.foreign.frames import StockFrames, load_array, stock_frames
from sast_deploy.netx.foreign.lava_range import StockProgram
from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.show.stock import layer_facts, meaning, print_stock_run


def simulate_stock(path: Path, wanted: Wanted) -> None:
    """Run a stock NetX file and write the last layer's spikes, membrane potentials and logits.

    Raises:
        UsageError: no input. DataError, NetFileError: an array or a file that cannot be used.
    """
    output, made = wanted.output or Path("runs") / path.stem / "spikes.npz", _made_from(path, wanted)
    read = [each for each in (path, wanted.input_path) if each is not None]
    check_output(output, NPZ, made, inputs=read, overwrite=wanted.overwrite)
    stock, inputs = _load(path, wanted)
    start = time.perf_counter()
    results = run_in_chunks(stock, inputs, wanted.engine, wanted.traces, wanted.lava)
    seconds = time.perf_counter() - start
    about = {"latency": np.array(stock.net.latency), ORIGIN_MEMBER: np.array(json.dumps(made))}
    write_npz(output, {**results.arrays(), **about})
    out = console()
    out.print(
        f"{path}: stock NetX network, {len(inputs)} samples x {inputs.use.steps} steps on {wanted.engine} "
        f"in {seconds:.2f} s, latency {stock.net.latency} steps"
    )
    print_stock_run(stock, results, inputs.notes, out)
    out.print(f"wrote {output}")
    answer({
        "kind": "stock", "net": path, "samples": len(inputs), "steps": inputs.use.steps,
        "engine": wanted.engine, "seconds": seconds, "latency": stock.net.latency,
        "notes": (*inputs.notes, *stock.net.notes), "layers": layer_facts(stock, results),
        "logits_are": meaning(results), "logits": results.logits,
        "program_digest": stock.program.digest(), "spikes": output,
    })  # fmt: skip


def _load(path: Path, wanted: Wanted) -> tuple[StockProgram, StockFrames]:
    if wanted.input_path is None:
        raise UsageError(
            "was not written by sast-deploy, so no data belongs to it", where=path,
            todo="name its input, --input frames.npy: (samples, time, C, H, W), (time, C, H, W) or (time, n)",
        )  # fmt: skip
    array, net = load_array(wanted.input_path), read_stock(path)
    named, said = (",".join(map(str, shape or ())) for shape in (wanted.input_shape, net.input_shape))
    if named and said and named != said:
        raise UsageError(f"--input-shape {named}", where=path, expected=f"{said}, as the file says")
    bits, shape, interval = wanted.message_bits or 0, wanted.input_shape, wanted.reset_interval or 0
    inputs = stock_frames(array, net, wanted.steps, bits, wanted.input_path, shape, interval)
    return net.program(inputs.use), inputs


def _made_from(path: Path, wanted: Wanted) -> dict[str, Any]:
    """What the spikes of the network at `path` depend on."""
    return {
        "network": input_digest(path),
        "input": wanted.input_path and input_digest(wanted.input_path),
        "input_shape": wanted.input_shape, "steps": wanted.steps,
        "engine": wanted.engine, "traces": wanted.traces,
        "reset_interval": wanted.reset_interval or 0, "message_bits": wanted.message_bits or 0,
    }  # fmt: skip
