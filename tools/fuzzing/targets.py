"""Every reader of the product: how inputs for it are made from seeds, and how it is asked to read them."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from sast_deploy.checkpoint import load_checkpoint, to_float_network
from sast_deploy.compiler import compile_network
from sast_deploy.data import FrameSet, load_frames
from sast_deploy.data.cache import digest_of
from sast_deploy.data.events import NMNIST_SENSOR, check_events, read_nmnist
from sast_deploy.data.idx import read_mnist
from sast_deploy.errors import SastError
from sast_deploy.floatnet import FloatNetwork
from sast_deploy.netx import read_net
from sast_deploy.profile import load_profile
from sast_deploy.simulate.fast import run_fast
from tests.programs import conv_program, fc_program, random_frames, rich_program
from tools.fuzzing import archives, hdf5
from tools.fuzzing.judge import ACCEPTED, REFUSED, SKIPPED, Failed, check_program, command, refusal
from tools.fuzzing.seeds import DATA, OPTIONS, RESUMED, TRAIN, Seeds
from tools.fuzzing.values import INTEGERS, Rng, change_array, change_bytes, change_tree, pick, to_json, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass
class Input:
    """One input: the file to read, what was done to it, why it must be refused (or ""), other files."""

    path: Path
    seed: str
    labels: list[str] = field(default_factory=list)
    forbidden: str = ""
    beside: dict[str, Path] = field(default_factory=dict)
    final: bool = False  # whether it can no longer be opened to be changed

    def did(self, label: str, forbidden: str = "") -> None:
        """Note a mutation."""
        self.labels.append(label)
        self.forbidden = self.forbidden or forbidden


@dataclass
class Place:
    """Where a worker makes and reads inputs: base/worker-N/{cwd,in,out}."""

    base: Path
    folder: Path
    seeds: Seeds

    @property
    def out(self) -> Path:
        """Emptied before every input."""
        return self.folder / "out"


Change = Callable[[Rng, Input, Place], None]
Probe = Callable[[Rng, Input, Place], str]


@dataclass(frozen=True)
class Target:
    """A reader. change: applies one mutation to the input's file. finish: after the last one."""

    name: str
    suffix: str
    change: Change
    probe: Probe
    finish: Change = lambda rng, made, place: None
    folder: bool = False  # whether the input is a folder with all seeds in it
    rebuilds: bool = False  # whether what is damaged is made anew instead of refused
    names_files: bool = False  # whether the file may name others, as a study its profiles


NAMES = ("x", "x", "x", "x", "x", "x", "x", "x", "[bold]x", "a b", "é", "-x", "x'y")


def make(target: Target, rngs: list[Rng], place: Place, only: tuple[int, ...] | None = None) -> Input:
    """Write the input below place.folder/in. rngs: the first for the choice, then one for each mutation.

    only: indices of the mutations to apply; None: all.
    """
    rng = rngs[0]
    seeds = place.seeds.files[target.name]
    seed = pick(rng, sorted(seeds))
    path = place.folder / "in" / f"{pick(rng, NAMES)}{target.suffix}"
    made = Input(path, seed)
    if target.folder:
        for name, content in seeds.items():
            _write(path / name, content)
        made.beside["file"] = path / seed
    else:
        _write(path, seeds[seed])
    for index, each in enumerate(rngs[1:]):
        if (only is None or index in only) and not made.forbidden and not made.final:
            try:
                target.change(each, made, place)
            except Exception as error:  # what an earlier mutation has damaged cannot be changed again
                made.did(f"nothing ({type(error).__name__})")
    target.finish(rng, made, place)
    return made


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def file_of(made: Input) -> Path:
    """The file that is mutated."""
    return made.beside.get("file", made.path)


def change_node(rng: Rng, made: Input, place: Place) -> None:
    """Something else than a regular file, or one of absurd size."""
    path = file_of(made)
    path.unlink(missing_ok=True)
    way = int(rng.integers(8))
    if way == 0:
        os.mkfifo(path)
    elif way == 1:
        path.mkdir()
    elif way == 2:
        path.symlink_to(path.name)
    elif way == 3:
        path.symlink_to(pick(rng, ("/dev/zero", "/dev/null", "nowhere")))
    elif way == 4:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 1)
            os.truncate(file.fileno(), min(5 << 30, (256 << 20) - 1))
    elif way == 5:
        path.write_bytes(b"")
    elif way == 6:
        path.write_bytes(pick(rng, OTHER_FILES))
    else:
        with socket.socket(socket.AF_UNIX) as end:
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's name may have 107 bytes only
            try:
                end.bind(path.name)
            finally:
                os.chdir(here)
    made.did(f"node {way}", "is no regular file" if way in (0, 1, 2, 7) else "")


OTHER_FILES = (
    *(b"\0" * 4096, b"hello\n", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\0"),
    *(b"\x1f\x8b\x08\0", b"version https://git-lfs.github.com/spec/v1\n", b"{}", b"[]", b"\x80\x02}q\0.", b"\xff\xfe"),
)


def _bytes(rng: Rng, made: Input) -> None:
    path = file_of(made)
    if path.is_file() and path.stat().st_size < 64 << 20:
        content, what = change_bytes(rng, path.read_bytes())
        path.write_bytes(content)
        made.did(what)
        made.final = True


def structured(change: Change, plain: float = 0.15) -> Change:
    """Mostly `change`; sometimes bytes, seldom another node."""

    def either(rng: Rng, made: Input, place: Place) -> None:
        way = rng.random()
        if way < 0.03:
            change_node(rng, made, place)
        elif way < 0.03 + plain:
            _bytes(rng, made)
        elif file_of(made).is_file():
            change(rng, made, place)

    return either


# HDF5


def _change_hdf5(rng: Rng, made: Input, place: Place) -> None:
    with h5py.File(made.path, "r+") as file:
        made.did(*hdf5.change_hdf5(rng, file, place.base))
        made.final = made.labels[-1].endswith(hdf5.CIRCLE)


def _mend(rng: Rng, made: Input, place: Place) -> None:
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


def _probe_net(rng: Rng, made: Input, place: Place) -> str:
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
        ["inspect"], ["inspect", "--json", str(place.out / "facts.json")],
        ["verify", "--known-answers-only", "--backend", "fast"],
        ["simulate", "--backend", "fast", "--check", "none", "--report", report],
        ["simulate", "--backend", "fast", "--check", "1", "--samples", "2", "--report", report],
        ["simulate", "--backend", "reference", "--samples", "1", "--report", report],
        ["inspect", "--samples", "2"], ["verify", "--backend", "fast", "--samples", "1"],
    )  # fmt: skip
    words = pick(rng, ways)
    if words[1:3] == ["--backend", "reference"] and _too_large(made.path):
        return SKIPPED
    ended = command([*words, "--", str(made.path)], made.path.name)
    return ACCEPTED if ended.code in (0, 1) else REFUSED


def _too_large(path: Path) -> bool:
    return path.stat().st_size > 10 << 20 if path.is_file() else False


def _change_stock(rng: Rng, made: Input, place: Place) -> None:
    _change_hdf5(rng, made, place)


def _probe_stock(rng: Rng, made: Input, place: Place) -> str:
    array = place.folder / "in" / "input.npy"
    _write(array, place.seeds.stock_inputs[made.seed.replace(".net", ".npy")])
    return _run_stock(rng, made.path, array, (made.path.name, array.name), place)


def _run_stock(rng: Rng, net: Path, array: Path, names: tuple[str, ...], place: Place) -> str:
    """The same run in both engines, whose results must be the same."""
    more = pick(rng, ([], [], ["--steps", "9"], ["--message-bits", "4"], ["--message-bits", "16"], ["--reset-interval", "3"]))
    found = {}
    for backend in ("fast", "reference"):
        out = place.out / f"{backend}.npz"
        words = ["simulate", "--input", str(array), "--backend", backend, "-o", str(out), *more, "--", str(net)]
        ended = command(words, names)
        if ended.code:
            if out.exists():
                raise Failed("refused, but an output was written")
            if backend == "reference":
                raise Failed(f"the reference refuses what fast runs: {ended.err[:80]}", ended.err)
            return REFUSED
        with np.load(out) as results:
            found[backend] = {name: results[name] for name in results.files if name != "run"}  # whose engine it names
        if sum(values.size for values in found[backend].values()) > 200_000:
            return SKIPPED
    for name, values in found["fast"].items():
        if not np.array_equal(values, found["reference"][name]):
            raise Failed("engines differ", name)
    return ACCEPTED


# torch's archives


def _change_archive(rng: Rng, made: Input, place: Place) -> None:
    content = made.path.read_bytes()
    if rng.random() < 0.6:
        tree = torch.load(io.BytesIO(content), weights_only=True)
        what = change_tree(rng, tree, archives.tensor_or_leaf)
        new = io.BytesIO()
        torch.save(tree, new)
        made.path.write_bytes(new.getvalue())
        made.did(what)
        return
    changed, what, forbidden = archives.change_archive(rng, content)
    made.path.write_bytes(changed)
    made.did(what, forbidden)


def _probe_checkpoint(rng: Rng, made: Input, place: Place) -> str:
    way = rng.random()
    profile = pick(rng, ("loihi-int4", "loihi-int8", "loihi-stock"))
    if way < 0.15:
        ended = command(["evaluate", "--device", "cpu", "--", str(made.path)], made.path.name)
        return ACCEPTED if ended.code == 0 else REFUSED
    if way < 0.3:
        out = place.out / "x.net"
        ended = command(["compile", "--profile", profile, "-o", str(out), "--", str(made.path)], (made.path.name, profile))
        if ended.code == 0:
            read_net(out)
        return ACCEPTED if ended.code == 0 else REFUSED
    try:
        checkpoint = load_checkpoint(made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    return _compiled(rng, to_float_network(checkpoint), profile)


def _compiled(rng: Rng, network: FloatNetwork, profile: str) -> str:
    try:
        compilation = compile_network(network, load_profile(profile), "x")
    except SastError as error:
        return refusal(error, "")
    return check_program(rng, compilation.program)


def _probe_resume(rng: Rng, made: Input, place: Place) -> str:
    """The file as the unfinished training that the command continues."""
    folder = place.out / "run"
    folder.mkdir()
    shutil.move(made.path, folder / "resume.pt")
    words = [*TRAIN, *RESUMED[made.seed], "--resume", "-o", str(folder / "ckpt.pt")]
    ended = command(words, ("resume.pt", "ckpt.pt", "epoch"))
    if ended.code == 0:
        load_checkpoint(folder / "ckpt.pt")
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        if [json.loads(line).get("epoch") for line in lines] != [1, 2]:
            raise Failed("accepted: another number of epochs", str(lines))
    return ACCEPTED if ended.code == 0 else REFUSED


# Trees of JSON and TOML


def _change_json(rng: Rng, made: Input, place: Place) -> None:
    try:
        box = {"top": json.loads(made.path.read_bytes())}
    except (ValueError, RecursionError):
        return
    what = change_tree(rng, box)
    made.path.write_bytes(to_json(box.get("top")))
    made.did(what)


def _change_toml(rng: Rng, made: Input, place: Place) -> None:
    try:
        tree = tomllib.loads(made.path.read_text())
    except (ValueError, RecursionError):
        return
    what = change_tree(rng, tree)
    made.path.write_bytes(to_toml(tree))
    made.did(what)


def _probe_results(rng: Rng, made: Input, place: Place) -> str:
    more = pick(rng, ([], [], ["--markdown"], ["--json", str(place.out / "raw.json")]))
    ended = command(["tables", *more, "--", str(made.path)], made.path.name)
    return ACCEPTED if ended.code == 0 else REFUSED


def _probe_profile(rng: Rng, made: Input, place: Place) -> str:
    try:
        load_profile(str(made.path))
    except SastError as error:
        return refusal(error, made.path.name)
    return _compiled(rng, _network(place), str(made.path))


_networks: dict[str, FloatNetwork] = {}


def _network(place: Place) -> FloatNetwork:
    if not _networks:
        path = place.folder / "fc.pt"
        path.write_bytes(place.seeds.files["pt"]["fc.pt"])
        _networks["fc"] = to_float_network(load_checkpoint(path))
    return _networks["fc"]


def _probe_study(rng: Rng, made: Input, place: Place) -> str:
    ended = command(["sweep", "-o", str(place.out / "runs"), "--dry-run", "--", str(made.path)], made.path.name)
    return ACCEPTED if ended.code == 0 else REFUSED


# The cache of frames


def _change_cache(rng: Rng, made: Input, place: Place) -> None:
    path = made.beside["file"]
    if path.suffix == ".npy":
        _change_npy(rng, made, place)
        return
    try:
        tree = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    if not isinstance(tree, dict):
        return
    tree.pop("digest_of_rest", None)
    what = change_tree(rng, tree)
    if path.name == "meta.json":
        try:
            tree["digest_of_rest"] = digest_of(tree)
        except (TypeError, ValueError, RecursionError):
            tree["digest_of_rest"] = ""
    path.write_bytes(to_json(tree))
    made.did(what)


_sound: dict[str, FrameSet] = {}


def _probe_cache(rng: Rng, made: Input, place: Place) -> str:
    if not _sound:
        _sound["set"] = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=place.base / "cache")
    sound, said = _sound["set"], io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            found = load_frames("nmnist", OPTIONS, data_root=DATA, cache_dir=made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    for name in ("train", "test"):
        split, right = getattr(found, name), getattr(sound, name)
        if split.frames.shape != right.frames.shape or split.frames.dtype != np.uint8:
            raise Failed("accepted: frames of another shape")
        if split.labels.shape != right.labels.shape or len(split.ids) != len(right.ids):
            raise Failed("accepted: labels or ids of another number")
        if split.labels.min() < 0 or split.labels.max() >= len(found.info.classes):
            raise Failed("accepted: labels without a class")
        if split.frames.max() > OPTIONS.clip:
            raise Failed("accepted: frames beyond clip")
    options, classes = found.options, found.info.classes
    fits = (options.steps, options.size) == (OPTIONS.steps, OPTIONS.size)
    if not fits or not all(isinstance(name, str) for name in classes):
        raise Failed("accepted: other options or classes")
    json.dumps(found.info.to_dict())
    return ACCEPTED


# Arrays and recordings


def _change_npy(rng: Rng, made: Input, place: Place) -> None:
    path = file_of(made)
    content = path.read_bytes()
    if rng.random() < 0.45:
        try:
            array, what = change_array(rng, np.load(io.BytesIO(content)))
        except Exception:  # damaged before
            return
        new = io.BytesIO()
        np.save(new, array)
        path.write_bytes(new.getvalue())
        made.did(what)
        return
    size = struct.unpack_from("<H", content, 8)[0] if len(content) > 10 else 0
    header, version, body = str(pick(rng, HEADERS)), int(pick(rng, (1, 1, 1, 1, 2, 3, 4, 255))), content[10 + size :]
    head = header.encode("utf-8", "surrogatepass")
    length = struct.pack("<H" if version == 1 else "<I", len(head) if rng.random() < 0.9 else 60_000)
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + head + body)
    made.did(f"header {header[:50]!r}")


_HEADER = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n"
HEADERS = (
    *(_HEADER.format(d, "False", "(5, 8)") for d in ("'|O'", "'|u1'", "'<f8'", "'V9'", "[('a','<i4')]", "'<U4'", "3",
      "'<i99'", "'|O8'", "[('a','|O')]", "None", "'<M8[s]'", "'>c16'", "''", "'?'", "('<i4', (2,))")),
    *(_HEADER.format("'|u1'", "False", s) for s in ("(5, 8", "(-1, 8)", "(2**62, 8)", "(99999999999, 99999999)", "()",
      "(0,)", "(5, 8, True)", "(5.0, 8)", "5", "'x'", "(1,)*40", "(" + "1," * 70 + ")", "(4611686018427387904, 4)")),
    *(_HEADER.format("'|u1'", f, "(5, 8)") for f in ("True", "1", "None", "'x'")),
    *("", "{}", "[]", "{", "{'descr': '|u1'}", "__import__('os').system('touch owned')", "(" * 3000, "9" * 5000, "\0"),
    *("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8), 'more': 1}", "{1: 2, 'shape': (5, 8)}"),
)  # fmt: skip


def _probe_npy(rng: Rng, made: Input, place: Place) -> str:
    net = place.folder / "in" / "seed.net"
    _write(net, place.seeds.files["stock"][made.seed.replace(".npy", ".net")])
    return _run_stock(rng, net, made.path, (made.path.name, net.name), place)


def _change_idx(rng: Rng, made: Input, place: Place) -> None:
    path = made.beside["file"]
    if path.suffix == ".gz":
        _change_gzip(rng, made)
        return
    data = bytearray(path.read_bytes())
    at = int(rng.integers(0, min(len(data), 16))) if data else 0
    if rng.random() < 0.5 and len(data) > 8:
        where = pick(rng, (4, 8)) if len(data) > 12 else 4
        struct.pack_into(">I", data, where, int(pick(rng, INTEGERS)) & 0xFFFFFFFF)
        what = "a length in the header"
    elif data:
        data[at] = int(rng.integers(256))
        what = f"byte {at}"
    else:
        return
    path.write_bytes(bytes(data))
    made.did(what)


def _change_gzip(rng: Rng, made: Input) -> None:
    path = made.beside["file"]
    content = path.read_bytes()
    way = int(rng.integers(5))
    if way == 0:
        stream, checksum = archives.bomb()
        head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        path.write_bytes(head + stream + struct.pack("<II", checksum, archives.BOMB & 0xFFFFFFFF))
        made.did("a bomb", "unpacks to far more than it may")
    elif way == 1:
        path.write_bytes(content + content)
        made.did("twice")
    elif way == 2:
        path.write_bytes(content + bytes(rng.integers(1, 9)) + b"x" * int(rng.integers(2)))
        made.did("more behind")
    else:
        changed, what = change_bytes(rng, zlib.decompress(content, 31)) if way == 3 else (content, "")
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        new = packer.compress(changed) + packer.flush()
        path.write_bytes(new if way == 3 else change_bytes(rng, new)[0])
        made.did(what or "gzip damaged")


def _probe_idx(rng: Rng, made: Input, place: Place) -> str:
    split: Any = "Test" if file_of(made).name.startswith("t10k") else "Train"
    try:
        images, labels = read_mnist(made.path, split)
    except SastError as error:
        return refusal(error, made.path.name)
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise Failed("accepted: images or labels out of range")
    return ACCEPTED


def _change_bin(rng: Rng, made: Input, place: Place) -> None:
    data = bytearray(made.path.read_bytes())
    if data:
        at = int(rng.integers(len(data) // 5 or 1)) * 5 + int(rng.integers(5))
        data[min(at, len(data) - 1)] = int(pick(rng, (0, 33, 34, 127, 128, 240, 255)))
        made.path.write_bytes(bytes(data))
        made.did(f"byte {at % 5} of an event")


def _probe_bin(rng: Rng, made: Input, place: Place) -> str:
    try:
        events = read_nmnist(made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    check_events(events, NMNIST_SENSOR, "accepted")
    return ACCEPTED


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


def _compile_kernels() -> None:
    rng = np.random.default_rng(0)
    for build, factor in itertools.product((fc_program, conv_program, rich_program), (1, 100, 1_000_000)):
        with hdf5.unchecked(), contextlib.suppress(SastError):
            program = build(rng)
            wider = [replace(each, weight=each.weight * factor) if hasattr(each, "weight") else each
                     for each in program.layers]  # fmt: skip
            program = replace(program, layers=tuple(wider))
            for trace, batch in itertools.product((True, False), (None, 1)):
                run_fast(program, random_frames(rng, program, 2), trace=trace, batch=batch, threads=1)


def _wide_inputs(place: Place) -> None:
    """Strangers' inputs of every width."""
    for name, content in place.seeds.files["stock"].items():
        net, array = place.folder / "in" / "x.net", place.folder / "in" / "x.npy"
        _write(net, content)
        values = np.load(io.BytesIO(place.seeds.stock_inputs[name.replace(".net", ".npy")])).astype(np.int64)
        for factor, bits in itertools.product((1, -1, 300, -300, 70_000), ("0", "8", "16", "24")):
            np.save(array, values * factor)
            words = ["simulate", str(net), "--input", str(array), "--message-bits", bits, "--backend", "fast"]
            with contextlib.suppress(Failed):
                command([*words, "-o", str(place.out / "x.npz"), "--overwrite"], "x")


def clear(place: Place) -> None:
    """Remove what an input left."""
    for name in ("in", "out"):
        shutil.rmtree(place.folder / name, ignore_errors=True)
        (place.folder / name).mkdir()


_LIST = (
    Target("net", ".net", structured(_change_hdf5, 0.1), _probe_net, _mend),
    Target("stock", ".net", structured(_change_stock, 0.1), _probe_stock),
    Target("pt", ".pt", structured(_change_archive, 0.1), _probe_checkpoint),
    Target("results", ".json", structured(_change_json, 0.1), _probe_results),
    Target("resume", ".pt", structured(_change_archive, 0.1), _probe_resume),
    Target("profile", ".toml", structured(_change_toml), _probe_profile),
    Target("study", ".toml", structured(_change_toml), _probe_study, names_files=True),
    Target("cache", "", structured(_change_cache), _probe_cache, folder=True, rebuilds=True),
    Target("idx", "", structured(_change_idx, 0.3), _probe_idx, folder=True),
    Target("idxgz", "", structured(_change_idx, 0.2), _probe_idx, folder=True),
    Target("bin", ".bin", structured(_change_bin, 0.5), _probe_bin),
    Target("npy", ".npy", structured(_change_npy), _probe_npy),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _LIST}
