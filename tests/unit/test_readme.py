"""The README names every command, make target and profile, and every command it shows exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sast_deploy.cli import cli
from sast_deploy.program.profile import profile_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group, path: str) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        full = f"{path} {name}"
        found += commands(command, full) if isinstance(command, click.Group) else [(full, command)]
    return found


COMMANDS = dict(commands(cli, "sast-deploy"))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_in_the_readme_and_has_a_runnable_example(path):
    assert re.search(rf"`{path}[ `]", README)
    epilog = COMMANDS[path].epilog or ""
    examples = [line.strip() for line in epilog.splitlines() if line.strip().startswith("sast-deploy")]
    assert examples
    for example in examples:
        assert example.startswith(path)
        parse(example)


def test_every_command_line_in_the_readme_parses():
    lines = re.findall(r"^\$ (sast-deploy .*)$|`(sast-deploy [a-z]+ [^`]*)`", README, flags=re.M)
    found = [line[0] or line[1] for line in lines]
    found = [line for line in found if line not in COMMANDS]  # a name in a sentence
    assert len(found) >= 12
    for line in found:
        parse(line)


def parse(line: str) -> None:
    """Click accepts every word of the line; nothing is run."""
    words = line.split()[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, line
        command = found
        context = click.Context(command, info_name=name, parent=context)
    command.parse_args(context, list(words))


def test_make_targets_and_profiles_are_named():
    for target in ("make nmnist-int4", "make test", "make lint", "make bench", "make help", "make setup"):
        assert target in README
    for profile in profile_names():
        assert f"`{profile}`" in README


def test_every_folder_of_the_tree_is_in_the_picture():
    picture = README.split("## The tree")[1]
    for folder in ("profiles/", "netx_exports/", "sast_deploy/", "tests/", "benchmarks/", "tools/"):
        assert folder in picture
    for module in (ROOT / "sast_deploy").glob("*.py"):
        if module.stem not in ("__init__", "__main__"):
            assert re.search(rf"\b{module.stem}\b", picture), f"{module.stem} is missing in the picture"
