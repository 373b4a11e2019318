"""The doctor names what is missing and the command that mends it, whatever state the installation is in."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from importlib import metadata
from importlib.util import spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sast_deploy import doctor
from sast_deploy.base import versions
from sast_deploy.base.versions import pinned_versions, runtime_requirements
from sast_deploy.doctor import Check, diagnose, healthy, print_checks
from sast_deploy.engines.rtl import simulators
from sast_deploy.show.blocks import Out

PIP = f"{shlex.quote(sys.executable)} -m pip install "


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A simulated environment: name -> version, everything as tested; tests change it."""
    found = {each.name: pinned_versions()[each.name.lower()] for each in runtime_requirements()}
    found |= doctor.LAVA_VERSIONS

    def version(name: str) -> str:
        if name not in found:
            raise metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions.metadata, "version", version)
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: SimpleNamespace(
        returncode=0, stdout="noise\nit runs\n", stderr=""))  # fmt: skip
    return found


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def plain(checks: list[Check]) -> list[str]:
    console = Out(io.StringIO())
    print_checks(checks, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_everything_as_tested(installed: dict[str, str]) -> None:
    checks = diagnose()
    assert healthy(checks), plain(checks)
    assert by_name(checks)["Lava runs"].found == "it runs"
    assert {"torch", "numpy", "tonic", "click", "lava-nc", "lava-dl", "profiles"} <= set(by_name(checks))


@pytest.mark.parametrize("name", ["torch", "numpy", "tonic", "scikit-learn", "rich"])
def test_missing_package(installed: dict[str, str], name: str) -> None:
    wanted = installed.pop(name)
    checks = diagnose()
    check = by_name(checks)[name]
    assert not healthy(checks)
    assert (check.found, check.ok) == ("not installed", False)
    assert check.remedy == f"{PIP}{name}=={wanted}"
    assert [line for line in plain(checks) if line.startswith("FAIL")] == [
        f"FAIL  {name}: not installed; wanted {check.wanted}; {check.remedy}"
    ]


def test_numpy_that_breaks_lava(installed: dict[str, str]) -> None:
    installed["numpy"] = "2.4.0"
    check = by_name(diagnose())["numpy"]
    assert (check.found, check.ok) == ("2.4.0", False)
    assert "<2.4" in check.wanted
    assert "numpy==2." in check.remedy


def test_another_version_in_range_is_fine(installed: dict[str, str]) -> None:
    installed["torch"] = "2.13.1+cu130"
    check = by_name(diagnose())["torch"]
    assert check.ok
    assert check.wanted == ">=2.4, tested with 2.13.0"


@pytest.mark.parametrize("change", [{}, {"lava-nc": "0.9.0"}])
def test_lava_missing_or_old(installed: dict[str, str], change: dict[str, str]) -> None:
    del installed["lava-nc"]
    installed.update(change)
    checks = by_name(diagnose())
    assert not checks["lava-nc"].ok
    assert checks["lava-dl"].ok
    assert checks["lava-nc"].remedy == (
        f"{PIP}--no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0"
    )
    assert ("Lava runs" in checks) == bool(change)


def test_lava_that_dies(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    died = SimpleNamespace(returncode=1, stdout="", stderr="Traceback\nImportError: no such thing\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: died)
    check = by_name(diagnose())["Lava runs"]
    assert (check.found, check.ok) == ("ImportError: no such thing", False)


def test_lava_that_hangs(installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    check = by_name(diagnose())["Lava runs"]
    assert (check.found, check.ok) == ("hangs (stopped after 30 s)", False)
    assert check.remedy.endswith(" -m sast_deploy.engines.lava.selfcheck")


@pytest.mark.parametrize(("mebibytes", "state"), [(64, "warn"), (65, "ok")])
def test_small_shared_memory_warns(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, mebibytes: int, state: str
) -> None:
    usage = SimpleNamespace(total=mebibytes * 2**20, used=0, free=2**40)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    checks = diagnose()
    assert by_name(checks)["/dev/shm"].state == state
    assert healthy(checks)


@pytest.mark.parametrize(("minor", "ok"), [(9, False), (10, True), (13, True), (14, False)])
def test_python_range(monkeypatch: pytest.MonkeyPatch, minor: int, ok: bool) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, minor, 0))
    assert doctor._python().ok is ok


def test_cache_folder_that_is_a_file(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAST_CACHE_DIR", str(tmp_path / "file"))
    check = by_name(diagnose())["frame cache"]
    assert not check.ok
    assert check.remedy == "export SAST_CACHE_DIR=/some/writable/folder"


def test_real_data_is_found(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert by_name(diagnose())["real N-MNIST"].ok
    (tmp_path / "NMNIST" / "Train").mkdir(parents=True)
    monkeypatch.setenv("SAST_DATA_ROOT", str(tmp_path))
    assert by_name(diagnose())["real N-MNIST"].found == str(tmp_path / "NMNIST")
    (tmp_path / "NMNIST" / "SIMULATED.json").write_text("no JSON")
    check = by_name(diagnose())["real N-MNIST"]
    assert not check.ok
    assert "is no JSON" in check.found


def test_half_a_torch_is_named_and_mended(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.setattr("sast_deploy.doctor.util.find_spec", lambda _: spec_from_file_location(
        "torch", tmp_path / "torch" / "__init__.py"))  # fmt: skip
    check = by_name(diagnose())["torch build"]
    assert not check.ok
    assert "no version.py" in check.found
    assert "pip install" in check.remedy


@pytest.mark.slow
def test_runs_without_the_packages_it_looks_for() -> None:
    script = (
        "import runpy, sys\n"
        "for name in ('numpy', 'rich', 'click', 'packaging', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "runpy.run_module('sast_deploy.doctor', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert f"FAIL  packaging: not installed; wanted any version; {PIP}packaging" in done.stdout.splitlines()
    assert "warn  measured: cannot look: " in done.stdout


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Out:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Out(io.StringIO(), width=60, terminal=True)


def test_terminal_shows_commands_unwrapped_below_the_table(terminal: Out) -> None:
    command = "python -m pip install " + "x" * 80
    fine, missing = Check("fine", "1.0", "1.0", True), Check("x", "not installed", "any", False, command)
    print_checks([fine, missing], terminal)
    lines = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[2].split() == ["\x1b[32mok\x1b[0m", "fine", "1.0", "1.0"]
    assert lines[3].startswith("\x1b[1;31mFAIL\x1b[0m  x")
    assert lines[-1] == f"x: {command}"


def test_simulators_of_verilog_are_named_or_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is essential."""
    made = SimpleNamespace(version="Verilator 5.048")
    monkeypatch.setattr(simulators, "verilator", lambda: made)
    monkeypatch.setattr(simulators, "icarus", lambda: SimpleNamespace(version="Icarus Verilog 12.0"))
    check = doctor._simulators()
    assert (check.state, check.found) == ("ok", "Verilator 5.048; Icarus Verilog 12.0")
    for name in ("verilator", "icarus"):
        monkeypatch.setattr(simulators, name, lambda: None)
    check = doctor._simulators()
    assert (check.state, check.found) == ("ok", f"none; {simulators.INSTALL}")
    assert "pip install 'sast-deploy[rtl]'" in check.found
