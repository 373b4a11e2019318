"""Checkpoints and unfinished trainings: code, bombs, tensors that are none, values of other types."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch

from tests.attacks.readers import commands, place
from tools.fuzzing import archives, marker

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, about what is made here
HUGE = torch.tensor(0.0).expand(60_000, 60_000)
WRONG = {
    "none": None,
    "a list": [1],
    "a text": "x",
    "nan": float("nan"),
    "inf": float("inf"),
    "minus one": -1,
    "a huge number": 10**400,
    "a tensor": torch.ones(2),
    "an empty dictionary": {},
    "a complex number": 1j,
}
TENSORS = {
    "nan": lambda t: t * float("nan"),
    "inf": lambda t: t + float("inf"),
    "doubles": lambda t: t.double(),
    "halves": lambda t: t.half(),
    "complex": lambda t: t.to(torch.complex64),
    "integers": lambda t: t.to(torch.int64),
    "sparse": lambda t: t.to_sparse(),
    "of no device": lambda t: t.to("meta"),
    "of one axis": lambda t: t.reshape(-1)[None],
    "empty": lambda t: t[:0],
    "huge by strides": lambda t: HUGE,
    "of 2**43 values": lambda t: torch.zeros(1).as_strided((8, 2**40), (0, 0)),
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "a parameter": lambda t: torch.nn.Parameter(t.double()),
    "a list": lambda t: t.tolist(),
    "another's": lambda t: torch.ones(3, 3),
}


def saved(tree):
    content = io.BytesIO()
    torch.save(tree, content)
    return content.getvalue()


def loaded(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("kind", ["pt", "resume"])
@pytest.mark.parametrize("number", range(len(archives.payloads())))
def test_code_does_not_run(kind, number, seeds, work, refuses):
    path = place(kind, seeds, work)
    members = archives._members(path.read_bytes())
    hostile = pickle.dumps({"format": "x", "state": archives.payloads()[number]}, protocol=2)
    marker.hits.clear()
    for content in (
        hostile,
        archives.packed([(n, hostile if n.endswith("data.pkl") else d) for n, d in members]),
    ):
        path.write_bytes(content)
        for words in commands(kind)[:2]:
            refuses(words, path.name)
    assert not marker.hits
    assert not (work / "owned").exists()


@pytest.mark.parametrize("kind", ["pt", "resume"])
@pytest.mark.parametrize("member", ["data.pkl", "0", "version", "byteorder"])
def test_bombs(kind, member, seeds, work, refuses):
    path = place(kind, seeds, work)
    members = archives._members(path.read_bytes())
    (index,) = [i for i, (name, _) in enumerate(members) if name.rpartition("/")[2] == member]
    path.write_bytes(archives.with_bomb(members, index))
    assert path.stat().st_size < 10 << 20
    refuses(commands(kind)[0], path.name, child=True)


KEYS = ("format", "version", "network", "state", "recipe", "frames", "data", "seeds", "metrics", "packages")
MAY_BE_EMPTY = ("seeds", "metrics", "packages")


@pytest.mark.parametrize(
    ("key", "value"),
    [(k, v) for k in KEYS for v in WRONG if k not in MAY_BE_EMPTY or v != "an empty dictionary"],
)
def test_values_of_another_type(key, value, seeds, work, refuses):
    path = place("pt", seeds, work)
    path.write_bytes(saved({**loaded(path), key: WRONG[value]}))
    refuses(commands("pt")[0], "x.pt")


@pytest.mark.parametrize(
    "value", ["none", "a list", "nan", "minus one", "a huge number", "a tensor", "a complex number"]
)
@pytest.mark.parametrize("part", ["network", "recipe", "frames", "data"])
def test_every_field_of_another_type(part, value, seeds, work, refuses):
    path = place("pt", seeds, work)
    good = loaded(path)
    for key, old in good[part].items():
        if type(old) is type(WRONG[value]) or (old is None and value == "none"):
            continue
        tree = copy.deepcopy(good)
        tree[part][key] = WRONG[value]
        if value in ("none", "minus one", "a list", "nan") and (
            old is None or isinstance(old, (float, list))
        ):
            continue  # may mean something
        path.write_bytes(saved(tree))
        refuses(commands("pt")[0], "x.pt")


@pytest.mark.parametrize("change", TENSORS)
def test_tensors(change, seeds, work, refuses):
    path = place("pt", seeds, work)
    good = loaded(path)
    for key in ("layers.0.weight", "readout.bias", "theta_0"):
        tree = {**good, "state": {**good["state"], key: TENSORS[change](good["state"][key])}}
        path.write_bytes(saved(tree))
        refuses(commands("pt")[0], "x.pt")


@pytest.mark.parametrize(
    "key", ["epoch", "weights", "optimizer", "mean", "best", "best_epoch", "history", "setting"]
)
@pytest.mark.parametrize(
    "value", ["none", "a text", "nan", "minus one", "a huge number", "a tensor", "a complex number"]
)
def test_unfinished_trainings_of_other_types(key, value, seeds, work, refuses):
    path = place("resume", seeds, work)
    path.write_bytes(saved({**loaded(path), key: WRONG[value]}))
    refuses(commands("resume")[0], "resume.pt")


@pytest.mark.parametrize("change", TENSORS)
@pytest.mark.parametrize("part", ["weights", "best", "moments"])
def test_tensors_of_unfinished_trainings(part, change, seeds, work, refuses):
    path = place("resume", seeds, work)
    tree = loaded(path)
    holder = tree["optimizer"]["state"][0] if part == "moments" else tree[part]
    key = "exp_avg" if part == "moments" else "layers.0.weight"
    holder[key] = TENSORS[change](holder[key])
    path.write_bytes(saved(tree))
    refuses(commands("resume")[0], "resume.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 7},
        {"epoch": 0},
        {"best_epoch": 2},
        {"best_epoch": 0},
        {"history": []},
        {"history": [{}]},
        {"history": [3]},
        {"mean": {"x": torch.ones(2)}},
        {"mean": {"theta_0": 3.0}},
        {"weights": {}},
        {"best": {}},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"version": 99},
    ],
    ids=str,
)
def test_unfinished_trainings_that_contradict_themselves(changes, seeds, work, refuses):
    path = place("resume", seeds, work)
    path.write_bytes(saved({**loaded(path), **changes}))
    refuses(commands("resume")[0], "resume.pt")


@pytest.mark.parametrize("value", [0.0, -1.0, 0.5, -3e38, 3e38, 2.0**24 + 2])
def test_moments_after_a_number_of_steps_that_cannot_be(value, seeds, work, refuses):
    path = place("resume", seeds, work)
    tree = loaded(path)
    tree["optimizer"]["state"][1]["step"] = torch.tensor(value)
    path.write_bytes(saved(tree))
    refuses(commands("resume")[0], "resume.pt")


def test_mean_squares_below_0(seeds, work, refuses):
    path = place("resume", seeds, work)
    tree = loaded(path)
    tree["optimizer"]["state"][1]["exp_avg_sq"].view(-1)[-1] = -1e-30
    path.write_bytes(saved(tree))
    refuses(commands("resume")[0], "resume.pt")


def test_a_history_of_other_epochs(seeds, work, refuses):
    path = place("resume", seeds, work)
    tree = loaded(path)
    tree["history"][0]["epoch"] = -(2**63)
    path.write_bytes(saved(tree))
    refuses(commands("resume")[0], "resume.pt")


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, -1, -22])
@pytest.mark.parametrize("kind", ["pt", "resume"])
def test_cut_off(kind, cut, seeds, work, refuses):
    path = place(kind, seeds, work)
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content)) if isinstance(cut, float) else cut])
    refuses(commands(kind)[0], path.name)


def test_a_changed_storage(seeds, work, refuses):
    """torch itself does not look at the archive's checksums."""
    path = place("pt", seeds, work)
    content = bytearray(path.read_bytes())
    value = loaded(path)["state"]["layers.0.weight"].numpy().astype(np.float32).tobytes()
    content[bytes(content).index(value[:64]) + 5] ^= 1
    path.write_bytes(bytes(content))
    refuses(commands("pt")[0], "x.pt")
