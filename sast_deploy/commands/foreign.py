"""`sast-deploy simulate` on other people's .net files: stock NetX networks on an array of inputs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.commands.identity import digest_of
from sast_deploy.commands.options import console
from sast_deploy.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from sast_deploy.netx_frames import StockFrames
    from sast_deploy.netx_import import StockNet
    from sast_deploy.simulate.record import SpikeRecord


NO_MATTER = ("input_path", "output", "lava_options", "overwrite")  # to the spikes


@dataclass(frozen=True)
class ForeignRun:
    """What the command line asks for; see the help of `sast-deploy simulate`."""

    input_path: Path | None
    steps: int | None
    reset_interval: int
    message_bits: int
    backend: str
    output: Path | None
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
    from sast_deploy.netx_currents import check_currents
    from sast_deploy.outputs import NPZ, check_output

    output, made = wanted.output or Path("runs") / path.stem / "spikes.npz", wanted.made_from(path)
    read = [each for each in (path, wanted.input_path) if each is not None]
    check_output(output, NPZ, made, inputs=read, overwrite=wanted.overwrite)
    net, inputs = _load(path, wanted)
    start = time.perf_counter()
    record = _run(path, net, inputs.frames, wanted)
    seconds = time.perf_counter() - start
    check_currents(net, inputs.frames, record, path)
    results = _results(net, record)
    _write(output, results, made)
    out = console()
    samples, steps = inputs.frames.shape[:2]
    out.print(
        f"{path}: stock NetX network, {samples} samples x {steps} steps on {wanted.backend} "
        f"in {seconds:.2f} s, latency {net.latency} steps",
        soft_wrap=True,
    )
    if inputs.binarised:
        out.print("note: without --message-bits every nonzero input counts as one spike")
    for note in net.notes:
        out.print(f"note: {note}")
    out.print(_layers(net, record))
    first = results["logits"][0].tolist()
    out.print(f"logits of sample 0 ({_meaning(net)}): {_shortened(first)}", soft_wrap=True)
    out.print(f"program {net.program.digest()}", soft_wrap=True)
    out.print(f"wrote {output}", soft_wrap=True)


def _load(path: Path, wanted: ForeignRun) -> tuple[StockNet, StockFrames]:
    from sast_deploy.netx_frames import load_array, stock_frames
    from sast_deploy.netx_import import StockUse, load_stock

    if wanted.input_path is None:
        raise UsageError(
            "was not written by sast-deploy, so no data belongs to it",
            where=path,
            todo="name its input, --input frames.npy: (samples, time, C, H, W), (time, C, H, W) or (time, n)",
        )
    shown = load_stock(path, StockUse(message_bits=wanted.message_bits, input_max=1))
    array = load_array(wanted.input_path)
    inputs = stock_frames(array, shown, wanted.steps, wanted.message_bits, wanted.input_path)
    use = StockUse(
        inputs.frames.shape[1],
        wanted.message_bits,
        wanted.reset_interval,
        # A spike reaches the first neurons one step late, a bias at once.
        1 if shown.transform is None else 0,
        inputs.input_max,
        inputs.input_bias,
    )
    return load_stock(path, use), inputs


def _write(output: Path, results: dict[str, Any], made: dict[str, Any]) -> None:
    import numpy as np

    from sast_deploy.fileio import atomic_path
    from sast_deploy.outputs import RUN_MEMBER

    with atomic_path(output) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{**results, RUN_MEMBER: json.dumps(made)})


def _run(path: Path, net: StockNet, frames: Any, wanted: ForeignRun) -> SpikeRecord:
    from sast_deploy.progress import track

    if wanted.backend == "reference":
        from sast_deploy.simulate.reference import run_reference

        return run_reference(net.program, frames, trace=True, progress=lambda n: track(n, "reference"))
    if wanted.backend == "fast":
        from sast_deploy.simulate.fast import run_fast

        return run_fast(net.program, frames, trace=True)
    from sast_deploy.simulate.lava import run_lava

    return run_lava(path, frames, program=net.program, trace=True, **wanted.lava_options)


def _integrates(net: StockNet) -> bool:
    """Whether the last layer never fires: its membrane potentials are the answer then."""
    *_, (_, last) = net.program.spiking()
    return bool((last.vth >= net.program.arithmetic.state.high).all())


def _meaning(net: StockNet) -> str:
    return "membrane potentials after the last step" if _integrates(net) else "spike counts of the last layer"


def _results(net: StockNet, record: SpikeRecord) -> dict[str, Any]:
    """spikes, membranes (samples, time, *shape) and logits (samples, classes) of the last layer."""
    last, shape = (record.traces or ())[-1], net.program.shapes()[-1]
    outer = last.spikes.shape[:2]
    logits = last.membrane[:, -1].astype("int64") if _integrates(net) else record.logits
    return {
        "spikes": last.spikes.reshape(*outer, *shape),
        "membranes": last.membrane.reshape(*outer, *shape),
        "logits": logits,
        "latency": net.latency,
    }


def _layers(net: StockNet, record: SpikeRecord) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("layer", "shape", "weights", "spikes", "per neuron and step"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    shapes = net.program.shapes()
    for (index, layer), trace in zip(net.program.spiking(), record.traces or (), strict=True):
        kind = "input" if index == 0 and net.transform is not None else layer.kind
        table.add_row(
            f"{index} ({kind})",
            "x".join(map(str, shapes[index + 1])),
            str(layer.weight.size),
            f"{int(trace.spikes.sum(dtype='int64')):,}",
            f"{float(trace.spikes.mean()):.4f}",
        )
    return table


def _shortened(values: list[int]) -> str:
    return " ".join(map(str, values[:20])) + (f" ... ({len(values)})" if len(values) > 20 else "")
