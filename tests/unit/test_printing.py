"""What every command prints, at every width: no number is cut, no name is markup, no line ends in blanks."""

from __future__ import annotations

import ast
import io
import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from rich.console import Console

from sast_deploy.cli import cli, run
from sast_deploy.doctor import Check
from sast_deploy.exchange import TARGET_NAMES
from sast_deploy.show import bars
from sast_deploy.show.blocks import UNLIMITED, Block, Facts, Line, Out, Table
from tests.commandlines import write_state
from tests.sources import nodes
from tests.stockfiles import dense, write_stock
from tests.tinydata import tiny_set

ROOT = Path(__file__).parents[2]
WIDTHS = (40, 80, 120, UNLIMITED)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = "we[b]ird[bold] [red]\x1b[31m\u202e$x$_:smile:"  # of folders and files
WINDOWS = ["--window-us", "5000"]
SHOWN = r"we[b]ird[bold] [red]\x1b[31m\u202e$x$_:smile:"
STUDY = """
[study]
name = "first"
[[grid]]
data = "digits-saccade"
recipe = "paper"
rho = [0.0, 0.3]
epochs = 20
seed = [0, 1, 2]
profiles = "loihi-int4"
circuits = "loihi-int4"
"""


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        yield from commands(command, full) if isinstance(command, click.Group) else (full,)


def lines_of(command: str, folder: Path) -> list[list[str]]:
    """The command lines that print everything a command can; files of `NAME` are among their inputs."""
    checkpoint, net, stock = (str(folder / name) for name in ("ckpt.pt", "a.net", "theirs.net"))
    results = ROOT / "benchmarks" / "results"
    return {
        "train": [["train", "--epochs", "1", "--network", "conv", "-o", str(folder / "new" / "ckpt.pt")]],
        "finetune": [["finetune", checkpoint, "--epochs", "1", "-o", str(folder / "tuned" / "ckpt.pt")]],
        "import": [
            ["import", str(folder / "state.pt"), "--describe", str(folder / "net.toml"),
             "-o", str(folder / "imported.h5")],
        ],
        "compile": [["compile", checkpoint, "--calibrate", "tiny", "-o", str(folder / "b.net")]],
        "simulate": [
            ["simulate", net, "--backend", "fast", "--samples", "7"],
            ["simulate", stock, "--input", str(folder / "in.npy"), "-o", str(folder / "out.npz")],
        ],
        "inspect": [
            ["inspect", net, "--samples", "5", "-o", str(folder / "facts.json")], ["inspect", stock],
            ["inspect", net, "--suggest", "--chip", "loihi1"],
        ],
        "verify": [["verify", net, "--backend", "fast", "--samples", "4"]],
        "classify": [["classify", net, str(folder / "events.csv"), "--sensor", "6", "6", *WINDOWS]],
        "trace": [["trace", net, "--sample", "3", "--plot", str(folder / "trace.svg")]],
        "report": [["report", net, net, "--samples", "5", "-o", str(folder / "page.html")]],
        "cost": [["cost", net, "--samples", "5"]],
        "latency": [["latency", net, "--samples", "5", "--target", "ecp5-85k"]],
        "compare": [["compare", net, net, "--samples", "5"]],
        "export": [["export", net, "--to", to, "-o", str(folder / to)] for to in TARGET_NAMES],
        "evaluate": [["evaluate", checkpoint]],
        "analyse": [["analyse", checkpoint, str(folder / "second.pt")]],
        "sweep": [["sweep", str(folder / "study.toml"), "--dry-run", "-o", str(folder / "runs")]],
        "characterize": [
            ["characterize", str(folder / "study.toml"), "--dry-run", "-o", str(folder / "runs")],
        ],
        "tables": [["tables", *map(str, sorted(results.glob("*.json")))]],
        "doctor": [["doctor"]],
        "completion": [["completion", "bash"]],  # a script, for the shell alone
        "data info": [["data", "info"]],
        "data simulate": [["data", "simulate", "--mnist-dir", "mnist", "-o", str(folder / "simulated")]],
        "data compare": [["data", "compare", "--real", "r", "--mnist-dir", "m", "-o", str(folder / "c.png")]],
    }[command]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sast_deploy.training.checkpoint import save_checkpoint
    from tests.tinynets import random_checkpoint

    found = tmp_path_factory.mktemp("printing") / NAME
    found.mkdir()
    for seed, name in enumerate(("ckpt.pt", "second.pt")):
        save_checkpoint(found / name, random_checkpoint(seed=seed + 1))
    assert run(["compile", str(found / "ckpt.pt"), "-o", str(found / "a.net")]) == 0
    rng = np.random.default_rng(0)
    write_stock(found / "theirs.net", [dense(rng.integers(-50, 51, (4, 6)), iDecay=1024)])
    write_state(found)
    rows = "\n".join(f"{k % 6},{k % 5},{k * 100},{k % 2}" for k in range(200))
    (found / "events.csv").write_text(f"x,y,t,p\n{rows}\n")
    np.save(found / "in.npy", rng.integers(0, 2, (2, 5, 6)))
    (found / "study.toml").write_text(STUDY)
    return found


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Everything that `Out.print` is given, while tiny frames stand for every data set."""
    from sast_deploy.data.camera.likeness import Likeness, Row
    from sast_deploy.data.camera.statistics import statistics
    from tests.golden.test_saccade_calibration import toy_events

    def load(*_: Any, **__: Any) -> Any:
        return tiny_set()

    def compared(*_: Any, **__: Any) -> Likeness:
        rows = (Row("events", 2000.5, 1000.25, True), Row("another quantity", 1.23456, 1.5, False))
        found = statistics([toy_events()])
        return Likeness(rows, NAME, found, found, (1,), (5,))

    checks = [
        Check("fine", "1.0 of 2.75", "1.0", True),
        Check(NAME, "no 12,345 MiB", f"{NAME} " * 9, False, "pip install x==1.2.3", essential=False),
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sast_deploy.data.request.load_frames", load)
    monkeypatch.setattr("sast_deploy.studies.analysis.drop.load_frames", load)
    monkeypatch.setattr("sast_deploy.data.camera.likeness.compare", compared)
    monkeypatch.setattr("sast_deploy.data.camera.likeness.recordings_digest", lambda *_: "0" * 64)
    monkeypatch.setattr("sast_deploy.data.camera.saccade.simulate_mnist", lambda *_, **__: Path(NAME))
    monkeypatch.setattr("sast_deploy.doctor.diagnose", lambda: checks)
    found: list[Any] = []
    monkeypatch.setattr(Out, "print", lambda _, *objects, **__: found.extend(objects))
    return found


def shown(each: Any, width: int) -> list[str]:
    file = io.StringIO()
    Out(file, width).print(each)
    return file.getvalue().splitlines()


def test_the_list_of_command_lines_is_whole() -> None:
    for command in commands(cli):
        assert lines_of(command, Path())


SLOW = {"analyse", "tables", "trace", "data compare"}
EVERY = [
    pytest.param(each, marks=pytest.mark.slow if each in SLOW else ())
    for each in sorted({*commands(cli)} - {"completion"})
]


@pytest.mark.parametrize("command", EVERY)
def test_no_number_is_cut_and_no_name_is_markup(
    command: str, folder: Path, printed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in lines_of(command, folder):
        assert run(line) in (0, 1), line
    monkeypatch.undo()
    assert printed
    for each in printed:
        wide = "\n".join(shown(each, 400))
        assert "\x1b" not in wide
        for width in WIDTHS:
            lines = shown(each, width)
            assert all(line == line.rstrip() for line in lines), (width, lines)
            assert set(NUMBER.findall("\n".join(lines))) == set(NUMBER.findall(wide)), (width, lines)
            assert all(character.isprintable() for line in lines for character in line)
    whole = "\n".join(line for each in printed for line in shown(each, UNLIMITED))
    if command not in ("tables", "data info"):
        assert SHOWN in whole


CELLS = ("1,234,567", "0.123 ± 0.456", "+0.12 [-0.33, +0.50] p < 0.001, W 0.250 *", "missing", "95.00 %", "")


@pytest.mark.parametrize("width", [*range(20, 140, 7), UNLIMITED])
def test_a_table_keeps_to_its_width_as_far_as_its_words_do(width: int) -> None:
    names = ("fc", "a name of some words", "sim6k-fc-paper-rho0.30-epochs40", "[b]x\n[/b]")
    heads = tuple(f"head {index} of some words" for index in range(len(CELLS)))
    rows = tuple((name, "recipe, k 5", *CELLS) for name in names)
    columns = ("network", "recipe", *heads)
    table = Table("A title of 12 words or so, which is long", columns, rows, ("a note",))
    lines = list(table.lines(width))
    wide = list(table.lines(UNLIMITED))
    assert set(NUMBER.findall("\n".join(lines))) == set(NUMBER.findall("\n".join(wide)))
    assert len(wide) == 1 + 2 + len(rows) + 1  # title; head and rule; a line a row; the note
    if width >= 34:  # what a name, or "+0.12 [-0.33, +0.50] p < 0.001" indented, needs
        assert max(map(len, lines)) <= width
    assert sum(line.startswith("network") for line in lines) >= (2 if width < 120 else 1)
    assert "a note" in lines[-1]


def test_words_are_never_broken_and_a_percentage_stays_together() -> None:
    path, digest = "/a/very/long/path/of/a/file/that/is/longer/than/the/line.net", "ab12" * 16
    for width in range(5, 60):
        lines = list(Line(f"wrote {path} with 98.19 % and 1.5 ± 0.25 % of {digest}").lines(width))
        assert any(path in line for line in lines)
        assert any("98.19 %" in line for line in lines), width
        assert any("1.5 ± 0.25 %" in line for line in lines), width
    assert list(Facts({"program digest": digest}).lines(40))[-1].split()[-1] == digest


@pytest.mark.slow
def test_a_real_terminal_of_forty_columns(folder: Path) -> None:
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 40, 0, 0))
    command = [sys.executable, "-m", "sast_deploy", "inspect", str(folder / "a.net")]
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(command, stdout=theirs, stdin=theirs, cwd=ROOT, env=environment) as child:
        os.close(theirs)
        chunks = []
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # Linux says so where the other end is closed
            pass
    os.close(ours)
    assert child.returncode == 0
    lines = b"".join(chunks).decode().split("\r\n")
    long = [line for line in lines if len(line) > 40]
    assert all(max(map(len, line.split())) > 24 for line in long), long  # the folder's name, and digests
    assert "limits of a Loihi 1 core" in " ".join(lines)
    assert "does not fit a Loihi 1 core" in " ".join(lines)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_number_of_a_progress_bar_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(bars, "Console", partial(Console, file=out, width=width, force_terminal=True))
    with bars.progress_bar() as bar:
        task = bar.add_task("predicting labels", total=12_345, text="")
        bar.update(task, completed=6_789)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").splitlines()
    assert any("6789/12345" in line for line in lines)
    assert not any("…" in line for line in lines), lines
    assert max(map(len, lines)) <= width


PRINTS = {f"sast_deploy/{name}.py" for name in ("show/blocks", "show/bars", "show/terminal")}
SOURCES = sorted((ROOT / "sast_deploy").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_prints_with_markup(path: Path) -> None:
    """Rich stays where names are escaped, and every console and column of it has markup off."""
    rich = [node for node in nodes(path) if isinstance(node, ast.ImportFrom) and node.module]
    uses = any(node.module.split(".")[0] == "rich" for node in rich if node.module)
    assert not uses or str(path.relative_to(ROOT)) in PRINTS
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console":
            assert {"markup", "emoji"} <= {keyword.arg for keyword in node.keywords}, ast.unparse(node)
        if isinstance(node, ast.keyword) and node.arg in ("markup", "emoji"):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
            assert node.value.value is False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("TextColumn", "Markup"), ast.unparse(node)


def test_consoles_take_nothing_for_markup() -> None:
    """Whatever is printed by them, also by what is not ours, such as a bar or a table of rich's own."""
    from sast_deploy.show.bars import progress_bar

    for console in (Out(io.StringIO()), progress_bar().console):
        assert console.render_str("[b]x[/b] :smile:").plain == "[b]x[/b] :smile:"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_printed_without_a_console_is_made_printable(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo") and node.args:
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.FormattedValue):
                    assert "printable(" in ast.unparse(node), ast.unparse(node)


BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SOURCES + BENCHMARKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_per_cent_has_one_style(path: Path) -> None:
    """Shares become text by `percent` alone: no `%` in a format, no number with its own sign behind it."""
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr) and path.name != "text.py":
            for part, after in zip(node.values, [*node.values[1:], None], strict=True):
                if isinstance(part, ast.FormattedValue) and part.format_spec is not None:
                    assert not ast.unparse(part.format_spec).rstrip("'\"").endswith("%"), ast.unparse(node)
                text = after.value if isinstance(after, ast.Constant) else ""
                if isinstance(part, ast.FormattedValue):
                    assert not re.match(r" ?%(?![a-z(])", str(text)), ast.unparse(node)


@pytest.mark.parametrize("character", list("\x1b\n\r\t\x07\x9b\u202e\u2066\u2028\udcff"))
def test_control_characters_are_escaped_wherever_a_name_can_stand(
    character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from sast_deploy.base.errors import DataError
    from sast_deploy.base.progress import observe, say
    from sast_deploy.base.text import pictured
    from sast_deploy.data.cache import notice
    from sast_deploy.show.bars import Words, progress_bar
    from sast_deploy.show.terminal import Terminal
    from sast_deploy.studies.tables.table import markdown

    name = f"a{character}b"
    escaped = name.encode("unicode_escape").decode()
    table = Table(name, (name, "x"), ((name, name),), (name,))
    blocks: list[Block] = [table, Facts({name: name}), Line(name)]
    texts = ["\n".join(each.lines(200)) for each in blocks] + [markdown(table), pictured(name)]
    with observe(Terminal()):
        notice(name)
        say(name)
    assert run(["evaluate", f"{name}.pt"]) == 2
    texts += [capsys.readouterr().err, str(DataError("what", where=name))]
    bar = progress_bar()
    bar.add_task(name, text="")
    texts.append(Words("{task.description}").render(bar.tasks[0]).plain)
    for text in texts:
        assert escaped in text
        assert character not in text.replace("\n", "" if character == "\n" else "\n") or character == "\n"
