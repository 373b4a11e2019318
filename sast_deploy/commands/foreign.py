"""`sast-deploy simulate` on other people's .net files: stock NetX networks on an array of inputs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.identity import digest_of
from sast_deploy.commands.options import console

if TYPE_CHECKING:
    from sast_deploy.engines.stockrun import Results
    from sast_deploy.netx.foreign.frames import StockFrames
    from sast_deploy.netx.foreign.lava_range import StockProgram
    from sast_deploy.program.program import Shape
    from sast_deploy.show.blocks import Table


NO_MATTER = ("input_path", "output", "lava_options", "overwrite")  # to the spikes


@dataclass(frozen=True)
class ForeignRun:
    """What the command line asks for; see the help of `sast-deploy simulate`."""

    input_path: Path | None
    input_shape: Shape | None
    steps: int | None
    reset_interval: int
    message_bits: int
    backend: str
    output: Path | None
    traces: bool
    lava_options: dict[str, Any]
    overwrite: bool = False

    def made_from(self, path: Path) -> dict[str, Any]:
        """What the spikes of the network at `path` depend on."""
        options = {key: value for key, value in vars(self).items() if key not in NO_MATTER}
        files = {"network": digest_of(path), "input": self.input_path and digest_of(self.input_path)}
        return {**files, "engine": options.pop("backend"), **options}


def simulate_foreign(path: Path, wanted: ForeignRun) -> None:
    """Run a stock NetX file and write the last layer's spikes, membrane potentials and logits.

    Raises:
        UsageError: no input. DataError, NetFileError: an array or a file that cannot be used.
    """
    import numpy as np

    from sast_deploy.base.outputs import NPZ, RUN_MEMBER, check_output
    from sast_deploy.engines.stockrun import run_in_chunks, write_npz

    output, made = wanted.output or Path("runs") / path.stem / "spikes.npz", wanted.made_from(path)
    read = [each for each in (path, wanted.input_path) if each is not None]
    check_output(output, NPZ, made, inputs=read, overwrite=wanted.overwrite)
    stock, inputs = _load(path, wanted)
    net = stock.net
    start = time.perf_counter()
    results = run_in_chunks(stock, inputs, wanted.backend, wanted.traces, wanted.lava_options)
    seconds = time.perf_counter() - start
    about = {"latency": np.array(net.latency), RUN_MEMBER: np.array(json.dumps(made))}
    write_npz(output, {**results.arrays(), **about})
    out = console()
    out.print(
        f"{path}: stock NetX network, {len(inputs)} samples x {inputs.use.steps} steps on {wanted.backend} "
        f"in {seconds:.2f} s, latency {net.latency} steps",
    )
    for note in (*inputs.notes, *net.notes):
        out.print(f"note: {note}")
    out.print(_layers(stock, results))
    first = results.logits[0].tolist()
    potentials, counts = "membrane potentials after the last step", "spike counts of the last layer"
    meaning = potentials if results.integrates else counts
    out.print(f"logits of sample 0 ({meaning}): {_shortened(first)}")
    out.print(f"program {stock.program.digest()}")
    out.print(f"wrote {output}")


def _load(path: Path, wanted: ForeignRun) -> tuple[StockProgram, StockFrames]:
    from sast_deploy.netx.foreign.frames import load_array, stock_frames
    from sast_deploy.netx.foreign.reader import read_stock

    if wanted.input_path is None:
        raise UsageError(
            "was not written by sast-deploy, so no data belongs to it",
            where=path,
            todo="name its input, --input frames.npy: (samples, time, C, H, W), (time, C, H, W) or (time, n)",
        )
    array, net = load_array(wanted.input_path), read_stock(path)
    named, said = (",".join(map(str, shape or ())) for shape in (wanted.input_shape, net.input_shape))
    if named and said and named != said:
        raise UsageError(f"--input-shape {named}", where=path, expected=f"{said}, as the file says")
    bits, shape = wanted.message_bits, wanted.input_shape
    inputs = stock_frames(array, net, wanted.steps, bits, wanted.input_path, shape)
    return net.program(replace(inputs.use, reset_interval=wanted.reset_interval)), inputs


def _layers(stock: StockProgram, results: Results) -> Table:
    from sast_deploy.show.blocks import Table

    rows = []
    layers = stock.program.spiking()
    for (index, layer), shape, spikes in zip(layers, results.shapes, results.spikes, strict=True):
        kind = "input" if index == 0 and stock.net.neurons is not None else layer.kind
        rows.append((
            f"{index} ({kind})",
            "x".join(map(str, shape)),
            str(layer.weight.size),
            f"{spikes:,}",
            f"{spikes / (results.samples * results.steps * prod(shape)):.4f}",
        ))  # fmt: skip
    title = f"{results.samples} samples x {results.steps} steps"
    return Table(title, ("layer", "shape", "weights", "spikes", "per neuron and step"), tuple(rows), left=1)


def _shortened(values: list[int]) -> str:
    return " ".join(map(str, values[:20])) + (f" ... ({len(values)})" if len(values) > 20 else "")
