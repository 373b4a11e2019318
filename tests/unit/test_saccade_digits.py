"""The embedded data set digits-saccade: built once, whole, the same bytes everywhere."""

from __future__ import annotations

import hashlib

import pytest

from sast_deploy.base.files import default_cache_dir
from sast_deploy.data.camera import saccade
from sast_deploy.data.camera.digits import digit_images
from sast_deploy.data.camera.saccade import build_digits
from sast_deploy.data.readers.nmnist import MARKER, read_marker

pytestmark = pytest.mark.slow

# The first five digits; a change of these bytes must go with a new GENERATOR_VERSION.
GOLDEN = "a48ad1a9154e65ed638e7988d2beccc3c2c0b772b2fd3cc33baf0c39a95f84dd"


def test_the_digits_are_built_whole_and_taken_from_the_cache():
    root = build_digits(default_cache_dir())
    files = sorted(root.glob("*/*/*.bin"), key=lambda path: path.name)
    assert [int(path.stem) for path in files] == list(range(1, 1798))
    assert len(list(root.glob("Test/*/*.bin"))) == 449
    before = (root / MARKER).stat().st_mtime_ns
    assert build_digits(default_cache_dir()) == root
    assert (root / MARKER).stat().st_mtime_ns == before
    assert "UCI optdigits" in read_marker(root)["source"]
    assert hashlib.sha256(b"".join(path.read_bytes() for path in files[:5])).hexdigest() == GOLDEN


def test_a_damaged_cache_is_built_again(tmp_path, monkeypatch):
    images, labels = digit_images()
    monkeypatch.setattr(saccade, "digit_images", lambda: (images[:40], labels[:40]))
    root = build_digits(tmp_path)
    lost = min(root.glob("Train/*/*.bin"))
    content = lost.read_bytes()
    lost.unlink()
    assert build_digits(tmp_path) == root
    assert lost.read_bytes() == content
