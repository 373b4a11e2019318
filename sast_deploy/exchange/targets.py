"""What a network can be exported to; a new target is one line here, and its name in `TARGET_NAMES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.exchange import DEVICE_NAMES, MAINS, READERS
from sast_deploy.exchange.artefacts import Artefacts
from sast_deploy.exchange.c.write import write_c
from sast_deploy.exchange.folder import check_export, write_export
from sast_deploy.exchange.mem.write import write_mem
from sast_deploy.exchange.nir.write import write_nir
from sast_deploy.exchange.npz.write import write_npz
from sast_deploy.exchange.rtl.write import write_rtl
from sast_deploy.exchange.subject import Subject


@dataclass(frozen=True)
class Target:
    """One target. about: for people. write: makes the files; raises CompileError for what it cannot express.

    options: of `write`, each with its values, the first of which is the default; with none, any text.
    """

    about: str
    write: Callable[..., Artefacts]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


TARGETS: dict[str, Target] = {
    "nir": Target("a NIR graph for other frameworks", write_nir, {"reader": READERS}),
    "c": Target("C99 for a microcontroller", write_c, {"main": MAINS}),
    "mem": Target("memories for $readmemh", write_mem),
    "npz": Target("NumPy arrays with a standalone runner", write_npz),
    "rtl": Target("SystemVerilog of a circuit", write_rtl, {"lanes": (), "target": DEVICE_NAMES}),
}


@dataclass(frozen=True)
class Export:
    """What was written. folder: where. target: its name in TARGETS. artefacts: the files and their sizes."""

    folder: Path
    target: str
    artefacts: Artefacts


def export_program(
    subject: Subject, folder: Path, target: str, options: Mapping[str, str | None], overwrite: bool = False
) -> Export:
    """Write a program for a target; nothing is written where it cannot be expressed.

    options: of the target; None stands for the default.

    Raises:
        UsageError: no such target, option or value. OutputError: the folder cannot be written, or holds what
            would be lost. CompileError: the target does not express the program.
    """
    chosen = _options(target, {name: value for name, value in options.items() if value is not None})
    origin = origin_of(subject, target, chosen)
    check_export(folder, origin, overwrite)
    artefacts = TARGETS[target].write(subject, **chosen)
    write_export(folder, artefacts.files, origin, overwrite)
    return Export(folder, target, artefacts)


def origin_of(subject: Subject, target: str, options: Mapping[str, str]) -> dict[str, Any]:
    """What an export depends on."""
    return {"network": subject.name, "program": subject.program.digest(), "target": target, **options}


def _options(target: str, given: Mapping[str, str]) -> dict[str, str]:
    """The target's options, all of them."""
    if target not in TARGETS:
        raise UsageError(f"to = {target!r}", expected=f"one of {', '.join(TARGETS)}")
    allowed = TARGETS[target].options
    for name, value in given.items():
        if name not in allowed:
            owners = ", ".join(each for each, found in TARGETS.items() if name in found.options)
            raise UsageError(f"{name} is for {owners or 'no target'}, not for {target}", todo="leave it out")
        if allowed[name] and value not in allowed[name]:
            raise UsageError(f"{name} = {value!r}", expected=f"one of {', '.join(allowed[name])}")
    return {name: given.get(name, (values or ("",))[0]) for name, values in allowed.items()}
