"""`sast-deploy simulate`: run a .net file on its test split and report."""

from __future__ import annotations

import platform
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import DataError, Exit, NetFileError, UsageError
from sast_deploy.commands.compile import EXPORTS
from sast_deploy.commands.foreign import ForeignRun, simulate_foreign
from sast_deploy.commands.identity import FRAMES, REPORT, simulate_run, test_run
from sast_deploy.commands.loading import load_test_split, recorded_data
from sast_deploy.commands.options import (
    COUNT,
    DATA_OPTIONS,
    OUTPUT,
    PATH,
    SECONDS,
    Command,
    console,
    data_options,
    example,
    overwrite_option,
    refuse_ignored,
)

if TYPE_CHECKING:
    from sast_deploy.data import FrameSet
    from sast_deploy.netx.file import NetFile
    from sast_deploy.program.record import SpikeRecord

DEFAULT_CHECK = 100
OF_LAVA = ("batch", "stall", "timeout")
OF_STRANGERS = ("input_path", "input_shape", "steps", "reset_interval", "message_bits", "traces", "output")
OF_OUR_FILES = (*DATA_OPTIONS, "samples", "check", "report")


def _parse_shape(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[int, int, int] | None:
    if text is None:
        return None
    sizes = [int(part) for part in text.split(",") if part.strip().isascii() and part.strip().isdecimal()]
    if len(sizes) != 3 or text.count(",") != 2 or min(sizes) < 1:
        raise click.BadParameter(f"{text!r} is not C,H,W, such as 2,34,34")
    return sizes[0], sizes[1], sizes[2]


@click.command(
    "simulate",
    cls=Command,
    short_help="Run a .net file on its test split and report.",
    epilog=example(
        "sast-deploy simulate",
        "sast-deploy simulate netx_exports/sast-loihi-int4.net --check all",
        "sast-deploy simulate theirs.net --input spikes.npy --steps 64 -o spikes.npz",
    ),
)
@click.argument("net", type=PATH, required=False)
@data_options(None)
@click.option("--samples", type=COUNT, help="Only N test samples, evenly spread.")
@click.option(
    "--check",
    default=str(DEFAULT_CHECK),
    show_default=True,
    metavar="N|all|none",
    help="Test samples, evenly spread, that the reference replays in Python integers.",
)
@click.option(
    "--backend",
    type=click.Choice(["reference", "fast", "lava"]),
    help="Default: lava; for other people's files fast.",
)
@click.option("--batch", type=COUNT, help="Samples per Lava batch; default: what fits memory.")
@click.option("--stall", type=SECONDS, default=120.0, show_default=True, help="Seconds of silence: hung.")
@click.option("--timeout", type=SECONDS, help="Seconds that Lava may take in all; default: no limit.")
@click.option("--report", type=OUTPUT, help="Default: runs/<net name>/report.json")
@overwrite_option("a report or spikes")
@click.option(
    "--input",
    "input_path",
    type=PATH,
    metavar="NPY",
    help="For a stock NetX file: (samples, time, C, H, W), (time, C, H, W) or (time, n).",
)
@click.option("--steps", type=COUNT, help="With --input: default time + latency.")
@click.option(
    "--reset-interval", type=COUNT, help="With --input: clear all states every N steps."
)
@click.option(
    "--message-bits",
    type=click.IntRange(0, 32),
    help="With --input: bits of graded inputs; default 0, every nonzero input is a spike.",
)
@click.option(
    "--input-shape",
    callback=_parse_shape,
    metavar="C,H,W",
    help="With --input: of a flat array, where the file begins with a convolution.",
)
@click.option("--traces", is_flag=True, help="With --input: write the hidden layers' traces, too.")
@click.option("-o", "--output", type=OUTPUT, help="With --input: default runs/<net name>/spikes.npz")
def simulate_command(
    net: Path | None,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
    cache_dir: Path | None,
    samples: int | None,
    check: str,
    backend: str | None,
    batch: int | None,
    stall: float,
    timeout: float | None,
    report: Path | None,
    overwrite: bool,
    input_path: Path | None,
    steps: int | None,
    reset_interval: int | None,
    message_bits: int | None,
    input_shape: tuple[int, int, int] | None,
    traces: bool,
    output: Path | None,
) -> int:
    """Run NET (default: the newest export) on the test split of its own data set and report.

    Exit code 1 if the reference disagrees on any spike count or logit. A NET of somebody else's, a stock
    NetX file, runs on the array --input, with the results that stock Lava gives.
    """
    from sast_deploy.base.files import write_text
    from sast_deploy.base.outputs import check_output, with_run
    from sast_deploy.base.reading.files import NET, STOCK, identify
    from sast_deploy.netx.file import read_net
    from sast_deploy.netx.foreign.reader import STOCK_FILE
    from sast_deploy.netx.program_group import EXPECTED
    from sast_deploy.program.record import evenly_spread, take
    from sast_deploy.reports.run import Run, make_report, print_report

    wanted_check = _parse_check(check)
    path = net or newest_export(EXPORTS)
    lava_options = {"batch": batch, "stall": stall, "timeout": timeout}
    kind = identify(path, EXPECTED if input_path is None else STOCK_FILE)
    if kind == STOCK:
        refuse_ignored(OF_OUR_FILES, f"is for sast-deploy's own files; {path} is a stock NetX file")
    if kind == STOCK or (input_path is not None and kind != NET):
        _refuse_lava_options(backend or "fast")
        simulate_foreign(
            path,
            ForeignRun(
                input_path, input_shape, steps, reset_interval or 0, message_bits or 0, backend or "fast",
                output, traces, lava_options, overwrite,
            ),
        )  # fmt: skip
        return 0
    if kind == NET:
        todo = f"sast-deploy wrote {path}, it knows its data: leave the option out"
        refuse_ignored(OF_STRANGERS, "is for stock NetX files", todo)
    _refuse_lava_options(backend or "lava")
    if backend == "reference":
        refuse_ignored(["check"], "with --backend reference: the reference would check itself")
    report = report or Path("runs") / path.stem / "report.json"
    backend = backend or "lava"
    content = read_net(path)
    recorded, options = recorded_data(content, path)
    test = test_run(recorded, dataset, data_root, holdout, holdout_seed)
    made = simulate_run(content, test, samples, wanted_check, backend)
    guard = partial(check_output, report, REPORT, inputs=(path,), overwrite=overwrite, option="--report")
    guard(made)
    data = load_test_split(path, recorded, options, dataset, data_root, holdout, holdout_seed, cache_dir)
    made[FRAMES] = data.info.frame_digest
    guard(made)
    _check_shape(data, content)
    if len(data.test) == 0:
        raise DataError("no test samples", where=data.info.root, expected="at least one")
    facts = _facts(path, content, data, data.info.unlike(recorded))
    chosen = evenly_spread(len(data.test), samples)
    frames = take(data.test.frames, chosen)  # the whole split stays where it is mapped from
    out = console()
    out.print(f"{path}: {len(frames)} test samples of {data.info.dataset} on {backend}")
    start = time.perf_counter()
    record = _run(backend, path, content, frames, lava_options)
    seconds = time.perf_counter() - start
    checked, difference = 0, None
    if backend != "reference":
        checked, difference = _replay(content, frames, record, wanted_check, chosen, backend)
    run = Run(backend, round(seconds, 3), checked, difference)
    result = make_report(content, frames, data.test.labels[chosen], record, run, facts)
    print_report(result, out)
    write_text(report, with_run(result.to_json(), made))
    out.print(f"wrote {report}")
    return Exit.CHECK_FAILED if difference else Exit.OK


def newest_export(folder: Path) -> Path:
    """The .net file in `folder` that was written last. Raises NetFileError where there is none."""
    found = sorted(folder.glob("*.net"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not found:
        raise NetFileError(
            "holds no .net file", where=folder, todo="name one, or write one with `sast-deploy compile`"
        )
    return found[-1]


def _check_shape(data: FrameSet, net: NetFile) -> None:
    wanted = (net.program.steps, *net.program.input_shape)
    if data.test.frames.shape[1:] != wanted:
        raise DataError(
            f"frames of shape {data.test.frames.shape[1:]}", where=data.info.root, expected=f"{wanted}"
        )


def _run(backend: str, path: Path, net: NetFile, frames: Any, lava_options: dict[str, Any]) -> SpikeRecord:
    from sast_deploy.base.progress import track
    from sast_deploy.engines.reference import run_reference

    if backend == "reference":
        return run_reference(net.program, frames, progress=lambda n: track(n, "reference"))
    if backend == "fast":
        from sast_deploy.engines.fast import run_fast

        return run_fast(net.program, frames)
    from sast_deploy.engines.lava import run_lava

    return run_lava(path, frames, **lava_options, progress=lambda n: track(n, "lava", total=len(frames)))


def _replay(
    net: NetFile, frames: Any, record: SpikeRecord, samples: int | None, numbers: Any, engine: str
) -> tuple[int, str | None]:
    """(samples replayed, first difference): the reference on `samples` evenly spread ones, None for all.

    numbers: which test sample each of `frames` is. engine: whose `record` it is.
    """
    from sast_deploy.base.progress import track
    from sast_deploy.engines.reference import run_reference
    from sast_deploy.program.record import evenly_spread, first_difference, select, take

    chosen = evenly_spread(len(frames), samples)
    if len(chosen) == 0:
        return 0, None
    replayed = take(frames, chosen)
    expected = run_reference(net.program, replayed, progress=lambda n: track(n, "reference check"))
    difference = first_difference(select(record, chosen), expected, numbers[chosen])
    return len(chosen), f"{engine.capitalize()} against the reference: {difference}" if difference else None


def _refuse_lava_options(backend: str) -> None:
    if backend != "lava":
        refuse_ignored(OF_LAVA, f"is Lava's, and this runs on {backend}", "leave it out, or --backend lava")


def _parse_check(text: str) -> int | None:
    if text == "all":
        return None
    if text == "none":
        return 0
    if not text.isdecimal():
        raise UsageError(f"--check {text}", expected="a number of samples, all or none")
    return int(text)


def _facts(path: Path, net: NetFile, data: FrameSet, unlike_training: str | None) -> dict[str, Any]:
    import numpy as np

    from sast_deploy import __version__
    from sast_deploy.base.files import file_digest
    from sast_deploy.base.versions import installed_version
    from sast_deploy.netx.file import profile_of

    versions = {"sast-deploy": __version__, "python": platform.python_version(), "numpy": np.__version__}
    versions |= {name: installed_version(name) or "missing" for name in ("lava-nc", "lava-dl")}
    about_test = {"test_samples": len(data.test), "unlike_training": unlike_training}
    return {
        "net": {"path": str(path), "digest": file_digest(path), "program_digest": net.program.digest()},
        "profile": profile_of(net, path).name,
        "data": {**data.info.to_dict(), **about_test},
        "checkpoint": dict(net.checkpoint),
        "versions": versions,
    }
