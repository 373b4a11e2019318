"""Which recordings are N-MNIST's own: known by the content of a few, the first of each digit in either split.

A layout and a number of files prove nothing: simulated recordings have the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from sast_deploy.data.events import read_event_bytes

# SHA-256 of the first recording of each digit.
KNOWN = {
    "Test/0/00004.bin": "24fd8b60fd0ddb5939dfe12575eeaf5ba52c2830e5c9486112d9caa6e2359235",
    "Test/1/00003.bin": "75343d7f4ab2fe2e4e35f474f6b6a734a82a71f54a1de77770a20e74888815ee",
    "Test/2/00002.bin": "95d7ff1d758f3ecb8d8f56bd53599b2dbee8ed7356005caa50b5adf5a3f63d56",
    "Test/3/00019.bin": "3993abb2794c673c1bf649f2f7ab1e1601f826274d0e4d38c572228fd6eaf6ce",
    "Test/4/00005.bin": "5bc6f5ed06293702a3340763653195e1471c03d5bd9c129960e2be373350c99e",
    "Test/5/00009.bin": "ebab4b1dc5e3d9194d5b4087a2f24bcb5eaeb6446240fae61a71d3b7d2e461b1",
    "Test/6/00012.bin": "cd1107b7fa7f4fa7b614eeeabd0d8aa116245b18feeabf592ddba03d45cc2023",
    "Test/7/00001.bin": "92f8f43989b915051839c56b2fa7275132eae8fb1be7066593c74ff19177cc1f",
    "Test/8/00062.bin": "7e040b047b9128ff906e0d8d5643cf9adbdd0e2afd52b866db84922c7f1ac230",
    "Test/9/00008.bin": "53c9cbc248c1cc96e41f6e10c7af704477f81e3946301975e91a720dcabb5bc8",
    "Train/0/00002.bin": "55d0a4a621a4541fd60aaac6f88434aa35c1ad790b90756076e07a9e31459d93",
    "Train/1/00004.bin": "9f343985cda40b47dcdde8955e278eb36b2fa06696e69e51004096a88ff22228",
    "Train/2/00006.bin": "a6f874e6ed1fae46b180be1be6ac605da5df6236f6b5b111bf114075e6fe46f9",
    "Train/3/00008.bin": "5ee76aa69cc21f4c0d25d914544d24133ee7e44d5e7d9d25f850cd240201401d",
    "Train/4/00003.bin": "7b9eb8ce8da681de9967e4fc86edba7926ebe2997111f7052a531924d9156e3b",
    "Train/5/00001.bin": "731734ed162f7f53036edcb67127e0e3c10660d87af639599ab3503ed462d0d6",
    "Train/6/00014.bin": "6ecbff3c7cefbed014d915c7904cee797416c583d7b9fea3ff6679d258f90c0b",
    "Train/7/00016.bin": "ed08bfba3ba4a3cfb7e3e1c1b4b4c6e110b09cd6b50c7446865636c999124462",
    "Train/8/00018.bin": "9982e0bbc948f05fa999a6e6421cd9ddb39c0be4210b9c5c5be16696e0713e02",
    "Train/9/00005.bin": "0fb33c20a084406a645f9a21c741a65c2eba4b3508886afcfc2ece60f3357afa",
}
LAST = {"Train": 60_000, "Test": 10_000}  # number of a split's last recording
SUSPECT = "in N-MNIST's layout, not verified"


def nmnist_provenance(folder: Path) -> str:
    """Where recordings in N-MNIST's layout come from, and what of it was verified; one sentence."""
    there = {name: digest for name, digest in KNOWN.items() if (folder / name).is_file()}
    other = [name for name, digest in there.items() if _digest(folder / name) != digest]
    if other:
        return f"recordings {SUSPECT}: {other[0]} is not N-MNIST's; from {folder}"
    digits = _digits(folder)
    missing = [name for name in KNOWN if name.rpartition("/")[0] in digits and name not in there]
    if there and missing:
        found = f"{len(there)} of {len(KNOWN)} known ones are there, {missing[0]} is not"
        return f"recordings {SUSPECT}: {found}; from {folder}"
    strange = next((name for digit in digits for name in _strange(folder, digit)), None)
    if strange:
        return f"recordings {SUSPECT}: N-MNIST has no {strange}; from {folder}"
    if not there:
        return f"recordings {SUSPECT}: none of {len(KNOWN)} known ones is among them; from {folder}"
    verified = f"{len(there)} of {len(KNOWN)} known ones are there, with N-MNIST's SHA-256"
    return f"real N-MNIST recordings from {folder} (verified: {verified})"


def _digits(folder: Path) -> list[str]:
    """The digits of either split that have recordings, as in "Train/0"."""
    names = {name.rpartition("/")[0] for name in KNOWN}
    return sorted(name for name in names if any((folder / name).glob("*.bin")))


def _strange(folder: Path, digit: str) -> Iterator[str]:
    """Recordings whose numbers N-MNIST does not have in that split, from 1 on, of five figures."""
    last = LAST[digit.partition("/")[0]]
    for name in sorted(path.name for path in (folder / digit).glob("*.bin")):
        if not re.fullmatch(r"[0-9]{5}\.bin", name) or not 1 <= int(name[:5]) <= last:
            yield f"{digit}/{name}"


def _digest(path: Path) -> str:
    return hashlib.sha256(read_event_bytes(path)).hexdigest()
