"""What the shell offers at the Tab key: files of the right kind, data sets, profiles; in no time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, shell_complete

from sast_deploy.program.shipped import profile_names

VARIABLE = "_SAST_DEPLOY_COMPLETE"  # what click's scripts set
PROGRAM = "sast-deploy"
SHELLS = ("bash", "zsh", "fish")
DATASETS = (
    "auto", "nmnist", "digits-saccade", "nmnist-simulated", "dvsgesture", "cifar10dvs", "tonic:", "folder:",
)  # fmt: skip
MOST_ENTRIES, MOST_LEVELS = 5_000, 4  # of folders that are looked through


class Files(click.Path):
    """A path of which the shell offers files that end so, some folders deep."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path)
        self.endings = endings

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Those files; where there are none, whatever the shell itself finds."""
        found = sorted(path for path in _below(incomplete) if path.endswith(self.endings))
        return [CompletionItem(path) for path in found] or [CompletionItem(incomplete, type="file")]


NET, CHECKPOINT, STUDY, ARRAY = Files(".net"), Files(".pt", ".h5"), Files(".toml"), Files(".npy")
INSPECTED = Files(".net", ".h5")
REPORTED = Files(".net", ".pt", ".h5", "report.json")


def complete(group: click.Group) -> int:
    """Answer the shell, which asks through VARIABLE; the exit code."""
    return shell_complete(group, {}, PROGRAM, VARIABLE, os.environ[VARIABLE])


def datasets(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of data sets."""
    return [CompletionItem(name) for name in DATASETS if name.startswith(incomplete)]


def profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the profiles that ship with the package; for anything else, TOML files."""
    names = [name for name in profile_names() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or STUDY.shell_complete(context, parameter, incomplete)


def _below(incomplete: str) -> Iterator[str]:
    """Files whose path begins with `incomplete`; none hidden, no more than MOST_ENTRIES looked at."""
    folder, _, start = incomplete.rpartition("/")
    top = f"{folder}/" if folder or incomplete.startswith("/") else ""
    waiting, left = deque([(top, start, 0)]), MOST_ENTRIES
    while waiting and left > 0:
        place, begin, level = waiting.popleft()
        try:
            with os.scandir(place or ".") as entries:
                names = [(entry.name, entry.is_dir()) for entry, _ in zip(entries, range(left), strict=False)]
        except OSError:
            continue
        left -= len(names)
        for name, is_folder in names:
            if not name.startswith(begin) or (name.startswith(".") and not begin):
                continue
            if not is_folder:
                yield place + name
            elif level < MOST_LEVELS:
                waiting.append((f"{place}{name}/", "", level + 1))
