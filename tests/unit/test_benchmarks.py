"""The benchmarks run, add up what they should, and say of results what is in their files."""

from __future__ import annotations

import importlib.util
import json
import math
import platform
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks import figures
from benchmarks.figures import ROWS, Result, Row
from sast_deploy.base.children import child_environment
from sast_deploy.program.program import Conv2d

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "benchmarks"
ABOUT = {
    "source": "measured", "processor": {
        "model": "M", "architecture": "x86_64, m1", "cores": 2, "extensions": ["AVX2"], "copy_gb_per_s": 9,
    },
}  # fmt: skip


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script of benchmarks/ as it is run, with its neighbours beside it."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


def row(name: str) -> Row:
    return next(each for each in ROWS if each.name == name)


# ---- the kernel that engines are measured against --------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 68, 168, 400])
def test_rows_are_added_exactly(script: Any, lanes: int) -> None:
    gather, rng = script("gather"), np.random.default_rng(lanes)
    weight = rng.choice(np.array([-128, -127, -1, 0, 1, 126, 127], np.int8), (300, lanes))
    chosen = rng.random((40, 300)) < rng.random((40, 1)) * 0.8
    chosen[7] = 0
    lists, table = gather.Lists.of(chosen), gather.table(weight)
    assert table.rows.ctypes.data % 64 == 0
    found = gather.sums(table, lists)()
    wanted = np.delete(chosen, 7, axis=0).astype(np.int32) @ weight.astype(np.int32)
    assert np.array_equal(found[:, :lanes], wanted)
    assert not found[:, lanes:].any()


@pytest.mark.slow
def test_sums_at_the_ends_of_int16_are_exact(script: Any) -> None:
    gather = script("gather")
    weight = np.array([[-128, 127]] * 257, np.int8)
    chosen = np.tri(258, 257, -1, np.uint8)  # list k takes the first k rows
    found = gather.sums(gather.table(weight), gather.Lists.of(chosen))()
    count = np.arange(1, 258)
    assert np.array_equal(found[:256, 0], -128 * count[:256])
    assert np.array_equal(found[:, 1], 127 * count)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_matrices_of_a_convolution_give_its_sums(
    script: Any, stride: int, padding: int, dilation: int
) -> None:
    rng = np.random.default_rng(0)
    geometry = ((stride, stride), (padding, padding), (dilation, dilation))
    weight = rng.integers(-127, 128, (5, 3, 3, 2)).astype(np.int32)
    vector = np.ones(1, np.int32)
    layer = Conv2d(weight, vector, vector, 0, vector, *geometry, groups=1)
    x = rng.integers(0, 4, (4, 3, 9, 8)).astype(np.uint8)
    inputs, rows = script("fast_limits").matrices(layer, x)
    sums = (inputs.astype(np.int32) @ rows.astype(np.int32)).reshape(4, -1, 5).transpose(0, 2, 1)
    wanted = functional.conv2d(torch.tensor(x).double(), torch.tensor(weight).double(), None, *geometry)
    assert np.array_equal(sums, wanted.flatten(2).numpy())


# ---- results files and what is made of them --------------------------------------


def test_a_rerun_replaces_its_own_file_alone(tmp_path: Path) -> None:
    figures.write_result(tmp_path, "a", Result({"fc.rate": 1.0}, ABOUT))
    figures.write_result(tmp_path, "b", Result({"fc.rate": 2.0}, ABOUT))
    before = (tmp_path / "b.json").read_bytes()
    figures.write_result(tmp_path, "a", Result({"fc.rate": 3.0}, ABOUT))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]
    assert (tmp_path / "b.json").read_bytes() == before
    assert [each.figures for each in figures.read_results(tmp_path)] == [{"fc.rate": 3.0}, {"fc.rate": 2.0}]
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(ValueError, match="remove it and run make bench"):
        figures.read_results(tmp_path)


def test_the_worst_stands_beside_the_best() -> None:
    slow, fast = Result({"fc.single": 75, "fc.torch": 3.6}, ABOUT), Result({"fc.single@cpu": 29.0}, ABOUT)
    assert figures.ends(row("fc.single"), [slow, fast]) == (0, 1)  # less is better
    assert figures.ends(row("fc.torch"), [fast, slow]) == (1, 1)
    assert figures.ends(row("conv.torch"), [fast, slow]) is None
    faster = Result({"fc.torch@cpu": 7.0, "fc.torch": 2.0}, ABOUT)
    assert figures.ends(row("fc.torch"), [faster, slow]) == (1, 0)  # processor time counts
    table = figures.full_table([slow, fast])
    assert "one sample alone | 75.0 µs A | 29.0 µs B | ≤ 40 µs |" in table
    assert "- B: M (m1), 2 cores; AVX2; memory copy 9 GB/s. Measured." in table


@pytest.mark.parametrize(
    ("name", "found", "cell", "met"),
    [
        ("fc.torch", {"fc.torch": 7.23, "fc.torch@cpu": 6.81}, "6.8 × (7.2 × by the clock)", False),
        ("fc.torch", {"fc.torch@cpu": 9.0}, "9.0 ×", True),
        ("fc.kernel", {"fc.kernel@cpu": 0.374}, "37 %", False),
        ("fc.snntorch", {"fc.snntorch": 1234.0}, "1,234 ×", None),
        ("lava.seconds", {"lava.seconds": 2, "lava.seconds@cpu": 3}, "2.00 s (3.00 s processor time)", True),
        ("lava.seconds", {"lava.seconds@cpu": 2.0}, "2.00 s processor time", None),
        ("train-fc.pass", {"train-fc.pass": 1.21}, "1.21 ×", False),
        ("frames.memory", {"frames.memory": 17300.0}, "17,300/s", False),
    ],
)  # fmt: skip
def test_figures_are_shown_and_judged(
    name: str, found: dict[str, float], cell: str, met: bool | None
) -> None:
    assert figures.cell(row(name), found) == cell
    assert row(name).met(found) is met


def test_names_of_rows_are_unique_and_ratios_come_first() -> None:
    assert len({each.name for each in ROWS}) == len(ROWS)
    lines = figures.full_table(figures.read_results()).splitlines()
    ratios = {each.what for each in ROWS if each.ratio}
    kinds = [line.split(" | ")[0][2:] in ratios for line in lines[2:] if line.startswith("|")]
    assert kinds == sorted(kinds, reverse=True)
    assert any(kinds)
    assert not all(kinds)


def test_results_name_processors_and_no_machine() -> None:
    paths = sorted(figures.RESULTS.glob("*.json"))
    assert len(paths) >= 2
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(^|[\s\"])/\w+/", text), f"{path.name} names a folder"
        assert f'"{platform.node()}"' not in text
        known = json.loads(text)["processor"]
        assert {"model", "architecture", "cores", "extensions", "caches", "copy_gb_per_s"} <= set(known)


def test_a_busy_machine_leaves_the_clock_out(script: Any) -> None:
    bench = script("bench")
    assert bench.quiet({"a": 1.0, "a@cpu": 2.0, "b": 3.0}) == {"a@cpu": 2.0, "b": 3.0}
    text = "\n".join(bench.summary(Result({"fc.torch@cpu": 5.0, "fc.rate": 60.0}, {**ABOUT, "seconds": 1})))
    assert text.index("SHORT of ≥ 9 ×") < text.index("60.0/s")


def test_this_processor_has_a_name_for_a_file(script: Any) -> None:
    machine = script("machine")
    model = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"
    name = machine.slug({"model": model, "architecture": "x86_64, sapphirerapids", "cores": 2})
    assert name == "intel-xeon-platinum-8481c-cpu-2-70ghz-sapphirerapids-2-cores"
    assert machine.model()
    assert all(re.fullmatch(r"L\dd?", level) for level in machine.caches())


# ---- two commits in one run -------------------------------------------------------


@pytest.fixture
def options() -> Namespace:
    return Namespace(limit=1.05, repeat=3)


@pytest.mark.parametrize(
    ("before", "after", "slow", "rounds"),
    [
        ([1.0, 1.0, 1.0], [1.0, 1.02, 1.04], False, 1),
        ([1.0, 1.0, 1.0], [1.2, 1.2, 1.0], False, 1),  # the fastest turn was no slower
        ([1.0, 1.0, 1.0], [1.1, 1.2, 1.1], True, 3),
    ],
)
def test_what_is_slower_is_measured_again_and_named(
    script: Any, options: Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    before: list[float], after: list[float], slow: bool, rounds: int,
) -> None:  # fmt: skip
    against, asked = script("against"), []
    monkeypatch.setattr(against, "turns", lambda *given: asked.append(given) or (before, after))
    assert against.compare("fast-fc", ROOT, ROOT, ROOT, options) is slow
    assert len(asked) == rounds
    assert ("more than 1.05" in capsys.readouterr().out) is slow


@pytest.mark.parametrize("who", [0, 1])
def test_only_what_the_old_one_cannot_do_is_left_out(
    script: Any, options: Namespace, monkeypatch: pytest.MonkeyPatch, who: int
) -> None:
    against = script("against")
    monkeypatch.setattr(against, "turns", lambda *_: against.Failed(who, "no such module"))
    assert against.compare("simulate", ROOT, ROOT, ROOT, options) is bool(who)


@pytest.mark.slow
def test_a_commit_is_checked_out_for_as_long_as_it_is_needed(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    against, repository = script("against"), tmp_path / "repository"
    (repository / "sast_deploy").mkdir(parents=True)
    (repository / "sast_deploy" / "__init__.py").write_text("")
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(against, "HERE", repository)
    with against.checkout("HEAD", tmp_path / "old") as place:
        assert (place / "sast_deploy" / "__init__.py").is_file()
    assert not (tmp_path / "old").exists()
    listed = subprocess.run([*git, "worktree", "list"], check=True, capture_output=True, text=True).stdout
    assert len(listed.splitlines()) == 1
    with against.checkout(str(repository), tmp_path / "old") as place:
        assert place == repository
    with pytest.raises(SystemExit) as stopped, against.checkout("no-such-commit", tmp_path / "old"):
        pass
    assert stopped.value.code == 2


# ---- the scripts ------------------------------------------------------------------

SMALL = {
    "gather.py": ["--rows", "64", "--list", "4"],
    "bench_fast.py": ["--samples", "40", "--repeat", "1", "--no-lava", "--data-root"],
    "bench_lava.py": ["--samples", "20", "--stock-samples", "2", "--repeat", "1"],
    "bench_train.py": ["--repeat", "1", "--batch", "8"],
    "bench_train.py --network conv": ["--repeat", "1", "--batch", "2"],
    "bench_frames.py": ["--samples", "40", "--repeat", "1", "--data-root"],
    "bench_memory.py": ["--samples", "10", "20", "30", "--data-root"],
    "bench_commands.py": ["--samples", "20", "--recordings", "4", "--repeat", "1", "--data-root"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_script_measures_what_the_table_says_it_does(script: Any, tmp_path: Path, name: str) -> None:
    root = script("recordings").folder(tmp_path, None, 40)
    command = [*name.split(), *SMALL[name], *([str(root)] if SMALL[name][-1] == "--data-root" else [])]
    file = tmp_path / "figures.json"
    script_path, *arguments = command
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script_path), *arguments, "--figures", str(file)],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert all(map(math.isfinite, found.values()))
    said = {plain(each.name) for each in ROWS if each.script == name and not left_out(each.name)}
    assert said <= {plain(each) for each in found}, "rows of figures.py that nothing measures"


def left_out(name: str) -> bool:
    """Whether it is of a package that need not be installed, or takes too long here."""
    peer = name.rpartition(".")[2]
    known = peer in ("snntorch", "spikingjelly")
    return peer == "stock-lava" or (known and importlib.util.find_spec(peer) is None)


def plain(name: str) -> str:
    """A figure's name without the number of samples that it is for, and without how it was measured."""
    return re.sub(r"-\d+$", "", name.removesuffix(figures.CPU))


def test_every_script_of_the_table_is_run_by_make_bench(script: Any) -> None:
    parts = {" ".join(words) for words in script("bench").PARTS.values()}
    for name in {each.script for each in ROWS}:
        assert any(part.startswith(name) for part in parts), name
    assert {each.script for each in ROWS} == set(SMALL)
