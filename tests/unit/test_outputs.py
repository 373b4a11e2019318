"""No command replaces what it must not: checked before any work, for every option that names an output."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from sast_deploy.base.outputs import ORIGIN_KEY, check_output_folder, picture_kind, save_figure
from sast_deploy.cli import cli, run
from sast_deploy.commands.options import OUTPUT
from sast_deploy.data.request import DataRequest
from sast_deploy.netx.file import read_net
from sast_deploy.program.profile import load_profile
from sast_deploy.studies.sweep.folder import RunFolder
from sast_deploy.training.checkpoint import save_checkpoint
from sast_deploy.training.state import RunFiles
from tests.commandlines import write_state
from tests.e2e.conftest import write_bands
from tests.stockfiles import FLATTEN, dense, image, integers, write_stock
from tests.tinydata import tiny_set
from tests.tinynets import random_checkpoint
from tests.unit.test_tables import record

pytestmark = pytest.mark.slow  # hundreds of commands

# Options that name what is read, or a folder of recordings or of the cache.
READ = {
    "checkpoint", "checkpoints", "describe", "file", "net", "data_root", "cache_dir", "input_path",
    "labels_path", "real", "simulated", "mnist_dir", "study", "runs", "other",
    "files", "recording", "networks",
}  # fmt: skip
STUDY = '[study]\nname = "s"\n[[grid]]\ndata = "digits-saccade"\nrecipe = "paper"\nseed = 0\n'
STUDY += 'profiles = "loihi-int8"\ncircuits = "loihi-int8"\n'


@dataclass(frozen=True)
class Case:
    """A command line that ends with the option of an output; inputs: files that it reads."""

    line: str
    inputs: tuple[str, ...] = ()
    suffix: str = ""
    folder: bool = False
    overwrites: bool = True

    def __call__(self, output: str, *more: str) -> int:
        return run([*self.line.split(), output, *more])


CASES = {
    "train --output": Case("train --dataset digits-saccade -o", (), ".pt"),
    "finetune --output": Case("finetune ckpt.pt --profile ./int4.toml -o", ("ckpt.pt", "int4.toml"), ".pt"),
    "import --output": Case("import state.pt --describe net.toml -o", ("state.pt", "net.toml"), ".h5"),
    "compile --output": Case("compile ckpt.pt --profile ./int4.toml -o", ("ckpt.pt", "int4.toml"), ".net"),
    "simulate --report": Case("simulate a.net --backend fast --report", ("a.net",), ".json"),
    "simulate --output": Case("simulate theirs.net --input x.npy -o", ("theirs.net", "x.npy"), ".npz"),
    "inspect --output": Case("inspect a.net -o", ("a.net",), ".json"),
    "analyse --output": Case("analyse ckpt.pt other.pt --parts noise -o", ("ckpt.pt", "other.pt"), ".json"),
    "export --output": Case("export a.net --to npz -o", ("a.net",), folder=True),
    "trace --output": Case("trace a.net --sample 1 -o", ("a.net",), ".npz"),
    "trace --plot": Case("trace a.net --sample 1 --plot", ("a.net",), ".svg"),
    "report --output": Case("report a.net --samples 3 -o", ("a.net",), ".html"),
    "tables --output": Case("tables old.json elsewhere -o", ("old.json",), ".json"),
    "tables --plots": Case("tables runs --plots", folder=True),
    "sweep --output": Case("sweep study.toml -o", ("study.toml",), folder=True, overwrites=False),
    "latency --plot": Case("latency a.net --plot", ("a.net",), ".png"),
    "characterize --output": Case("characterize study.toml -o", ("study.toml",), folder=True),
    "characterize --plot": Case("characterize study.toml --plot", ("study.toml",), ".png"),
    "data simulate --output": Case("data simulate --mnist-dir mnist -o", folder=True, overwrites=False),
    "data compare --output": Case("data compare --real real --simulated twin -o", (), ".png"),
}
PICTURES = (".png", ".svg")
FILES = {name: case for name, case in CASES.items() if not case.folder}
FOLDERS = {name: case for name, case in CASES.items() if case.folder}
# Where each command's work begins: framing data, or what it does without data.
WORK = (
    "sast_deploy.data.request.load_frames", "sast_deploy.api.compile_network",
    "sast_deploy.exchange.statedict.from_state_dict",
    "sast_deploy.training.train.train", "sast_deploy.finetuning.finetune",
    "sast_deploy.engines.fast.run_fast", "sast_deploy.engines.lava.run_lava",
    "sast_deploy.engines.reference.run_reference", "sast_deploy.api.inspect",
    "sast_deploy.studies.analysis.study.measure", "sast_deploy.studies.tables.build.make_tables",
    "sast_deploy.studies.sweep.sweep.sweep",
    "sast_deploy.data.camera.saccade.simulate_mnist", "sast_deploy.data.camera.likeness.compare",
    "sast_deploy.commands.stock.run_in_chunks", "sast_deploy.exchange.targets.write_export",
)  # fmt: skip


def commands(group: click.Group = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_every_option_that_takes_a_path_is_an_input_or_has_a_case_here() -> None:
    outputs = set()
    for name, command in commands():
        for parameter in command.params:
            if parameter.type is OUTPUT:
                outputs.add(f"{name} {max(parameter.opts, key=len)}")
            elif isinstance(parameter.type, click.Path | click.File):
                assert parameter.name in READ, f"{name}: type=OUTPUT and a case here, if it is an output"
    assert outputs == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_what_holds_results_can_be_overwritten_on_purpose(name: str) -> None:
    command = dict(commands())[name.rpartition(" ")[0]]
    assert any("--overwrite" in each.opts for each in command.params) == CASES[name].overwrites


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an input of every kind; tests copy it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        save_checkpoint(Path("ckpt.pt"), random_checkpoint())
        save_checkpoint(Path("other.pt"), replace(random_checkpoint(seed=2), name="other"))
        write_state(Path())
        text = load_profile("loihi-int4").text
        Path("int4.toml").write_text(text)
        Path("mine.toml").write_text(text.replace("headroom = 8.0", "headroom = 4.0"))
        assert run(["compile", "ckpt.pt", "--profile", "loihi-int4", "-o", "a.net"]) == 0
        assert run(["compile", "other.pt", "--profile", "loihi-int4", "-o", "b.net"]) == 0
        rng = np.random.default_rng(0)
        for name in ("theirs.net", "others.net"):
            write_stock(name, [image(2, 3, 3), FLATTEN, dense(integers(rng, 60, 4, 18))])
        for name in ("x.npy", "y.npy"):
            np.save(name, rng.random((2, 8, 18)) < 0.4)
        for name, number in (("one", 1), ("two", 2)):
            write_run(Path("runs"), name, number)
        write_run(Path("elsewhere"), "three", 3)
        assert run(["tables", "runs", "-o", "old.json"]) == 0
        Path("study.toml").write_text(STUDY)
        Path("mnist").mkdir()
        write_bands(Path("real"), 1, 1)
        for name in ("twin", "copy"):
            write_bands(Path(name), 1, 1)
        Path("README.md").write_text("# my notes")
    return folder


def write_run(runs: Path, name: str, number: int) -> None:
    """One finished run of a sweep, as `tables` reads it; number: tells it and its checkpoint apart."""
    each = record(0, 0.9, rho=number / 10)
    levels = [{"amount": p, "hard": 0.9 - p} for p in (0.0, 0.4)]
    values = {
        "format": "sast-deploy-run", "name": name, "config": each.config, "train": each.train,
        "manifest": {"data": each.data, "code": {}, "checkpoint": f"{number}{0:063}"},
        "float": each.float, "profiles": {}, "analysis": {"drop": {"levels": levels}}, "ablations": {},
    }  # fmt: skip
    (runs / name).mkdir(parents=True, exist_ok=True)
    (runs / name / "results.json").write_text(json.dumps(values))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shared(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder itself, for tests after which nothing has changed; what they add is removed."""
    monkeypatch.chdir(made)
    before = state(made)
    yield made
    for path in made.iterdir():
        if path.name not in before[1]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert state(made) == before


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever begins to work fails, and not with exit code 2."""

    def work(*_: Any, **__: Any) -> Any:
        raise RuntimeError("at work")

    for place in WORK:
        monkeypatch.setattr(place, work)


def state(path: Path) -> Any:
    """What is at a path: its kind, inode, and content or where it leads; of all below a folder."""
    if not os.path.lexists(path):
        return None
    found = path.lstat()
    if path.is_symlink():
        return found.st_ino, os.readlink(path)
    if path.is_dir():
        return found.st_ino, {each.name: state(each) for each in path.iterdir()}
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
    return found.st_ino, stat.S_IFMT(found.st_mode), found.st_rdev, content


def link(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a short name


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # one like /dev/null
    except PermissionError:
        pytest.skip("this user may make no device")


# What must not be replaced, made at a path, and the words that say so.
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (lambda path: path.write_text("# my notes"), "is a file of another kind"),
    "like our own, but a text": (
        lambda path: path.write_text('Its "report_version" and "sast-deploy-runs" are 1, .npy data.pkl'),
        "is a file of another kind",
    ),
    "link to a text": (link("README.md"), "is a file of another kind"),
    "link to a link": (lambda path: (link("README.md")(Path("l")), link("l")(path)), "another kind"),
    "dangling link": (link("missing/file"), "is a link into a folder that is not there"),
    "links in a circle": (lambda path: path.symlink_to(path.name), "a link that leads in a circle"),
    "pipe": (os.mkfifo, "is a pipe"),
    "link to a pipe": (lambda path: (os.mkfifo("pipe"), link("pipe")(path)), "is a pipe"),
    "socket": (bind, "is a socket"),
    "device": (device, "is a device"),
    "link to a device": (lambda path: (device(Path("null")), link("null")(path)), "is a device"),
    "own stream": (link("/proc/self/fd/1"), "it leads into /proc"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "full folder": (lambda path: (path.mkdir(), (path / "mine").touch()), "is a folder"),
}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", FILES)
def test_bad_targets(name: str, bad: str, shared: Path, capsys: Any) -> None:
    make, words = BAD[bad]
    target = shared / f"target{FILES[name].suffix}"
    make(target)
    for overwrite in (False, True):
        refused(FILES[name], target.name, words, shared, capsys, overwrite)


def refused(case: Case, output: str, words: str, here: Path, capsys: Any, overwrite: bool) -> None:
    """The command says why in one line, exit code 2, and nothing at all has changed."""
    before = state(here)
    assert case(output, *(["--overwrite"] if overwrite else [])) == 2, capsys.readouterr().err
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert state(here) == before


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("way", ["itself", "link", "hard link", "another spelling"])
@pytest.mark.parametrize(("name", "read"), [(name, read) for name in FILES for read in FILES[name].inputs])
def test_own_inputs(name: str, read: str, way: str, shared: Path, capsys: Any) -> None:
    case = FILES[name]
    target = shared / f"target{case.suffix}"
    if way == "link":
        target.symlink_to(read)
    elif way == "hard link":
        os.link(read, target)
    output = {"itself": read, "another spelling": f"real/../{read}"}.get(way, target.name)
    drawn = case.suffix in PICTURES and output != target.name  # a name that no picture has is told first
    words = "no picture is called" if drawn else "is what this command reads"
    refused(case, output, words, shared, capsys, overwrite=True)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("output", ["README.md/x", "/proc/x", "/sys/x", "lost/x", "-", "n" * 300])
@pytest.mark.parametrize("name", CASES)
def test_places_where_nothing_can_be_written(name: str, output: str, shared: Path, capsys: Any) -> None:
    (shared / "lost").symlink_to("nowhere")
    suffix = "" if output == "-" else CASES[name].suffix
    words = "is no name here" if output == "-" else "cannot be written"
    words = "expected .png" if words == "is no name here" and CASES[name].suffix in PICTURES else words
    refused(CASES[name], output + suffix, words, shared, capsys, overwrite=False)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("bad", ["text", "link to a text", "dangling link", "links in a circle", "pipe"])
@pytest.mark.parametrize("name", FOLDERS)
def test_bad_targets_of_folders(name: str, bad: str, shared: Path, capsys: Any) -> None:
    BAD[bad][0](shared / "target")
    refused(FOLDERS[name], "target", "is no folder", shared, capsys, overwrite=False)


@pytest.mark.usefixtures("idle")
def test_recordings_are_not_put_among_others(shared: Path, capsys: Any) -> None:
    refused(FOLDERS["data simulate --output"], "real", "exists already", shared, capsys, overwrite=False)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", CASES)
def test_good_targets_lead_to_work(name: str, here: Path, capsys: Any) -> None:
    """Else the tests above would prove nothing."""
    case = CASES[name]
    (here / "there").mkdir()
    (here / f"empty{case.suffix}").touch()
    (here / f"link{case.suffix}").symlink_to(f"there/target{case.suffix}")
    new, linked, empty = (f"{each}{case.suffix}" for each in ("a/b/new", "link", "empty"))
    for output in [new] if case.folder else [new, linked, *([] if case.suffix == ".pt" else [empty])]:
        assert case(output) not in (0, 2)
        assert "at work" in capsys.readouterr().err


def test_a_folder_that_is_there_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    check_output_folder(tmp_path)
    check_output_folder(tmp_path / "link")
    check_output_folder(tmp_path / "link" / "new" / "deeper")


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["train --output", "finetune --output"])
def test_a_training_looks_at_all_its_files_first(name: str, here: Path, capsys: Any) -> None:
    case = CASES[name]
    (here / "t").mkdir()
    os.mkfifo("t/metrics.jsonl")
    refused(case, "t/new.pt", "metrics.jsonl: is a pipe", here, capsys, overwrite=True)
    refused(case, "t2/resume.pt", "is the name of another file of a training", here, capsys, overwrite=True)
    refused(case, "other.pt", "exists already; replace it with --overwrite", here, capsys, overwrite=False)
    before = state(here)
    assert case("t2/new.pt", "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err
    assert state(here) == before


# ---- another run's results ----

LOAD = "sast_deploy.data.request.load_recorded"


@pytest.fixture
def tiny(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny data set, whatever the command line asks for; in --data-root "b" other recordings are.

    They are in --cache-dir "b" as well, an option that no run names: as if the folder, though called the
    same, held others now.
    """

    def load(_where: Any, _recorded: Any, _options: Any, wanted: DataRequest, **_how: Any) -> Any:
        other = Path("b") in (wanted.data_root, wanted.cache_dir)
        return tiny_set(digest=("1" if other else "0") * 64)

    monkeypatch.setattr(LOAD, load)
    return here


def others(line: str, *rows: tuple[str, str]) -> list[Any]:
    return [pytest.param(line, changed, words, id=f"{line.split()[0]}: {words}") for changed, words in rows]


COMPILE = "compile ckpt.pt --profile loihi-int4 -o o.net"
CALIBRATE = f"{COMPILE} --calibrate tiny --calibrate-steps search"
SIMULATE = "simulate a.net --backend fast --check 5 --report o.json"
REFERENCE = "simulate a.net --backend reference --report o.json"
FOREIGN = "simulate theirs.net --input x.npy --steps 12 -o o.npz"
INSPECT = "inspect a.net -o o.json"
SAMPLED = f"{INSPECT} --samples 5"
ANALYSE = "analyse ckpt.pt other.pt --parts noise --device cpu -o o.json"
TABLES = "tables runs -o o.json"
PLOTS = "tables runs --plots o"
COMPARE = "data compare --real real --simulated twin -o o.{}"
ROWS = [
    *others(
        COMPILE,
        (COMPILE.replace("ckpt.pt", "other.pt"), "a .net file of checkpoint "),
        (COMPILE.replace("int4", "int8"), "profile loihi-int4+"),
        (COMPILE.replace("loihi-int4", "./mine.toml"), "profile loihi-int4+"),
        (f"{COMPILE} --strict-reset", "strict reset False; this run: strict reset True"),
        (CALIBRATE, "calibration none"),
    ),
    *others(
        CALIBRATE,
        (COMPILE, "calibration tiny"),
        (f"{CALIBRATE} --seed 3", "seed 0; this run: seed 3"),
        (f"{CALIBRATE},rounding", "steps search; this run: steps search+rounding"),
        (f"{CALIBRATE} --data-root b", "frames 00000000; this run: frames 11111111"),
    ),
    *others(
        SIMULATE,
        (SIMULATE.replace("a.net", "b.net"), "a report of program "),
        (REFERENCE, "on fast, 5 of them checked; this run: on reference"),
        (f"{SIMULATE} --samples 10", "all samples; this run: 10 samples"),
        (f"{SIMULATE} --holdout 0.2", "holdout none, holdout seed none; this run: holdout 0.2"),
        (f"{SIMULATE} --data-root b", "folder none; this run: folder /"),
        (f"{SIMULATE} --cache-dir b", "frames 00000000; this run: frames 11111111"),
        (f"{SIMULATE} --dataset tony", "data tiny; this run: data tony"),
        (SIMULATE.replace("5", "none"), "5 of them checked; this run: 0 of them"),
    ),
    *others(
        FOREIGN,
        (FOREIGN.replace("theirs", "others"), "a file of spikes of network "),
        (FOREIGN.replace("x.npy", "y.npy"), "input "),
        (FOREIGN.replace("12", "11"), "steps 12; this run: steps 11"),
        (f"{FOREIGN} --reset-interval 4", "reset_interval 0; this run: reset_interval 4"),
        (f"{FOREIGN} --message-bits 2", "message_bits 0; this run: message_bits 2"),
        (f"{FOREIGN} --backend reference", "on fast; this run: on reference"),
    ),
    *others(
        INSPECT,
        (INSPECT.replace("a.net", "b.net"), "network "),
        (f"{INSPECT} --samples 5", "no samples; this run: 5 samples"),
    ),
    *others(SAMPLED, (f"{SAMPLED} --cache-dir b", "frames 00000000; this run: frames 11111111")),
    *others(
        ANALYSE,
        (ANALYSE.replace("other.pt", ""), "checkpoints "),
        (ANALYSE.replace("noise", "noise,margins"), "parts noise; this run: parts margins+noise"),
        (f"{ANALYSE} --samples 20", "all samples; this run: 20 samples"),
        (f"{ANALYSE} --seed 2", "seed 0; this run: seed 2"),
        (f"{ANALYSE} --data-root b", "folder none; this run: folder /"),
        (f"{ANALYSE} --cache-dir b", "frames 00000000+00000000; this run: frames 11111111+11111111"),
    ),
    *others(TABLES, (TABLES.replace("runs", "elsewhere"), "runs one (10000000), two (20000000)")),
    *others(COMPARE.format("png"), (COMPARE.format("png --limit 3"), "1,000 samples; this run: 3 samples")),
    *others(COMPARE.format("pdf"), (COMPARE.format("pdf --split Test"), "split Train; this run: split Test")),
    *others(COMPARE.format("svg"), (COMPARE.format("svg").replace("twin", "copy"), "simulated /")),
]


@pytest.mark.parametrize(("line", "changed", "words"), ROWS)
def test_the_same_run_may_and_another_may_not(
    line: str, changed: str, words: str, tiny: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = (0, 1)  # 1: recordings that differ
    assert run(line.split()) in done
    assert run(line.split()) in done, capsys.readouterr().err
    (output,) = tiny.glob("o.*")
    before = output.read_bytes()
    capsys.readouterr()
    with monkeypatch.context() as patch:
        if "frames" not in words:  # refused before any data are read
            patch.setattr(LOAD, None)
        assert run(changed.split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error
    assert error.startswith(f"error: {output.name}: holds a ")
    assert "--overwrite replaces it, or name another file with -" in error
    assert output.read_bytes() == before
    assert run([*changed.split(), "--overwrite"]) in done
    assert run(line.split()) == 2


OLDER = [row for row in ROWS if row.values[0] in (SIMULATE, INSPECT)]
SINGLE = [COMPILE, SIMULATE, FOREIGN, INSPECT, TABLES, ANALYSE, COMPARE.format("svg")]


@pytest.mark.parametrize(("line", "changed", "words"), OLDER)
def test_files_from_before_runs_were_written_down(
    line: str, changed: str, words: str, tiny: Path, capsys: Any
) -> None:
    assert run(line.split()) == 0
    content = json.loads(Path("o.json").read_text())
    del content[ORIGIN_KEY]
    for command, code in ((changed, 2), (line, 0)):
        Path("o.json").write_text(json.dumps(content, indent=2))
        capsys.readouterr()
        assert run(command.split()) == code
        assert words in capsys.readouterr().err or not code


@pytest.mark.parametrize("line", SINGLE)
def test_a_file_of_the_kind_that_says_nothing_stays(line: str, tiny: Path, capsys: Any) -> None:
    assert run(line.split()) in (0, 1)
    (output,) = tiny.glob("o.*")
    output.write_bytes(output.read_bytes()[:300])  # cut off
    before = output.read_bytes()
    capsys.readouterr()
    assert run(line.split()) == 2
    assert "that does not say which run made it; --overwrite replaces it" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_more_runs_are_no_loss_and_a_run_trained_anew_is(tiny: Path, capsys: Any) -> None:
    lines = [TABLES, PLOTS]
    for line in lines:
        assert run(line.split()) == 0
    pictures = sorted(Path("o").iterdir())
    assert pictures
    write_run(Path("runs"), "another", 7)
    for line in lines:
        assert run(line.split()) == 0
    write_run(Path("runs"), "one", 9)
    for line, name in zip(lines, ("o.json", f"{pictures[1]}"), strict=True):
        before = state(tiny)
        capsys.readouterr()
        assert run(line.split()) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"{name}: holds a " in printed.err
        assert "of runs one (10000000); this run: runs" in printed.err
        assert state(tiny) == before
        assert run([*line.split(), "--overwrite"]) == 0


def test_a_picture_beside_the_results_is_guarded_too(tiny: Path, capsys: Any) -> None:
    assert run(ANALYSE.split()) == 0
    Path("o.json").unlink()
    assert run([*ANALYSE.split(), "--seed", "4"]) == 2
    assert "o-robustness.png: holds a picture of seed 0; this run: seed 4" in capsys.readouterr().err
    assert not Path("o.json").exists()


@pytest.mark.parametrize("line", SINGLE)
def test_a_link_to_a_file_of_the_kind_stays_a_link(line: str, tiny: Path) -> None:
    assert run(line.split()) in (0, 1)
    (output,) = tiny.glob("o.*")
    (tiny / "there").mkdir()
    target = output.rename(tiny / "there" / "kept")
    output.symlink_to("there/kept")
    inode = target.stat().st_ino
    assert run(line.split()) in (0, 1)
    assert os.readlink(output) == "there/kept"
    assert target.stat().st_ino != inode  # it was replaced, whole
    assert list((tiny / "there").iterdir()) == [target]


def test_default_names_tell_exports_apart(here: Path, capsys: Any, tiny: Path) -> None:
    def names() -> set[str]:
        return {path.name for path in Path("netx_exports").iterdir()}

    command = ["compile", "ckpt.pt", "--profile", "loihi-int4"]
    assert run(command) == 0
    assert run([*command, "--calibrate", "tiny", "--calibrate-steps", "search"]) == 0
    assert names() == {"tiny-loihi-int4.net", "tiny-loihi-int4-calibrated.net"}
    digest = read_net(Path("netx_exports/tiny-loihi-int4.net")).program.digest()
    assert digest == read_net(Path("a.net")).program.digest()  # the name is the file's alone
    save_checkpoint(Path("new.pt"), random_checkpoint(seed=5))  # by the same name
    for calibrated in ([], ["--calibrate", "tiny", "--calibrate-steps", "search"]):
        for more in ([], [], ["--overwrite"]):
            assert run(["compile", "new.pt", "--profile", "loihi-int4", *calibrated, *more]) == 0
    first = read_net(Path("netx_exports/tiny-loihi-int4.net")).checkpoint["digest"]
    (new,) = {name for name in names() if name.startswith("tiny-loihi-int4-") and len(name) == 28}
    assert new[16:24] == read_net(Path("netx_exports", new)).checkpoint["digest"][:8] != first[:8]
    assert len(names()) == 4
    assert run([*command, "--strict-reset"]) == 2
    assert "strict reset False; this run: strict reset True" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".jpg", "", ".PNG~"])
def test_a_picture_that_we_cannot_draw_is_refused(ending: str, shared: Path, capsys: Any) -> None:
    refused(CASES["data compare --output"], f"x{ending}", "expected .png, .pdf, .svg", shared, capsys, False)


@pytest.mark.parametrize(
    ("ending", "mark"), [("png", b"\x89PNG"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF-"), ("svg", b"<?xml")]
)
def test_the_suffix_decides_what_a_picture_is(ending: str, mark: bytes, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    made = {"name": 'brackets (, [, <, &, \\ and "', "runs": {f"run {n}": f"{n:064x}" for n in range(60)}}
    path = tmp_path / f"x.{ending}"
    save_figure(Figure(figsize=(1, 1)), path, 50, made)
    assert path.read_bytes().startswith(mark)
    assert picture_kind(path).read(path) == made


@pytest.mark.parametrize("line", ["inspect a.net --json", "tables runs --json", "tables runs --json -"])
def test_json_to_stdout(line: str, here: Path, capsys: Any) -> None:
    before = state(here)
    assert run(line.split()) == 0
    assert json.loads(capsys.readouterr().out)
    assert state(here) == before


@pytest.mark.parametrize("line", ["inspect a.net", "tables runs", "inspect a.net --json -"])
def test_overwriting_nothing_is_refused(line: str, here: Path, capsys: Any) -> None:
    assert run([*line.split(), "--overwrite"]) == 2
    assert "--overwrite without -o FILE" in capsys.readouterr().err


# ---- two trainings of one output ----


def hold(output: Path, ready: Any) -> None:
    with RunFiles(output).claim(resume=False, overwrite=False):
        ready.set()
        signal.pause()


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", ["train --output", "finetune --output"])
def test_two_trainings_of_one_output_lock_each_other_out(name: str, here: Path, capsys: Any) -> None:
    case, context = CASES[name], multiprocessing.get_context("fork")
    (here / "linked").symlink_to("t")
    (here / "link.pt").symlink_to("t/ckpt.pt")
    ready = context.Event()
    process = context.Process(target=hold, args=(Path("t/ckpt.pt"), ready))
    (here / "t").mkdir()
    process.start()
    assert ready.wait(60)
    before = state(here)
    for output in ("t/ckpt.pt", "./t/ckpt.pt", "linked/ckpt.pt", "link.pt", "t/another.pt"):
        for more in ([], ["--overwrite"]):
            assert case(output, *more) == 2
            assert f"process {process.pid} on " in capsys.readouterr().err
    assert state(here) == before
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert case("t/ckpt.pt") not in (0, 2)
    assert "at work" in capsys.readouterr().err
    assert list((here / "t").iterdir()) == []


@pytest.mark.usefixtures("idle")
def test_a_sweep_and_a_training_lock_each_other_out(here: Path, capsys: Any) -> None:
    class Named:
        name = "t"

    with RunFolder(here, Named()).lock():  # type: ignore[arg-type]
        assert CASES["train --output"]("t/ckpt.pt", "--overwrite") == 2
    assert "is at work here" in capsys.readouterr().err
