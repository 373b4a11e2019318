"""Networks: our .net files and other people's, and arrays for these."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.netx.file import read_net
from tools.fuzzing import hdf5
from tools.fuzzing.inputs import Input, Place, write
from tools.fuzzing.judge import ACCEPTED, REFUSED, SKIPPED, Failed, check_program, command, refusal
from tools.fuzzing.values import Rng, pick


def change_hdf5(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    with h5py.File(made.path, "r+") as file:
        made.did(*hdf5.change_hdf5(rng, file, place.base))
        made.final = made.labels[-1].endswith(hdf5.CIRCLE)


def mend(rng: Rng, made: Input, place: Place) -> None:
    """Mostly, make the digests right."""
    if made.forbidden or made.final or rng.random() < 0.2 or not made.path.is_file():
        return
    try:
        with h5py.File(made.path, "r+") as file:
            made.labels.append("digests right" if hdf5.mend(file) else "digests right where possible")
            if rng.random() < 0.1:
                hdf5.make_older(file)
                made.labels.append("of version 1")
    except Exception:
        made.labels.append("digests wrong")


def probe_net(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    way = rng.random()
    if way > 0.55:
        return _net_command(rng, made, place)
    try:
        content = read_net(made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    return check_program(rng, content.program)


def _net_command(rng: Rng, made: Input, place: Place) -> str:
    report = str(place.out / "report.json")
    ways = (
        ["inspect"],
        ["inspect", "-o", str(place.out / "facts.json")],
        ["verify", "--known-answers-only", "--backend", "fast"],
        ["simulate", "--backend", "fast", "--check", "none", "--report", report],
        ["simulate", "--backend", "fast", "--check", "1", "--samples", "2", "--report", report],
        ["simulate", "--backend", "reference", "--samples", "1", "--report", report],
        ["inspect", "--samples", "2"],
        ["verify", "--backend", "fast", "--samples", "1"],
    )
    words = pick(rng, ways)
    if words[1:3] == ["--backend", "reference"] and _too_large(made.path):
        return SKIPPED
    # Data that a good file names may not be here; what is said then names the data.
    ended = command([*words, "--", str(made.path)], (made.path.name, "data"))
    return ACCEPTED if ended.code in (0, 1) else REFUSED


def _too_large(path: Path) -> bool:
    return path.stat().st_size > 10 << 20 if path.is_file() else False


def change_stock(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    change_hdf5(rng, made, place)


def probe_stock(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    array = place.folder / "in" / "input.npy"
    write(array, place.seeds.stock_inputs[made.seed.replace(".net", ".npy")])
    return run_stock(rng, made.path, array, (made.path.name, array.name), place)


def run_stock(rng: Rng, net: Path, array: Path, names: tuple[str, ...], place: Place) -> str:
    """The same run in both engines, whose results must be the same."""
    more = pick(
        rng,
        (
            [],
            [],
            ["--steps", "9"],
            ["--message-bits", "4"],
            ["--message-bits", "16"],
            ["--reset-interval", "3"],
        ),
    )
    found = {}
    for backend in ("fast", "reference"):
        out = place.out / f"{backend}.npz"
        words = [
            "simulate",
            "--input",
            str(array),
            "--backend",
            backend,
            "-o",
            str(out),
            *more,
            "--",
            str(net),
        ]
        ended = command(words, names)
        if ended.code:
            if out.exists():
                raise Failed("refused, but an output was written")
            if backend == "reference":
                raise Failed(f"the reference refuses what fast runs: {ended.err[:80]}", ended.err)
            return REFUSED
        with np.load(out) as results:
            found[backend] = {
                name: results[name] for name in results.files if name != "run"
            }  # whose engine it names
        if sum(values.size for values in found[backend].values()) > 200_000:
            return SKIPPED
    for name, values in found["fast"].items():
        if not np.array_equal(values, found["reference"][name]):
            raise Failed("engines differ", name)
    return ACCEPTED
