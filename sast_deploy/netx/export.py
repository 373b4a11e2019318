"""A .net file as an output: what made it, so that no other run's file is replaced in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import NetFileError, OutputError, SastError
from sast_deploy.base.outputs import Found, Kind, Origin, check_output
from sast_deploy.netx.file import NetFile, is_export, profile_of, read_net, write_net
from sast_deploy.program.profile import Profile

FRAMES = "frames"  # of an origin: the digest of what its data became, known once they are framed


def compile_origin(
    checkpoint: str | None, profile: Profile | None, strict_reset: bool, calibration: Mapping[str, Any]
) -> dict[str, Any]:
    """What a .net file depends on. checkpoint: digest. calibration: `calibration_origin`, or {}."""
    return {
        "checkpoint": checkpoint,
        "profile": "none" if profile is None else [profile.name, profile.digest],
        "strict reset": strict_reset,
        "calibration": "none",
        **calibration,
    }


def calibration_origin(data: str, steps: Iterable[str], seed: int, profile: Profile) -> dict[str, Any]:
    """What `compile --calibrate` adds before FRAMES are known.

    A profile that clips anyway has no step "clipping".
    """
    taken = [step for step in steps if step != "clipping" or profile.clipping != "mse"]
    return {"calibration": data, "steps": taken, "seed": seed}


def net_origin(net: NetFile) -> dict[str, Any]:
    """What made a network of ours; without a checkpoint it is known by its program. Raises NetFileError."""
    profile = profile_of(net, net.program.name)
    found, added = net.calibration, {}
    if found and profile is not None:
        steps = [step["name"] for step in found["steps"]]
        added = calibration_origin(found["data"]["requested"], steps, found["seed"], profile)
        added[FRAMES] = found["data"]["frame_digest"]
    checkpoint = net.checkpoint.get("digest")
    made = compile_origin(checkpoint, profile, net.strict_reset, added)
    return made if checkpoint else {**made, "program": net.program.digest()}


def _read_origin(path: Path) -> Found:
    try:
        return net_origin(read_net(path))
    except (SastError, LookupError, TypeError):
        return is_export(path)  # True: of a newer version


EXPORT = Kind(".net file", rb"\x89HDF\r\n\x1a\n", _read_origin)
EXPORTS = Path("netx_exports")


class Export:
    """Where `compile` writes: a path of the person's, or a default that another checkpoint may take.

    output: None for `stem` in EXPORTS; where that is another checkpoint's, with this one's digest. inputs:
    files that are read.
    """

    def __init__(self, output: Path | None, stem: str, inputs: tuple[Path, ...], overwrite: bool) -> None:
        self.output, self.stem, self.inputs, self.overwrite = output, stem, inputs, overwrite

    def check(self, made: Origin) -> Path:
        """The path; raises OutputError, before any work, where it cannot or must not be written."""
        path = self.output or self._default(made)
        check_output(path, EXPORT, made, inputs=self.inputs, overwrite=self.overwrite)
        return path

    def write(self, net: NetFile, made: Origin) -> Path:
        """Write the network; the path. Raises OutputError."""
        path = self.check(made)
        try:
            write_net(path, net)
        except OutputError:  # another process may have taken the default name meanwhile
            if self.output is not None or self._default(made) == path:
                raise
            return self.write(net, made)
        return path

    def _default(self, made: Origin) -> Path:
        path = EXPORTS / f"{self.stem}.net"
        there = EXPORT.read(path) if path.is_file() else None
        taken = isinstance(there, dict) and there["checkpoint"] != made["checkpoint"]
        return EXPORTS / f"{self.stem}-{made['checkpoint'][:8]}.net" if taken else path


def newest_export() -> Path:
    """The .net file in EXPORTS that was written last. Raises NetFileError where there is none."""
    found = sorted(EXPORTS.glob("*.net"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not found:
        raise NetFileError(
            "holds no .net file", where=EXPORTS, todo="name one, or write one with `sast-deploy compile`"
        )
    return found[-1]
