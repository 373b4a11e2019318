"""What a .net file was trained as: its checkpoint, where that is still the same, and its real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sast_deploy import api
from sast_deploy.base.errors import SastError
from sast_deploy.base.files import file_digest
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.exchange.network import ImportedNetwork
from sast_deploy.training.checkpoint import Checkpoint, to_float_network

Trained = Checkpoint | ImportedNetwork


def float_network(trained: Trained) -> FloatNetwork:
    """What the compiler reads of it."""
    return trained.network if isinstance(trained, ImportedNetwork) else to_float_network(trained)


def trained_of(recorded: Mapping[str, Any]) -> tuple[Trained | None, Path | None, str]:
    """The checkpoint that a .net file names, where it is still the same, and its path; else why it is not.

    recorded: `NetFile.checkpoint`.
    """
    named, digest = recorded.get("path"), recorded.get("digest")
    if named is None:
        return None, None, "the file of the trained network is not recorded"
    path = Path(named)
    if not path.is_file():
        return None, None, f"{named}, which it was compiled from, is not there"
    if file_digest(path) != digest:
        return None, None, f"{named} is not the file that it was compiled from any more"
    try:
        return api.load_trained(path), path, ""
    except SastError as error:
        return None, None, f"{named}, which it was compiled from, cannot be read: {error}"
