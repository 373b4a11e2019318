"""`sast-deploy compile`: a checkpoint becomes an integer program in a .net file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.calibrating import calibration_frames, calibration_options
from sast_deploy.commands.command import command
from sast_deploy.commands.options import OUTPUT, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import FOLDERS, folder_options, overwrite_option

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest


@command(
    "compile", "A checkpoint to an integer program, as NetX HDF5.",
    "sast-deploy compile runs/sast/ckpt.pt --profile loihi-int4",
    "sast-deploy compile runs/sast/ckpt.pt --profile loihi-int4 --calibrate nmnist",
)
@click.argument("checkpoint", type=PATH)
@titled(
    "Hardware",
    option(
        "--profile", "profile_name", default="loihi-int8", show_default=True, help="Name, or path of a .toml."
    ),
    option("--strict-reset", is_flag=True, help="Write a neuron type that stock NetX refuses."),
)
@calibration_options
@folder_options
@titled(
    "Output",
    option(
        "-o", "--output", type=OUTPUT,
        help="Default: netx_exports/<name>-<profile>.net, or ...-calibrated.net; where that is another "
        "checkpoint's, with the first digits of this one's digest.",
    ),
)  # fmt: skip
@overwrite_option("the export")
def compile_command(
    checkpoint: Path,
    profile_name: str,
    strict_reset: bool,
    calibrate: str | None,
    calibrate_steps: str | None,
    seed: int | None,
    data: DataRequest,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Quantize CHECKPOINT, or what import wrote, for a hardware profile and export it as a NetX HDF5 file.

    With --calibrate, scales, clipping, rounding, biases and thresholds are chosen on what the integer layers
    really send, fitted to the samples it was trained on and judged on those its training held out; of an
    imported network, half of the training samples judge.
    """
    from sast_deploy import api
    from sast_deploy.base.files import input_digest
    from sast_deploy.calibration import STEPS, ordered_steps
    from sast_deploy.netx.export import FRAMES, Export, calibration_origin, compile_origin
    from sast_deploy.program.profile import load_profile
    from sast_deploy.show.compilation import compilation_facts, print_compilation

    if calibrate is None:
        alone = ("calibrate_steps", "seed", *FOLDERS)
        refuse_ignored(alone, "without --calibrate", "add --calibrate DATASET")
    if calibrate == "":
        raise UsageError("no name", where="--calibrate", expected="a data set, normally the checkpoint's own")
    profile, trained, out = load_profile(profile_name), api.load_trained(checkpoint), console()
    out.print(f"{checkpoint} -> {profile.name}: {profile.description}")
    named = STEPS if calibrate_steps is None else [step.strip() for step in calibrate_steps.split(",")]
    steps = ordered_steps(named)
    wanted = {} if calibrate is None else calibration_origin(calibrate, steps, seed or 0, profile)
    made = compile_origin(input_digest(checkpoint), profile, strict_reset, wanted)
    stem = f"{trained.name}-{profile.name}{'-calibrated' if calibrate else ''}"
    export = Export(output, stem, (checkpoint, Path(profile_name)), overwrite)
    export.check(made)
    frames = None
    if calibrate is not None:
        frames = calibration_frames(checkpoint, trained, replace(data, dataset=calibrate))
        export.check(made := {**made, FRAMES: frames.info.frame_digest})
        if calibrate_steps and "clipping" in steps and profile.clipping == "mse":
            out.print(f"step clipping: what {profile.name} does anyway")
    net = api.compile(
        trained, profile, calibrate=frames, steps=steps if calibrate else None, seed=seed or 0,
        strict_reset=strict_reset, source=checkpoint,
    )  # fmt: skip
    written = export.write(net.file, made)
    assert net.compilation is not None
    print_compilation(net.file, net.compilation, net.calibrated, out)
    out.print(f"wrote {written}")
    answer({"net": written, **compilation_facts(net.file, net.compilation, net.calibrated)})
