"""`sast-deploy compile`: a checkpoint becomes an integer program in a .net file."""

from __future__ import annotations

from pathlib import Path

import click

from sast_deploy.commands.options import PATH, PLAIN_WIDTH, Command, console, example

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
    epilog=example("sast-deploy compile runs/sast/ckpt.pt --profile loihi-int4"),
)
@click.argument("checkpoint", type=PATH)
@click.option(
    "--profile", "profile_name", default="loihi-int8", show_default=True, help="Name, or path of a .toml."
)
@click.option("-o", "--output", type=PATH, help="Default: netx_exports/<name>-<profile>.net")
@click.option("--strict-reset", is_flag=True, help="Write a neuron type that stock NetX refuses.")
def compile_command(checkpoint: Path, profile_name: str, output: Path | None, strict_reset: bool) -> None:
    """Quantize CHECKPOINT for a hardware profile and export it as a NetX HDF5 file."""
    from sast_deploy.checkpoint import load_checkpoint, package_versions, to_float_network
    from sast_deploy.compiler import compile_network
    from sast_deploy.fileio import file_digest
    from sast_deploy.inspection import proof_table
    from sast_deploy.knownanswers import make_known_answers
    from sast_deploy.netx import NetFile, write_net
    from sast_deploy.netx_stock import stock_loads
    from sast_deploy.profile import load_profile

    profile = load_profile(profile_name)
    trained = load_checkpoint(checkpoint)
    name = f"{trained.name}-{profile.name}"
    compilation = compile_network(to_float_network(trained), profile, name)
    output = output or EXPORTS / f"{name}.net"
    net = NetFile(
        program=compilation.program,
        profile_text=profile.text,
        frames=trained.frames.to_dict(),
        data=trained.data.to_dict(),
        checkpoint={
            "name": trained.name,
            "path": str(checkpoint),
            "digest": file_digest(checkpoint),
            "recipe": trained.recipe.to_dict(),
            "seeds": trained.seeds,
            "metrics": trained.metrics,
        },
        created=package_versions(),
        strict_reset=strict_reset,
        known=make_known_answers(compilation.program),
    )
    write_net(output, net)
    out = console(at_least=PLAIN_WIDTH)
    out.print(f"{checkpoint} -> {profile.name}: {profile.description}")
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
    out.print(f"program {compilation.program.digest()}", soft_wrap=True)
    out.print(f"wrote {output}", soft_wrap=True)
