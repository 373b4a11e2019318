"""What is written once: the label of a layer, and every constant that has one meaning."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from sast_deploy.program.program import SumPool, layer_label
from tests.sources import tree

PACKAGE = Path(__file__).resolve().parents[2] / "sast_deploy"
SOURCES = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}


def test_the_label_of_a_layer():
    assert layer_label(2, SumPool((2, 2))) == "layer 2 (pool)"
    # Other people's files are read by groups, which are no layers yet.
    homes = {name for name, text in SOURCES.items() if re.search(r"layer \{[^}]*\} \(\{", text)}
    assert {name for name in homes if not name.startswith("netx/foreign/")} <= {
        "program/program.py",
        "training/evaluate.py",  # a share in the brackets, not a kind
    }


@cache
def constants() -> dict[tuple[str, str], list[str]]:
    """(name, value as it is written) -> the modules that define it, of every constant in capitals."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in SOURCES:
        for node in tree(PACKAGE / name).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value:
                key = target.id, ast.unparse(node.value)
                if key[0].isupper() and not name.startswith("netx/foreign/"):
                    found.setdefault(key, []).append(name)
    return found


def test_no_constant_is_defined_twice():
    twice = {name: homes for (name, _), homes in constants().items() if len(homes) > 1}
    # Each format counts its own versions.
    assert twice.keys() <= {"FORMAT_VERSION"}, twice


def test_no_tuple_of_names_is_written_twice():
    """Whatever it is called: a list of names that stands twice will once be longer in one place."""
    homes: dict[str, list[str]] = {}
    for (name, value), modules in constants().items():
        if value.startswith("('"):
            homes.setdefault(value, []).extend(f"{module}: {name}" for module in modules)
    assert not {value: found for value, found in homes.items() if len(found) > 1}
