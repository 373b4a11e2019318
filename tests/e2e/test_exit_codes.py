"""The table of exit codes, command by command; pipes, letters, folders and missing packages."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from sast_deploy import cli
from sast_deploy.base.children import child_environment, python_command
from sast_deploy.base.errors import EXIT_CODES, Exit
from tests.commandlines import COMMANDS, STUDY, TRACE, WORKING, make_folder, poison, working

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# Where each command's own work begins.
WORK = {
    "train": "sast_deploy.data.request.load_frames",
    "finetune": "sast_deploy.training.checkpoint.load_checkpoint",
    "evaluate": "sast_deploy.training.checkpoint.load_checkpoint",
    "analyse": "sast_deploy.training.checkpoint.load_checkpoint",
    "compile": "sast_deploy.api.compile",
    "simulate": "sast_deploy.engines.lava.run_lava",
    "verify": "sast_deploy.api.verify",
    "inspect": "sast_deploy.api.inspect",
    "import": "sast_deploy.commands.importing.read_foreign",
    "classify": "sast_deploy.api.classifier",
    "trace": "sast_deploy.api.trace",
    "cost": "sast_deploy.api.cost",
    "latency": "sast_deploy.api.latency",
    "compare": "sast_deploy.api.compare",
    "report": "sast_deploy.studies.dossier.report.gather",
    "export": "sast_deploy.api.export",
    "sweep": "sast_deploy.studies.sweep.sweep.plan",
    "characterize": "sast_deploy.studies.sweep.sweep.plan",
    "tables": "sast_deploy.studies.tables.records.load_records",
    "data info": "sast_deploy.data.request.load_frames",
    "data simulate": "sast_deploy.data.camera.saccade.simulate_mnist",
    "data compare": "sast_deploy.data.camera.likeness.compare",
    "doctor": "sast_deploy.doctor.diagnose",
    "completion": "sast_deploy.commands.completion.get_completion_class",
}
NO_SUCH_FILE = {
    "train": ["--dataset", "nmnist-simulated", "--data-root", "nowhere", "-o", "new.pt"],
    "export": ["nowhere/at.all", "--to", "c", "-o", "out"],
    "data info": ["--dataset", "nmnist-simulated", "--data-root", "nowhere"],
    "data simulate": ["--mnist-dir", "nowhere", "-o", "out"],
    "data compare": ["--real", "nowhere", "--mnist-dir", "mnist"],
    "import": ["nowhere.pt", "-o", "new.h5"],
    "classify": ["own.net", "nowhere.bin"],
    "compare": ["own.net", "nowhere.net"],
    "report": ["own.net", "nowhere.net", "-o", "out/new.html"],
}
MISSING = ModuleNotFoundError("No module named 'tonic'", name="tonic")
PLANTED = [
    (ZeroDivisionError("division by zero"), Exit.INTERNAL, "internal error, ZeroDivisionError: division by"),
    (RecursionError("too deep"), Exit.INTERNAL, "internal error, RecursionError"),
    (KeyboardInterrupt(), Exit.INTERRUPTED, "interrupted"),
    (MISSING, Exit.ENVIRONMENT, "the Python package tonic is not installed; "),
    (ImportError("cannot import name 'x'", name="lava.magma"), Exit.ENVIRONMENT, "lava-nc==0.10.0"),
    (MemoryError(), Exit.ENVIRONMENT, "not enough memory"),
    (RuntimeError("can't start new thread"), Exit.ENVIRONMENT, "no more threads"),
    (OSError(24, "Too many open files", "a.net"), Exit.ENVIRONMENT, "a.net: failed: Too many open files"),
    (PermissionError(13, "Permission denied", "a.net"), Exit.BAD_INPUT, "a.net: failed: Permission denied"),
]  # fmt: skip


@pytest.fixture(scope="module")
def files(chain: Path, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files for every command, in a folder that no ASCII can name, with modules that no command may run."""
    return poison(make_folder(tmp_path_factory.mktemp("codes") / "é…[red]", chain, bands))


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(files)
    shutil.rmtree("out", ignore_errors=True)
    return files


def complaint(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one line that a failing command prints."""
    code = cli.run(arguments)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return code, lines[0]


def test_every_command_is_in_the_tables() -> None:
    assert set(COMMANDS) == set(WORKING) == set(WORK)


def test_the_table_is_documented_once() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"\| Code \| Meaning \|\n\|---\|---\|\n((?:\|.*\|\n)+)", text)
    assert table is not None
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[1].splitlines()]
    assert rows == [(str(int(code)), meaning) for code, meaning in EXIT_CODES.items()]
    assert set(EXIT_CODES) == set(Exit)
    shown = " ".join(cli.cli.get_help(click.Context(cli.cli)).split())
    assert all(f"{int(code)} {meaning}" in shown for code, meaning in EXIT_CODES.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_success(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--help", "-h"):
        assert cli.run([*name.split(), word]) == Exit.OK
        assert capsys.readouterr().out.startswith(f"Usage: sast-deploy {name}")
    assert cli.run(["--version"]) == Exit.OK


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_input(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint([*working(name), "--no-such-option"], capsys)[0] == Exit.BAD_INPUT
    assert complaint([*working(name), "one", "word", "too", "many.pt"], capsys)[0] == Exit.BAD_INPUT


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"doctor"}))
def test_no_such_file(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = NO_SUCH_FILE.get(name, ["nowhere/at.all"])
    code, line = complaint([*name.split(), *arguments], capsys)
    assert (code, "nowhere" in line) == (Exit.BAD_INPUT, True), line


@pytest.mark.parametrize(("error", "code", "said"), PLANTED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", COMMANDS)
def test_planted_errors(
    name: str, error: BaseException, code: Exit, said: str, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(WORK[name], fail)
    found, line = complaint(working(name), capsys)
    assert (found, said in line) == (code, True), line
    if error is MISSING:
        assert "-m pip install tonic==" in line


def test_lost_pipes_that_are_not_ours_are_no_success(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(WORK["inspect"], fail)
    assert complaint(working("inspect"), capsys)[0] == Exit.INTERNAL


def test_torch_without_memory_is_the_machine(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(WORK["evaluate"], lambda _path: torch.empty(2**58, dtype=torch.uint8))
    assert complaint(working("evaluate"), capsys) == (Exit.ENVIRONMENT, "error: not enough memory")


def test_a_missing_module_of_ours_is_a_defect(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'sast_deploy.x'", name="sast_deploy.x")

    monkeypatch.setattr(WORK["inspect"], fail)
    assert complaint(working("inspect"), capsys)[0] == Exit.INTERNAL


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{package}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.path[:] = filter(None, sys.path)
sys.argv = {arguments}
from sast_deploy.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("click", "inspect"), ("rich", "tables"), ("numpy", "inspect"), ("h5py", "inspect"),
        ("torch", "evaluate"), ("numba", "train"), ("matplotlib", "data compare"), ("scipy", "tables"),
    ],
)  # fmt: skip
def test_missing_packages_are_named_with_the_line_that_installs_them(
    package: str, name: str, here: Path
) -> None:
    script = ABSENT.format(package=package, arguments=["x", *working(name)])
    safe = ["-P"] if sys.version_info >= (3, 11) else []  # 3.13 imports before it runs a "-c"
    command = [sys.executable, *safe, "-c", script]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    mended = f"{sys.executable} -m pip install {package}=="
    wanted = f"error: the Python package {package} is not installed; {mended}"
    assert done.stderr.splitlines()[-1].startswith(wanted)
    assert "Traceback" not in done.stderr


def start(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    environment = {**child_environment(), **options.pop("env", {})}
    return subprocess.Popen(python_command("sast_deploy", *arguments), env=environment, **options)


ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_around_a_command_ends_it(name: str, here: Path) -> None:
    """A reader that has gone, an output without a letter for the path, a folder of modules: success."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [str(here / word) if (here / word).exists() else word for word in working(name)]
    process = start(line, env=ASCII, stdout=writer, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(writer)
    err = process.communicate(timeout=120)[1].decode("ascii")
    assert process.returncode == Exit.OK, err
    assert "Traceback" not in err
    promised = [word for word in WORKING[name] if word.startswith("out/")]
    assert all((here / word).exists() for word in promised), "the work is done all the same"
    assert not (here / TRACE).exists(), (here / TRACE).read_text()


def test_no_letter_for_a_path(here: Path) -> None:
    there, gone = ["inspect", str(here / "own.net")], ["inspect", "é.net"]
    for arguments, code in ((there, Exit.OK), (gone, Exit.BAD_INPUT)):
        with start(arguments, env=ASCII, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            said = process.communicate(timeout=60)[0].decode("ascii")
        assert process.returncode == code, said
        assert r"\xe9" in said


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nobody_listens(stream: str, here: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start(["inspect", "nowhere.net"], **{stream: writer}) as process:
        assert process.wait(timeout=60) == Exit.BAD_INPUT
    os.close(writer)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_errors(closed: tuple[int, ...], here: Path) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    with start(working("inspect"), preexec_fn=close) as process:
        assert process.wait(timeout=60) == Exit.OK
    assert (here / "out/facts.json").read_text().startswith("{")
    with start(["inspect", "nowhere.net"], preexec_fn=close) as process:
        assert process.wait(timeout=60) == Exit.BAD_INPUT


def test_python_m_runs_no_module_of_the_folder(here: Path, tmp_path: Path) -> None:
    """What Python itself imports before our first line (runpy and its like) is beyond us."""
    names = ["json", "multiprocessing", "numpy", "subprocess", "tempfile", "click", "rich", "torch"]
    for name in names:
        shutil.copy(here / f"{name}.py", tmp_path)
    for module in ("sast_deploy", "sast_deploy.doctor", "sast_deploy.engines.lava.selfcheck"):
        words = ["doctor"] if module == "sast_deploy" else []
        command = [sys.executable, "-m", module, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=child_environment(), capture_output=True, check=False
        )
        assert done.returncode == Exit.OK, done.stderr
    assert not (here / TRACE).exists()


def test_a_check_that_fails(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sast_deploy.engines.fast import FastEngine

    right = FastEngine.run

    def wrong(*arguments: Any, **options: Any) -> Any:
        record = right(*arguments, **options)
        return replace(record, logits=np.asarray(record.logits) + 1)

    monkeypatch.setattr(FastEngine, "run", wrong)
    assert cli.run([*working("simulate"), "--backend", "fast"]) == Exit.CHECK_FAILED
    assert "DIFFERS" in capsys.readouterr().out


def test_runs_that_fail(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_the_way = here / "out/sweep/bands-fc-quick-rho0.05-seed0"
    in_the_way.mkdir(parents=True)
    (in_the_way / "stages").write_text("in the way")
    assert cli.run(working("sweep")) == Exit.RUNS_FAILED
    assert "0 of 1 runs finished" in capsys.readouterr().out


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            found += [int(path.parent.name)] if fields[1] == str(parent) and fields[0] != "Z" else []
    return found


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


LONG = {
    "train": ["--epochs", "100000"],
    "simulate": ["--batch", "1"],
    "sweep": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stop"),
    [*product(LONG, [signal.SIGINT, signal.SIGTERM]), ("train", signal.SIGHUP)],
)
def test_stopped_in_the_middle(name: str, stop: signal.Signals, here: Path) -> None:
    """One line, 130, and no child is left; SIGINT goes to the whole group as a terminal sends it."""
    before = signal.signal(stop, signal.SIG_DFL)  # what `nohup make test` ignores, its children would too
    (here / "study.toml").write_text(STUDY.replace("epochs = 1", "epochs = 100000"))
    process = start(
        [*working(name), *LONG[name]], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    signal.signal(stop, before)

    def begun() -> object:
        return (here / "out/train/metrics.jsonl").exists() if name == "train" else children_of(process.pid)

    wait_for(begun, process)
    children = children_of(process.pid)
    (os.killpg if stop == signal.SIGINT else os.kill)(process.pid, stop)
    err = process.communicate(timeout=60)[1].decode()
    (here / "study.toml").write_text(STUDY)
    assert process.returncode == Exit.INTERRUPTED, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert "interrupted" in lines[0]
    assert not any(alive(child) for child in children)


def test_a_simulation_of_recordings_stopped_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    mnist = write_mnist(tmp_path / "mnist", 20_000)
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = start(
        ["data", "simulate", "--mnist-dir", str(mnist), "-o", str(tmp_path / "out"), "--train", "20000",
         "--test", "1"],
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    wait_for(lambda: len([*tmp_path.glob(".out.*.tmp/Train/*/*.bin")]) > 100, process)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == Exit.INTERRUPTED, err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


def write_mnist(folder: Path, n: int) -> Path:
    """Idx files of `n` training images and as many of test, each a bar."""
    folder.mkdir()
    images = np.zeros((n, 28, 28), np.uint8)
    images[:, 6:22, 12:16] = 255
    for stem in ("train", "t10k"):
        for kind, values in (("images-idx3", images), ("labels-idx1", np.arange(n) % 10)):
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
            (folder / f"{stem}-{kind}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())
    return folder


def test_an_interrupt_within_an_exec_ends_with_our_code(tmp_path: Path) -> None:
    """CPython remembers one, and ends `python -m` by that signal whatever the code."""
    (tmp_path / "stopped.py").write_text(
        "from sast_deploy import cli\n"
        "def run(arguments):\n"
        "    try:\n        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n        return 130\n"
        "cli.run = run\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-m", "stopped"], cwd=tmp_path, check=False)
    assert done.returncode == Exit.INTERRUPTED


def test_an_interrupt_within_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(
        "import os, signal, time\nfrom sast_deploy import cli\n"
        "class Dies:\n    def __del__(self):\n        signal.raise_signal(signal.SIGTERM)\n"
        "def run(arguments):\n    Dies()\n    time.sleep(60)\n"
        "cli.run = run\ncli.main()\n"
    )
    command = [sys.executable, "-m", "stopped"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_too_few_open_files_are_named_at_once(here: Path) -> None:
    began = time.monotonic()
    limited = ["bash", "-c", 'ulimit -n 32; exec "$@"', "bash"]
    line = [*limited, *python_command("sast_deploy", *working("simulate"))]
    done = subprocess.run(line, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == Exit.ENVIRONMENT, done.stderr
    assert "ulimit -n: Lava needs " in done.stderr.splitlines()[-1]
    assert time.monotonic() - began < 60
