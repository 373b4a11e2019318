"""`sast-deploy doctor`: what is installed, what is missing, the command that mends it."""

from __future__ import annotations

from dataclasses import asdict

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import console


@command(
    "doctor", "What is installed, what is missing, how to mend it.",
    "sast-deploy doctor",
)
def doctor_command() -> int:
    """Check the installation; every failing line ends with the command that mends it.

    Exit code 3 if anything essential fails.
    """
    from sast_deploy.doctor import diagnose, healthy, print_checks

    checks = diagnose()
    print_checks(checks, console())
    answer({"healthy": healthy(checks), "checks": [{**asdict(each), "state": each.state} for each in checks]})
    return Exit.OK if healthy(checks) else Exit.ENVIRONMENT
