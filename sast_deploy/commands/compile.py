"""`sast-deploy compile`: a checkpoint becomes an integer program in a .net file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import CompileError, OutputError, UsageError, about
from sast_deploy.commands.identity import EXPORT, FRAMES, calibration_run, compile_run, digest_of
from sast_deploy.commands.options import (
    OUTPUT,
    PATH,
    SEED,
    Command,
    console,
    example,
    folder_options,
    overwrite_option,
    refuse_ignored,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sast_deploy.base.outputs import Run
    from sast_deploy.compiler import Compilation
    from sast_deploy.netx.file import NetFile
    from sast_deploy.program.profile import Profile
    from sast_deploy.show.blocks import Out
    from sast_deploy.training.checkpoint import Checkpoint

EXPORTS = Path("netx_exports")
STOCK_WARNING = (
    "stock NetX loads this file but resets to ZERO where this program subtracts: its results differ. "
    "`--strict-reset` writes a file that stock NetX refuses."
)
STOCK_NOTE = (
    "stock NetX loads this file and resets to zero as this program does, but its membrane has 24 bits, 6 of "
    "them fractions of a weight LSB: results differ where this program rounds or saturates."
)


@click.command(
    "compile",
    cls=Command,
    short_help="A checkpoint to an integer program, as NetX HDF5.",
    epilog=example(
        "sast-deploy compile runs/sast/ckpt.pt --profile loihi-int4",
        "sast-deploy compile runs/sast/ckpt.pt --profile loihi-int4 --calibrate nmnist",
    ),
)
@click.argument("checkpoint", type=PATH)
@click.option(
    "--profile", "profile_name", default="loihi-int8", show_default=True, help="Name, or path of a .toml."
)
@click.option(
    "-o", "--output", type=OUTPUT,
    help="Default: netx_exports/<name>-<profile>.net, or ...-calibrated.net; where that is another "
    "checkpoint's, with the first digits of this one's digest.",
)  # fmt: skip
@overwrite_option("the export")
@click.option("--strict-reset", is_flag=True, help="Write a neuron type that stock NetX refuses.")
@click.option(
    "--calibrate",
    metavar="DATASET",
    help="Choose the integers on training samples of this data set, normally the checkpoint's own.",
)
@click.option(
    "--calibrate-steps",
    metavar="STEPS",
    help="Of clipping,search,rounding,correction; default: all. Each is kept only if the loss does not grow.",
)
@click.option("--seed", type=SEED, help="Of the samples that calibration draws; default 0.")
@folder_options("the one it was trained from, else ")
def compile_command(
    checkpoint: Path,
    profile_name: str,
    output: Path | None,
    overwrite: bool,
    strict_reset: bool,
    calibrate: str | None,
    calibrate_steps: str | None,
    seed: int | None,
    **folders: Any,
) -> None:
    """Quantize CHECKPOINT for a hardware profile and export it as a NetX HDF5 file.

    With --calibrate, scales, clipping, rounding, biases and thresholds are chosen on what the integer layers
    really send, fitted to the samples it was trained on and judged on those its training held out.
    """
    from sast_deploy.calibration import STEPS, ordered_steps
    from sast_deploy.compiler import compile_network
    from sast_deploy.netx.file import write_net
    from sast_deploy.program.profile import load_profile
    from sast_deploy.training.checkpoint import load_checkpoint, to_float_network

    if calibrate is None:
        alone = ("calibrate_steps", "seed", *folders)
        refuse_ignored(alone, "without --calibrate", "add --calibrate DATASET")
    if calibrate == "":
        raise UsageError("no name", where="--calibrate", expected="a data set, normally the checkpoint's own")
    profile = load_profile(profile_name)
    trained = load_checkpoint(checkpoint)
    network = to_float_network(trained)
    name = f"{trained.name}-{profile.name}"
    out = console()
    out.print(f"{checkpoint} -> {profile.name}: {profile.description}")
    named = STEPS if calibrate_steps is None else [step.strip() for step in calibrate_steps.split(",")]
    steps = ordered_steps(named)
    wanted = {} if calibrate is None else calibration_run(calibrate, steps, seed or 0, profile)
    made = compile_run(digest_of(checkpoint), profile, strict_reset, wanted)
    stem = f"{name}-calibrated" if calibrate else name
    export = partial(_export, output, stem, inputs=(checkpoint, Path(profile_name)), overwrite=overwrite)
    export(made)
    record: dict[str, Any] = {}
    if calibrate is None:
        with about(checkpoint, CompileError):
            compilation = compile_network(network, profile, name)
    else:
        from sast_deploy.commands.calibration import calibrate_checkpoint, load_calibration, print_steps

        data = load_calibration(checkpoint, trained, calibrate, folders, out)
        made = {**made, FRAMES: data.info.frame_digest}
        export(made)
        if calibrate_steps and "clipping" in steps and profile.clipping == "mse":
            out.print(f"step clipping: what {profile.name} does anyway")
        how = (data, steps, seed or 0)
        with about(checkpoint, CompileError):
            calibrated, record = calibrate_checkpoint(trained, network, profile, name, *how, out)
        print_steps(calibrated, out)
        compilation = calibrated.compilation
    net = _net_file(checkpoint, trained, profile, compilation, record, strict_reset)
    written = export(made, write=lambda path: write_net(path, net))
    _print_compilation(out, profile, compilation, strict_reset)
    out.print(f"wrote {written}")


def _export(
    output: Path | None,
    stem: str,
    made: Run,
    *,
    inputs: tuple[Path, ...],
    overwrite: bool,
    write: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Check the export, and write it: `output`, or by its default name, which another may take meanwhile.

    Raises OutputError.
    """
    from sast_deploy.base.outputs import check_output

    path = output or default_export(stem, made)
    check_output(path, EXPORT, made, inputs=inputs, overwrite=overwrite)
    try:
        write(path)
    except OutputError:
        if output is not None or default_export(stem, made) == path:
            raise
        return _export(output, stem, made, inputs=inputs, overwrite=overwrite, write=write)
    return path


def default_export(stem: str, made: Run) -> Path:
    """The export's name; with the checkpoint's digest where another checkpoint's export has the name."""
    path = EXPORTS / f"{stem}.net"
    there = EXPORT.run(path) if path.is_file() else None
    taken = there is not None and there["checkpoint"] != made["checkpoint"]
    return EXPORTS / f"{stem}-{made['checkpoint'][:8]}.net" if taken else path


def _net_file(
    path: Path,
    trained: Checkpoint,
    profile: Profile,
    compilation: Compilation,
    calibration: dict[str, Any],
    strict_reset: bool,
) -> NetFile:
    from sast_deploy.base.files import file_digest
    from sast_deploy.netx.file import NetFile
    from sast_deploy.training.checkpoint import package_versions
    from sast_deploy.verification.vectors import make_known_answers

    return NetFile(
        program=compilation.program,
        profile_text=profile.text,
        frames=trained.frames.to_dict(),
        data=trained.data.to_dict(),
        checkpoint={
            "name": trained.name,
            "path": str(path),
            "digest": file_digest(path),
            "recipe": trained.recipe.to_dict(),
            "seeds": trained.seeds,
            "metrics": trained.metrics,
        },
        created=package_versions(),
        calibration=calibration,
        strict_reset=strict_reset,
        known=make_known_answers(compilation.program),
    )


def _print_compilation(out: Out, profile: Profile, compilation: Compilation, strict_reset: bool) -> None:
    """What is proved of the integers, warnings, and what stock NetX makes of the file."""
    from sast_deploy.netx.stock_view import stock_loads
    from sast_deploy.reports.inspection import proof_table

    losses = [(layer.clipped_weights, layer.error) for layer in compilation.layers]
    out.print(proof_table([layer.proof for layer in compilation.layers], losses))
    for warning in compilation.warnings:
        out.print(f"warning: {warning}")
    subtracts = profile.arithmetic.reset == "subtract"
    if strict_reset and subtracts:
        out.print(
            "stock NetX refuses this file (neuron type SAST_LIF_SUBTRACT); `sast-deploy simulate` runs it."
        )
    elif not stock_loads(compilation.program):
        out.print("stock NetX refuses this file: it has no pooling layers; `sast-deploy simulate` runs it.")
    else:
        out.print(f"note: {STOCK_WARNING if subtracts else STOCK_NOTE}")
    out.print(f"program {compilation.program.digest()}")
