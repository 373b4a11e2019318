"""What is written once: the label of a layer, and every constant that has one meaning."""

from __future__ import annotations

import re
from pathlib import Path

from sast_deploy.program.program import SumPool, layer_label

PACKAGE = Path(__file__).resolve().parents[2] / "sast_deploy"
SOURCES = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}


def test_the_label_of_a_layer():
    assert layer_label(2, SumPool((2, 2))) == "layer 2 (pool)"
    # Other people's files are read by groups, which are no layers yet.
    homes = {name for name, text in SOURCES.items() if re.search(r"layer \{[^}]*\} \(\{", text)}
    assert {name for name in homes if not name.startswith("netx/foreign/")} <= {
        "program/program.py",
        "training/surrogate_tails.py",  # a share in the brackets, not a kind
    }
