"""The command line: parse, call, print. Heavy packages are imported inside the commands."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import click

from sast_deploy import __version__
from sast_deploy.commands.analyse import analyse_command
from sast_deploy.commands.compile import compile_command
from sast_deploy.commands.data import data_group
from sast_deploy.commands.doctor import doctor_command
from sast_deploy.commands.evaluate import evaluate_command
from sast_deploy.commands.finetune import finetune_command
from sast_deploy.commands.inspect import inspect_command
from sast_deploy.commands.options import Command, Group, forget_debug, wants_traceback
from sast_deploy.commands.simulate import simulate_command
from sast_deploy.commands.sweep import sweep_command
from sast_deploy.commands.tables import tables_command
from sast_deploy.commands.train import train_command
from sast_deploy.commands.verify import verify_command
from sast_deploy.errors import OutputError, SastError
from sast_deploy.text import printable

INTERNAL_ERROR = 1
INTERRUPTED = 130

EXAMPLE = """
Example, from events to a report:

\b
  sast-deploy train --dataset auto --recipe best -o runs/first/ckpt.pt
  sast-deploy compile runs/first/ckpt.pt --profile loihi-int4
  sast-deploy simulate
"""


@click.group(cls=Group, epilog=EXAMPLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sast-deploy")
def cli() -> None:
    """Deploy SAST-trained spiking networks: train, compile to INT8/INT4, run bit-accurately on Lava."""


cli.command_class = Command
for command in (
    train_command,
    finetune_command,
    compile_command,
    simulate_command,
    inspect_command,
    verify_command,
    evaluate_command,
    analyse_command,
    sweep_command,
    tables_command,
    data_group,
    doctor_command,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: every error is one line on stderr; exit codes 2 (input), 3 (Lava, environment)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    forget_debug()
    try:
        result: Any = cli.main(arguments, prog_name="sast-deploy", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SastError as error:
        return _complain(str(error), error.exit_code)
    except click.ClickException as error:
        where = f"{error.ctx.command_path}: " if getattr(error, "ctx", None) else ""  # type: ignore[attr-defined]
        return _complain(where + " ".join(error.format_message().split()), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (as in `| head`): nothing is wrong with the run.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = error.filename or "input or output"
        return _complain(f"{where}: failed: {error.strerror or error}", OutputError.exit_code)
    except MemoryError:
        return _complain("not enough memory", OutputError.exit_code)
    except Exception as error:
        reason = " ".join(str(error).split()) or "no message"
        return _complain(
            f"internal error, {type(error).__name__}: {reason}; run again with --debug and report it",
            INTERNAL_ERROR,
        )


def _complain(message: str, code: int) -> int:
    if wants_traceback():
        traceback.print_exc()
    click.echo(f"error: {printable(message)}", err=True)
    return code
