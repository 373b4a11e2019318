"""Every reader against what is no regular file, and against good files of every other kind."""

from __future__ import annotations

import os
import socket

import pytest

from tests.attacks.readers import GOOD, READERS, RECORDINGS, commands, named, place
from tools.fuzzing.inputs import OTHER_FILES

EVERY = [(kind, index) for kind in READERS for index in range(len(commands(kind)))]


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def loop(path):
    path.symlink_to(path.name)


def nowhere(path):
    path.symlink_to("missing")


def unix_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # such a name may have 107 bytes only
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)
    os.chdir(here)


def empty(path):
    path.touch()


def sparse(path):
    path.touch()
    os.truncate(path, 50 << 30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "index", "node"),
    # A file of a folder's that is not there is not listed.
    [
        (kind, index, node)
        for kind, index in EVERY
        for node in (fifo, folder, device, loop, nowhere, unix_socket, empty, sparse)
        # A recording's folder is a class's.
        if not (kind in ("bin", "idx", "idxgz") and node in (loop, nowhere))
    ],
)
def test_only_regular_files_of_a_sensible_size(kind, index, node, seeds, work, refuses):
    path = place(kind, seeds, work)
    path.unlink()
    node(path)
    hostile = node in (fifo, device, sparse, unix_socket)
    name = {"bin": "x.bin", "idx": "train-images", "idxgz": "train-images"}.get(kind, named(kind))
    refuses(commands(kind)[index], name, child=hostile and index == 0)


@pytest.mark.parametrize("content", OTHER_FILES, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("kind", READERS)
def test_the_first_bytes_of_other_kinds(kind, content, seeds, work, refuses):
    path = place(kind, seeds, work)
    path.write_bytes(content)
    for words in commands(kind)[:2]:
        refuses(words, named(kind))


def alike(kind, other):
    """The same kind, or one that the same command takes."""
    same = ({"net", "stock"}, {"idx", "idxgz"}, {"bin", "bs2"}, {"pt", "imported"})
    recordings = {*RECORDINGS, "bin"} - {"bs2"}
    return kind == other or {kind, other} in same or (kind in RECORDINGS and other in recordings)


@pytest.mark.parametrize(
    ("kind", "other"), [(kind, other) for kind in READERS for other in GOOD if not alike(kind, other)]
)
def test_good_files_of_another_kind(kind, other, seeds, work, refuses):
    path = place(kind, seeds, work)
    path.write_bytes(seeds.files[other][GOOD[other]])
    for words in commands(kind)[(kind, other) == ("net", "imported") :][:2]:  # `inspect` takes both
        refuses(words, named(kind))
