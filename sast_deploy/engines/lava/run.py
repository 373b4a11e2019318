"""Run a .net file on Lava: check, share the arrays, start and watch the child, collect the results."""

from __future__ import annotations

import json
import pickle
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from sast_deploy.base.errors import DataError, LavaError
from sast_deploy.base.threads import processors
from sast_deploy.engines.frames import Frames, Progress, check_frames
from sast_deploy.engines.lava.exact import products, unfit_layer
from sast_deploy.engines.lava.shared import create_record, open_record, share_frames
from sast_deploy.engines.lava.supervisor import Limits, Watch
from sast_deploy.netx.file import read_net
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, Resampling, Shape
from sast_deploy.program.record import SpikeRecord

# A Lava time step costs about 2 ms however few samples it carries; beyond this, more samples gain nothing.
BATCH_MAX = 1024
# What the widest layer's floating-point copies of one batch may take, in bytes.
BATCH_BYTES = 128 << 20
# In a time step each Lava process waits for the one before it, so that one network keeps one processor busy.
# For the others there are networks side by side; to start one takes as long as so many products.
LANES_MAX, LANE_PRODUCTS = 8, 1 << 33
# Open files of the process that builds the network: measured 45 with 5 Lava processes, 240 with 35.
FILES, FILES_EACH = 12, 7


def run_lava(
    source: Program | Path,
    frames: Frames,
    *,
    trace: bool = False,
    batch: int | None = None,
    stall: float = 120.0,
    timeout: float | None = None,
    progress: Progress = iter,
) -> SpikeRecord:
    """Run every sample of `frames` through a program, in Lava processes.

    source: the program, or a .net file of ours. frames: integers (samples, time, C, H, W) in the program's
    range; as many steps are run as they have. batch: samples that advance together, chosen by memory where
    None; it changes nothing but the speed. stall: seconds without a finished time step, timeout: seconds in
    all, after which the child process is killed.
    progress: wraps the iterable of finished samples, for example in `sast_deploy.base.progress.track`.

    Raises:
        NetFileError: the file is unusable. DataError: frames that do not fit the program.
        LavaError: Lava is missing, died, hung, or the program is too wide for it.
    """
    if isinstance(source, Program):
        program, where = source, source.name
    else:
        program, where = read_net(Path(source)).program, str(source)
    _check(program, frames, where)
    lanes = choose_lanes(program, *frames.shape[:2])
    batch = choose_batch(program, len(frames), lanes) if batch is None else batch
    if batch < 1:
        raise DataError(f"batch = {batch}", where="Lava", expected="at least 1")
    try:
        with tempfile.TemporaryDirectory(prefix="sast-lava-", ignore_cleanup_errors=True) as folder:
            run_dir = Path(folder)
            _prepare(run_dir, program, frames, batch, trace)
            child = "sast_deploy.engines.lava.child"
            for _ in progress(Watch(child, run_dir, len(frames), Limits(stall, timeout), lanes)):
                pass
            return _collect(run_dir, program, trace)
    except OSError as error:
        raise LavaError(
            f"cannot use the temporary folder: {error.strerror or error}",
            where=tempfile.gettempdir(),
            todo="free some space there or set TMPDIR",
        ) from error


def choose_lanes(program: Program, samples: int, steps: int) -> int:
    """How many networks run side by side."""
    worthwhile = samples * steps * products(program) // LANE_PRODUCTS
    lanes = max(1, min(processors(), LANES_MAX, samples, worthwhile))
    while lanes > 1 and not _may_open(open_files(program, lanes)):
        lanes -= 1
    return lanes


def choose_batch(program: Program, samples: int, lanes: int = 1) -> int:
    """The batch size of every lane: at most BATCH_MAX, BATCH_BYTES in all, batches as equal as can be."""
    shapes, share = program.shapes(), -(-samples // lanes)
    widest = max(_floats(layer, shapes[i], shapes[i + 1]) for i, layer in enumerate(program.layers))
    limit = max(1, min(BATCH_MAX, BATCH_BYTES // (8 * widest * lanes)))
    batches = max(1, -(-share // limit))
    return max(1, -(-share // batches))


def _floats(layer: object, before: Shape, after: Shape) -> int:
    """Numbers that one sample needs at once in a layer: inputs, outputs and a convolution's patches."""
    patches = int(np.prod(layer.weight.shape[1:])) * layer.groups if isinstance(layer, Conv2d) else 0
    return int(np.prod(before) + np.prod(after)) + patches * int(np.prod(after[1:]))


def open_files(program: Program, lanes: int = 1) -> int:
    """About how many files a run holds open at once: semaphores and pipes between a source and all layers."""
    recurrent = sum(isinstance(layer, Dense) and layer.recurrent is not None for layer in program.layers)
    single = sum(isinstance(layer, Resampling) for layer in program.layers)
    return FILES + FILES_EACH * lanes * (1 + 2 * len(program.layers) - single + recurrent)


def _may_open(files: int) -> bool:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return allowed < 0 or files <= allowed  # RLIM_INFINITY is -1


def _check(program: Program, frames: Frames, where: str) -> None:
    check_frames(program, frames, where)
    if not len(frames) or not frames.shape[1]:
        raise DataError("no samples or steps to run", where=where)
    problem = unfit_layer(program, frames.shape[1])
    if problem:
        raise LavaError(problem, where=where, expected="sums that int64 and float64 hold exactly")
    needed = open_files(program)
    if not _may_open(needed):  # Lava would hang
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise LavaError(
            f"Lava needs {needed} open files for this network", where="ulimit -n",
            expected=f"more than the {allowed} allowed here", todo="raise it: ulimit -n 1024",
        )  # fmt: skip


def _prepare(run_dir: Path, program: Program, frames: Frames, batch: int, trace: bool) -> None:
    """Lay out the run folder."""
    create_record(run_dir, program, len(frames), frames.shape[1], trace)
    kind = np.uint8 if program.byte_inputs else np.int32
    shared = share_frames(run_dir, frames, kind)
    with h5py.File(run_dir / "empty.net", "w") as file:
        file.create_group("layer")  # what NetX opens; its layers are built from the program
    job = {"frames": shared, "batch": batch, "trace": trace}
    with open(run_dir / "program.pickle", "wb") as file:
        pickle.dump(program, file)
    (run_dir / "job.json").write_text(json.dumps(job), encoding="utf-8")


def _collect(run_dir: Path, program: Program, trace: bool) -> SpikeRecord:
    """The results, read-only."""
    record = open_record(run_dir, program, trace, writable=False)
    if isinstance(program.layers[-1], Readout):
        return record
    return replace(record, logits=record.counts[-1].astype(np.int64))
