"""Every reader of the product, by name; and everything once, before inputs are tried."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.engines.fast import run_fast
from tests.programs import conv_program, fc_program, random_frames, rich_program
from tools.fuzzing import archives, hdf5
from tools.fuzzing.documents import change_json, change_toml, probe_profile, probe_results, probe_study
from tools.fuzzing.events import (
    change_binary,
    change_list,
    change_records,
    change_text,
    probe_list,
    probe_recording,
)
from tools.fuzzing.inputs import Place, Target, clear, make, structured, write
from tools.fuzzing.judge import Failed, command
from tools.fuzzing.networks import change_hdf5, change_stock, mend, probe_net, probe_stock
from tools.fuzzing.recordings import (
    change_bin,
    change_cache,
    change_idx,
    change_npy,
    probe_bin,
    probe_cache,
    probe_idx,
    probe_npy,
)
from tools.fuzzing.trained import change_archive, probe_checkpoint, probe_resume

_LIST = (
    Target("net", ".net", structured(change_hdf5, 0.1), probe_net, mend),
    Target("stock", ".net", structured(change_stock, 0.1), probe_stock),
    Target("pt", ".pt", structured(change_archive, 0.1), probe_checkpoint),
    Target("results", ".json", structured(change_json, 0.1), probe_results),
    Target("resume", ".pt", structured(change_archive, 0.1), probe_resume),
    Target("profile", ".toml", structured(change_toml), probe_profile),
    Target("study", ".toml", structured(change_toml), probe_study, names_files=True),
    Target("cache", "", structured(change_cache), probe_cache, folder=True, rebuilds=True),
    Target("idx", "", structured(change_idx, 0.3), probe_idx, folder=True),
    Target("idxgz", "", structured(change_idx, 0.2), probe_idx, folder=True),
    Target("bin", ".bin", structured(change_bin, 0.5), probe_bin),
    Target("npy", ".npy", structured(change_npy), probe_npy),
    Target("camera", ".x", structured(change_binary, 0.4), probe_recording),
    Target("bs2", ".bs2", structured(change_binary, 0.4), probe_recording),
    Target("text", ".csv", structured(change_text), probe_recording),
    Target("records", ".npy", structured(change_records), probe_recording),
    Target("events", ".h5", structured(change_hdf5, 0.1), probe_recording),
    Target("list", "", structured(change_list), probe_list, folder=True, rebuilds=True),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _LIST}


def warm_up(place: Place) -> None:
    """The seeds as they are: modules imported, kernels compiled for every width of integers.

    Without training, whose threads no fork survives.
    """
    for target in TARGETS.values():
        if target.name == "resume":
            continue
        for index in range(2 if target.folder else 6):
            rng = np.random.default_rng(index)
            made = make(target, [rng], place)
            with contextlib.suppress(Failed):  # found again, and then reported
                target.probe(rng, made, place)
            clear(place)
    _compile_kernels()
    _wide_inputs(place)
    archives.bomb()


def warm_training(place: Place) -> None:
    """What torch loads when it trains for the first time in a process."""
    target = TARGETS["resume"]
    with contextlib.suppress(Failed):
        target.probe(np.random.default_rng(0), make(target, [np.random.default_rng(0)], place), place)


def _compile_kernels() -> None:
    rng = np.random.default_rng(0)
    for build, factor in itertools.product((fc_program, conv_program, rich_program), (1, 100, 1_000_000)):
        with hdf5.unchecked(), contextlib.suppress(SastError):
            program = build(rng)
            wider = [
                replace(each, weight=each.weight * factor) if hasattr(each, "weight") else each
                for each in program.layers
            ]
            program = replace(program, layers=tuple(wider))
            wide = replace(program, input_min=-1)  # in 32 bits
            run_fast(wide, random_frames(rng, wide, 2), trace=True, threads=1)
            for trace, batch in itertools.product((True, False), (None, 1)):
                run_fast(program, random_frames(rng, program, 2), trace=trace, batch=batch, threads=1)


def _wide_inputs(place: Place) -> None:
    """Strangers' inputs of every width."""
    for name, content in place.seeds.files["stock"].items():
        net, array = place.folder / "in" / "x.net", place.folder / "in" / "x.npy"
        write(net, content)
        values = np.load(io.BytesIO(place.seeds.stock_inputs[name.replace(".net", ".npy")])).astype(np.int64)
        for factor, bits in itertools.product((1, -1, 300, -300, 70_000), ("0", "8", "16", "24")):
            np.save(array, values * factor)
            words = ["simulate", str(net), "--input", str(array), "--message-bits", bits, "--backend", "fast"]
            with contextlib.suppress(Failed):
                command([*words, "-o", str(place.out / "x.npz"), "--overwrite"], "x")
