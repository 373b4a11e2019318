"""The command line: parse, call, print. Heavy packages are imported inside the commands."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback

import click

from sast_deploy import __version__
from sast_deploy.base.children import STOPS
from sast_deploy.base.errors import EXIT_CODES, Exit, SastError
from sast_deploy.base.files import forget_watched
from sast_deploy.base.progress import observe
from sast_deploy.base.streams import prepare_streams
from sast_deploy.base.text import printable
from sast_deploy.base.versions import missing_package
from sast_deploy.commands.analyse import analyse_command
from sast_deploy.commands.answers import answer_error, terminal
from sast_deploy.commands.classify import classify_command
from sast_deploy.commands.command import Group
from sast_deploy.commands.compare import compare_command
from sast_deploy.commands.compile import compile_command
from sast_deploy.commands.completing import VARIABLE, complete
from sast_deploy.commands.completion import completion_command
from sast_deploy.commands.cost import cost_command
from sast_deploy.commands.data import data_group
from sast_deploy.commands.doctor import doctor_command
from sast_deploy.commands.evaluate import evaluate_command
from sast_deploy.commands.export import export_command
from sast_deploy.commands.finetune import finetune_command
from sast_deploy.commands.flags import Asked, documents_alone
from sast_deploy.commands.importing import import_command
from sast_deploy.commands.inspect import inspect_command
from sast_deploy.commands.latency import latency_command
from sast_deploy.commands.report import report_command
from sast_deploy.commands.simulate import simulate_command
from sast_deploy.commands.sweep import sweep_command
from sast_deploy.commands.tables import tables_command
from sast_deploy.commands.trace import trace_command
from sast_deploy.commands.train import train_command
from sast_deploy.commands.verify import verify_command

NO_THREAD = "can't start new thread"  # Python's RuntimeError at a limit of the machine
# Whatever path the system names with these, the machine is at its limit. An output on a full disk is an
# OutputError before it comes here.
OF_THE_MACHINE = {
    errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO,
}  # fmt: skip

EXAMPLE = """
Example, from events to a report:

\b
  sast-deploy train --dataset auto --recipe best -o runs/first/ckpt.pt
  sast-deploy compile runs/first/ckpt.pt --profile loihi-int4
  sast-deploy simulate

Exit codes: """ + "; ".join(f"{code:d} {meaning}" for code, meaning in EXIT_CODES.items()) + "."


SECTIONS = {
    "Data": ("data",),
    "Train": ("train", "finetune", "evaluate"),
    "Compile and exchange": ("compile", "import", "export"),
    "Run": ("simulate", "classify", "trace"),
    "Decide": ("verify", "inspect", "cost", "latency", "compare", "report"),
    "Study": ("analyse", "sweep", "tables"),
    "Installation": ("doctor", "completion"),
}


@click.group(cls=Group, sections=SECTIONS, epilog=EXAMPLE)
@click.version_option(__version__, prog_name="sast-deploy")
def cli() -> None:
    """Deploy SAST-trained spiking networks: train, compile to INT8/INT4, run bit-accurately on Lava."""


for command in (
    train_command,
    finetune_command,
    compile_command,
    import_command,
    simulate_command,
    inspect_command,
    verify_command,
    classify_command,
    trace_command,
    compare_command,
    cost_command,
    latency_command,
    report_command,
    export_command,
    evaluate_command,
    analyse_command,
    sweep_command,
    tables_command,
    data_group,
    doctor_command,
    completion_command,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: every error is one line on stderr; exit codes: `base.errors.EXIT_CODES`."""
    for stop in STOPS:  # each ends a run as Ctrl-C does, its children too
        if signal.getsignal(stop) is signal.SIG_DFL:
            signal.signal(stop, signal.default_int_handler)
    sys.unraisablehook = _raise_again
    try:
        prepare_streams()
        code = complete(cli) if VARIABLE in os.environ else run(sys.argv[1:])
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    # Where Ctrl-C came inside an `exec` of a text, as imports do some, Python remembers it and would end
    # with that signal instead of our code; the next such `exec` makes it forget.
    exec("")
    sys.exit(code)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Ctrl-C in a finalizer, where Python can only print and forget it, comes again a little later."""
    if unraisable.exc_type is KeyboardInterrupt:
        again = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True  # a command that ends before then has ended
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    Asked.forget(arguments)
    forget_watched()
    try:
        # Not `cli.main`: that one, too, has opinions on interrupts and closed pipes.
        with (
            documents_alone(),
            cli.make_context("sast-deploy", list(arguments)) as context,
            observe(terminal()),
        ):
            result = cli.invoke(context)
        sys.stdout.flush()
        return int(result) if isinstance(result, int) else Exit.OK
    except click.exceptions.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:
        return _complain(error, *explain(error))


def explain(error: BaseException) -> tuple[str, int]:
    """One line for the person at the keyboard, and the exit code."""
    if isinstance(error, SastError):
        return str(error), error.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted", Exit.INTERRUPTED
    if isinstance(error, click.ClickException):
        where = f"{error.ctx.command_path}: " if getattr(error, "ctx", None) else ""  # type: ignore[attr-defined]
        return where + " ".join(error.format_message().split()), Exit.BAD_INPUT
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "sast_deploy":
        return explain(missing_package(error))
    if isinstance(error, MemoryError) or _is_torch_out_of_memory(error):
        return "not enough memory", Exit.ENVIRONMENT
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return "no more threads: not enough memory, or a limit (ulimit -u)", Exit.ENVIRONMENT
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        what = f"{error.filename or 'input or output'}: failed: {error.strerror or error}"
        return what, Exit.ENVIRONMENT if error.errno in OF_THE_MACHINE else Exit.BAD_INPUT
    reason = " ".join(str(error).split()) or "no message"
    what = f"internal error, {type(error).__name__}: {reason}; run again with --debug and report it"
    return what, Exit.INTERNAL


def _is_torch_out_of_memory(error: BaseException) -> bool:
    """torch has no MemoryError: on a GPU a class of its own, on the CPU only words."""
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def _complain(error: BaseException, message: str, code: int) -> int:
    if Asked.debug:
        traceback.print_exc()
    answer_error(error, message, code)
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return code
