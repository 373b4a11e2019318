"""`--to nir`: a network as a NIR graph, for whoever reads NIR or for one framework's reader."""

from __future__ import annotations

import io

import nir
import numpy as np

from sast_deploy.exchange import ANY_READER
from sast_deploy.exchange.artefacts import Artefacts, Part
from sast_deploy.exchange.nir.exporter import graph_of
from sast_deploy.exchange.subject import Subject

README = """# {name}.nir

A network of sast-deploy as a NIR graph (https://neuroir.org), {whom}.
Program {digest}.
{notes}
    python -c "import nir; print(nir.read('{name}.nir'))"
"""
WHOLE = """whole: its integers, and the rules that NIR has no field for, stand in the graph's
metadata, and `sast-deploy import {name}.nir -o again.net` restores them"""


def write_nir(subject: Subject, reader: str) -> Artefacts:
    """NAME.nir and README.md. Raises ExchangeError: what NIR, or the reader, cannot express."""
    target = None if reader == ANY_READER else reader
    graph, notes = graph_of(subject.program, target, name=subject.program.name, where=subject.name)
    content = io.BytesIO()
    nir.write(content, graph)
    parts = tuple(
        Part(name, sum(value.nbytes for value in vars(node).values() if isinstance(value, np.ndarray)), 0)
        for name, node in graph.nodes.items()
    )
    told = "".join(f"\n- {note}" for note in notes)
    whom = WHOLE.format(name=subject.name) if target is None else f"for {reader}'s reader"
    text = README.format(
        name=subject.name, whom=whom, digest=subject.program.digest(), notes=told and f"{told}\n"
    )
    files = {f"{subject.name}.nir": content.getvalue(), "README.md": text.encode()}
    return Artefacts(files, tuple(part for part in parts if part.constant), "", notes)
