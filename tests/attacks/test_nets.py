"""Our .net files, altered, with all digests made right again: only the reader is left to refuse them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import NetFileError
from sast_deploy.netx.file import read_net
from tests.attacks.readers import commands, place
from tools.fuzzing.hdf5 import datasets, make_older, mend

INT32 = 2**31 - 1
PROGRAM, FIRST, LAST = "sast/program", "sast/program/layers/0", "sast/program/layers/2"


def ints(*values):
    return np.array(values, np.int32)


# seed, dataset, the value in place of its own: each passed a check of digests once, or is a relative of one
NONSENSE = {
    "a thousand biases for ten classes": ("fc", f"{LAST}/bias", np.zeros(1000, np.int32)),
    "biases of a readout in two axes": ("fc", f"{LAST}/bias", np.zeros((10, 1), np.int32)),
    "no bias": ("fc", f"{FIRST}/bias", np.zeros(0, np.int32)),
    "a negative delay": ("fc", f"{FIRST}/delay", ints(-5)),
    "a delay of 64": ("fc", f"{FIRST}/delay", ints(64)),
    "a delay of a convolution for each channel": ("conv", f"{FIRST}/delay", ints(0, 0, 0)),
    "a readout's delay of two": ("fc", f"{LAST}/delay", ints(0, 0)),
    "reset substract": ("fc", f"{PROGRAM}/arithmetic/reset", np.bytes_("substract")),
    "reset in no order": ("fc", f"{PROGRAM}/arithmetic/reset_order", np.bytes_("sideways")),
    "overflow of no name": ("fc", f"{PROGRAM}/arithmetic/overflow", np.bytes_(" ")),
    "leak rounded as a shift": ("fc", f"{PROGRAM}/arithmetic/leak_rounding", np.bytes_("nearest")),
    "comparison <": ("fc", f"{PROGRAM}/arithmetic/comparison", np.bytes_("<")),
    "v_decay 5000": ("fc", f"{FIRST}/v_decay", ints(5000)),
    "v_decay below 0": ("fc", f"{FIRST}/v_decay", ints(-1)),
    "u_decay 4097": ("fc", f"{FIRST}/u_decay", ints(4097)),
    "a readout's v_decay 4097": ("fc", f"{LAST}/v_decay", ints(4097)),
    "a readout's u_decay below 0": ("fc", f"{LAST}/u_decay", ints(-1)),
    "a readout's v_decay of three for ten classes": ("fc", f"{LAST}/v_decay", ints(1, 2, 3)),
    "a readout's v_decay in fractions": ("fc", f"{LAST}/v_decay", np.full(1, 0.5)),
    "a readout decoded by its median": ("fc", f"{LAST}/decoding", np.bytes_("median")),
    "a readout decoded by a number": ("fc", f"{LAST}/decoding", 1),
    "a decoding of a layer that spikes": ("fc", f"{FIRST}/decoding", np.bytes_("max")),
    "state of 40 bits": ("fc", f"{PROGRAM}/arithmetic/state_bits", 40),
    "state of 1 bit": ("fc", f"{PROGRAM}/arithmetic/state_bits", 1),
    "more fraction bits than bits": ("fc", f"{PROGRAM}/arithmetic/state_fraction_bits", 60),
    "weights of 0 bits": ("fc", f"{PROGRAM}/arithmetic/weight_bits", 0),
    "weights wider than their bits": ("fc", f"{FIRST}/weight", np.full((7, 72), 100, np.int32)),
    "weights as fractions": ("fc", f"{FIRST}/weight", np.full((7, 72), 0.5)),
    "weights beyond 32 bits": ("fc", f"{FIRST}/weight", np.full((7, 72), 2**40)),
    "complex weights": ("fc", f"{FIRST}/weight", np.full((7, 72), 1j)),
    "weights of three axes": ("fc", f"{FIRST}/weight", np.zeros((7, 72, 1), np.int32)),
    "a single weight": ("fc", f"{FIRST}/weight", 1),
    "weights of other inputs": ("fc", f"{FIRST}/weight", np.ones((7, 71), np.int32)),
    "weight_exp 100": ("fc", f"{FIRST}/weight_exp", 100),
    "weight_exp -100": ("fc", f"{FIRST}/weight_exp", -100),
    "weight_exp of two": ("fc", f"{FIRST}/weight_exp", ints(0, 0)),
    "thresholds of 2**40": ("fc", f"{FIRST}/vth", np.full(7, 2**40)),
    "reset_interval -3": ("fc", f"{PROGRAM}/reset_interval", -3),
    "reset_offset beyond the interval": ("fc", f"{FIRST}/reset_offset", 5),
    "reset_offset -1": ("fc", f"{FIRST}/reset_offset", -1),
    "steps inf": ("fc", f"{PROGRAM}/steps", np.inf),
    "steps nan": ("fc", f"{PROGRAM}/steps", np.nan),
    "steps 0": ("fc", f"{PROGRAM}/steps", 0),
    "steps -1": ("fc", f"{PROGRAM}/steps", -1),
    "steps 2**31": ("fc", f"{PROGRAM}/steps", 2**31),
    "steps True": ("fc", f"{PROGRAM}/steps", True),
    "input_max 0": ("fc", f"{PROGRAM}/input_max", 0),
    "input_max -1": ("fc", f"{PROGRAM}/input_max", -1),
    "input_max 2**31": ("fc", f"{PROGRAM}/input_max", 2**31),
    "an input of four axes": ("fc", f"{PROGRAM}/input_shape", ints(1, 2, 6, 6)),
    "an input of no neurons": ("fc", f"{PROGRAM}/input_shape", ints(0, 6, 6)),
    "an input of minus one": ("fc", f"{PROGRAM}/input_shape", ints(-1, 6, -12)),
    "an input of 2**62": ("fc", f"{PROGRAM}/input_shape", np.array([2**62, 4, 1])),
    "classes that are numbers": ("fc", f"{PROGRAM}/classes", np.bytes_("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]")),
    "classes that are an object": ("fc", f"{PROGRAM}/classes", np.bytes_('{"a": 1}')),
    "classes nested deeply": ("fc", f"{PROGRAM}/classes", np.bytes_("[" * 100_000)),
    "one class": ("fc", f"{PROGRAM}/classes", np.bytes_('["a"]')),
    "a name that is a number": ("fc", f"{PROGRAM}/name", 3),
    "a name that is no UTF-8": ("fc", f"{PROGRAM}/name", np.bytes_(b"\xff\xfe")),
    "a kind of layer of no name": ("fc", f"{FIRST}/kind", np.bytes_("sparse")),
    "a pool of a dense layer": ("fc", f"{FIRST}/kind", np.bytes_("pool")),
    "a dense layer of a convolution": ("conv", f"{FIRST}/kind", np.bytes_("dense")),
    "stride 0": ("conv", f"{FIRST}/stride", ints(0, 0)),
    "stride -1": ("conv", f"{FIRST}/stride", ints(-1, 1)),
    "stride of three": ("conv", f"{FIRST}/stride", ints(1, 1, 1)),
    "dilation 0": ("conv", f"{FIRST}/dilation", ints(0, 1)),
    "padding -1": ("conv", f"{FIRST}/padding", ints(-1, -1)),
    "padding 2**30": ("conv", f"{FIRST}/padding", ints(2**30, 2**30)),
    "groups 0": ("conv", f"{FIRST}/groups", 0),
    "groups -1": ("conv", f"{FIRST}/groups", -1),
    "groups 2": ("conv", f"{FIRST}/groups", 2),
    "a kernel of no rows": ("conv", f"{FIRST}/weight", np.zeros((3, 2, 0, 3), np.int32)),
    "pool kernel 0": ("conv", "sast/program/layers/2/kernel", ints(0, 0)),
    "pool kernel -1": ("conv", "sast/program/layers/2/kernel", ints(-1, 3)),
    "pool exponent 100": ("conv", "sast/program/layers/2/exponent", 100),
    "known frames beyond input_max": ("fc", "sast/known_answers/frames", None),
    "known logits of other classes": ("fc", "sast/known_answers/logits", np.zeros((4, 3), np.int64)),
    "known samples half": ("fc", "sast/known_answers/samples", 0.5),
    "known samples of another number": ("fc", "sast/known_answers/samples", 3),
    "known samples nan": ("fc", "sast/known_answers/samples", np.nan),
    "known digests that are a number": ("fc", "sast/known_answers/trace_digests", np.bytes_("3")),
    "known digests that are no texts": (
        "fc", "sast/known_answers/trace_digests", np.bytes_('[{"a": 1}, 2, null, []]'),
    ),
    "frames that are a list": ("fc", "sast/frames", np.bytes_("[]")),
    "data that is null": ("fc", "sast/data", np.bytes_("null")),
    "data of a huge number": ("fc", "sast/data", np.bytes_('{"n_train": ' + "9" * 5000 + "}")),
    "created nested deeply": ("fc", "sast/created", np.bytes_('{"a":' * 5000 + "1" + "}" * 5000)),
    "strict_reset 7": ("fc", "sast/strict_reset", 7),
    "format_version 3": ("fc", "sast/format_version", 3),
    "format_version 1.5": ("fc", "sast/format_version", 1.5),
    "format_version of two": ("fc", "sast/format_version", ints(2, 2)),
}


def alter(path, name, value):
    with h5py.File(path, "r+") as file:
        if value is None:
            value = file[name][()]
            value.flat[0] = 255
        if name in file:
            del file[name]
        file[name] = value
        mend(file)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_with_right_digests(kind, version, seeds, work, refuses):
    seed, name, value = NONSENSE[kind]
    path = place("net", seeds, work)
    path.write_bytes(seeds.files["net"][f"{seed}-loihi-int4.net"])
    alter(path, name, value)
    if version == 1 and name != "sast/format_version":
        with h5py.File(path, "r+") as file:
            make_older(file)
    for words in commands("net")[: 4 if version == 2 else 1]:
        # What crashed the interpreter once, does so in a process of its own.
        refuses(
            words, "x.net", child=kind in ("a thousand biases for ten classes",) and words[0] == "simulate"
        )


def external(file, name, secret):
    old = np.asarray(file[name][()])
    del file[name]
    size = max(old.nbytes, 1)
    file.create_dataset(name, old.shape or (1,), "u1", external=[(str(secret / "secret.raw"), 0, size)])


def virtual(file, name, secret):
    del file[name]
    layout = h5py.VirtualLayout((3, 3), "i4")
    layout[...] = h5py.VirtualSource(str(secret / "secret.h5"), "values", (3, 3))
    file.create_virtual_dataset(name, layout)


def virtual_of_itself(file, name, secret):
    del file[name]
    layout = h5py.VirtualLayout((3, 3), "i4")
    layout[...] = h5py.VirtualSource(".", name, (3, 3))
    file.create_virtual_dataset(name, layout)


def external_link(file, name, secret):
    del file[name]
    file[name] = h5py.ExternalLink(str(secret / "secret.h5"), "/values")


def soft_link_to_nowhere(file, name, secret):
    del file[name]
    file[name] = h5py.SoftLink("/nowhere")


def soft_link_to_itself(file, name, secret):
    del file[name]
    file[name] = h5py.SoftLink(f"/{name}")


def a_group_around_it(file, name, secret):
    parent, _, last = name.rpartition("/")
    del file[name]
    file[parent][last] = file[parent]


def a_group(file, name, secret):
    del file[name]
    file.create_group(name)


def missing(file, name, secret):
    del file[name]


def empty_space(file, name, secret):
    del file[name]
    file[name] = h5py.Empty("i4")


def a_named_type(file, name, secret):
    del file[name]
    file[name] = np.dtype("i4")


def records(file, name, secret):
    del file[name]
    file.create_dataset(name, (2,), dtype=[("a", "i4"), ("b", "f8")])


def references(file, name, secret):
    del file[name]
    file.create_dataset(name, (2,), dtype=h5py.special_dtype(ref=h5py.Reference))


def texts_of_any_length(file, name, secret):
    del file[name]
    file.create_dataset(name, (100,), dtype=h5py.string_dtype())


def never_written(file, name, secret):
    del file[name]
    file.create_dataset(name, (168, 6_000_000), "i4", chunks=(168, 6000), compression="gzip")


def fractions(file, name, secret):
    old = np.asarray(file[name][()])
    del file[name]
    file[name] = np.full(old.shape, 0.5)
    mend(file)


def six_axes(file, name, secret):
    del file[name]
    file[name] = np.ones((1, 1, 1, 1, 1, 2), np.int32)
    mend(file)


REACHING = (
    external,
    virtual,
    virtual_of_itself,
    external_link,
    soft_link_to_nowhere,
    soft_link_to_itself,
    a_group_around_it,
    never_written,
)
NODES = (
    *REACHING,
    a_group,
    missing,
    empty_space,
    a_named_type,
    records,
    references,
    texts_of_any_length,
    fractions,
    six_axes,
)
MENDED = (fractions, six_axes)
# Files from before calibration have none; what mending has made right again is right.
OPTIONAL = {("missing", "sast/calibration")}
RIGHT_AGAIN = ("layer/", "sast/digest", "sast/program_digest", "sast/known_answers/checksums")


def refusal(reader, *arguments):
    """What a reader says of a file that it refuses; "" where it takes it."""
    try:
        reader(*arguments)
    except NetFileError as error:
        return str(error)
    return ""


def attacked(change, number, name):
    """Whether to try it: what reaches out with every dataset, the others with each third one."""
    if (change.__name__, name) in OPTIONAL or (change in MENDED and name.startswith(RIGHT_AGAIN)):
        return False
    if name.startswith("layer/") and change is missing:
        return False  # stock NetX's half may say less
    return change in REACHING or (number + NODES.index(change)) % 3 == 0


@pytest.mark.slow
@pytest.mark.parametrize("change", NODES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("seed", ["fc-loihi-int4.net", "rich.net"])
def test_every_dataset(change, seed, seeds, made, work):
    """Derived from the files themselves: a dataset that is added later is attacked, too."""
    path = work / "x.net"
    path.write_bytes(seeds.files["net"][seed])
    with h5py.File(path) as file:
        names = datasets(file)
    assert len(names) > 40
    for number, name in enumerate(names):
        if not attacked(change, number, name):
            continue
        path.write_bytes(seeds.files["net"][seed])
        with h5py.File(path, "r+") as file:
            change(file, name, made[0])
        message = refusal(read_net, path)
        assert message, f"{name} accepted"
        assert "x.net" in message, name
        assert len(message.splitlines()) == 1, name
        assert len(message) < 2000, name
