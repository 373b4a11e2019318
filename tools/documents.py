"""The parts of the documents that the code itself writes, and the pages of the site.

    python tools/documents.py                        # README.md and pages of docs/, where they are marked
    python tools/documents.py --pages build/pages    # the documents and what they link to, for mkdocs

`make docs` does both. tests/unit/test_documents.py fails where a document is not what this would write.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sast_deploy"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# What lies beside the package. The package's own folders say themselves what they are, in their docstrings.
BESIDE = {
    "profiles": "hardware profiles (TOML), and the arithmetic in words and tables",
    "netx_exports": "where compiled .net files land, and their layout",
    "examples": "studies for `sast-deploy sweep`",
    "docs": "this page and its neighbours",
    "tests": "unit, golden, property, conformance, e2e; attacks: malformed files of every kind",
    "benchmarks": "what is measured, one script each: `make bench`; results/: of sweeps, and of processors",
    "tools": "setup.sh, behind `make setup`; documents.py, behind `make docs`; the attacks of trust.md",
}
# The way of a network through the house: (unit, function), in the order in which they are called.
FLOW = (
    ("data", "load_frames"),
    ("training", "train"),
    ("training", "load_checkpoint"),
    ("finetuning", "finetune"),
    ("training", "to_float_network"),
    ("compiler", "compile_network"),
    ("netx", "write_net"),
    ("netx", "read_net"),
    ("netx", "read_stock"),
    ("proofs", "bound_neurons"),
    ("proofs", "check_limits"),
    ("engines", "run_reference"),
    ("engines", "run_vectorised"),
    ("engines", "run_fast"),
    ("engines", "run_lava"),
    ("verification", "compare_engines"),
    ("reports", "count_operations"),
    ("reports", "make_report"),
)
WIDTH, COLUMN = 110, 18  # letters of the tree, and of its first column
LINK = re.compile(r"\]\(([^)\s]+)\)")


# ---- the documents ------------------------------------------------------------


def documents() -> list[Path]:
    """Every Markdown file that people read, from the root down."""
    beside = [ROOT / "profiles" / "README.md", ROOT / "netx_exports" / "README.md"]
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *beside]


def links(document: Path) -> list[str]:
    """Targets of a document's links and pictures, outside its code, that are files of ours."""
    targets = LINK.findall(prose(document.read_text(encoding="utf-8")))
    return [target for target in targets if not re.match(r"[a-z]+:|#", target)]


def prose(text: str) -> str:
    """A document without its code: fenced blocks and `spans`."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def stage(folder: Path) -> None:
    """Copy the documents and every file that they link to, each to its own place, for mkdocs.

    Raises ValueError: a link leads to nothing.
    """
    shutil.rmtree(folder, ignore_errors=True)
    wanted = set(documents())
    for document in documents():
        for target in links(document):
            path = (document.parent / target.partition("#")[0]).resolve()
            if not path.is_file() or ROOT not in path.parents:
                raise ValueError(f"{document.relative_to(ROOT)}: the link {target} leads to no file")
            wanted.add(path)
    for path in wanted:
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


# ---- what is written by the code ----------------------------------------------


def generated() -> dict[Path, dict[str, str]]:
    """Document -> mark -> what stands between `<!-- mark: ... -->` and `<!-- end of mark -->`."""
    from benchmarks import figures, fpga
    from sast_deploy.rtl.timing import FORMULA
    from tools import schemas

    speed = figures.read_results()
    return {
        ROOT / "README.md": {"speed": figures.short_table(speed)},
        ROOT / "docs" / "speed.md": {"figures": figures.full_table(speed)},
        ROOT / "docs" / "commands.md": {"help": help_texts()},
        ROOT / "docs" / "api.md": {"names": names()},
        ROOT / "docs" / "json.md": {"documents": schemas.tables()},
        ROOT / "docs" / "characterize.md": {"characterize": characterized()},
        ROOT / "docs" / "hardware.md": {"fpga": fpga.document()},
        ROOT / "docs" / "rtl.md": {"formula": f"\n```text\n{FORMULA.rstrip()}\n```"},
        ROOT / "docs" / "architecture.md": {"tree": tree(), "flow": flow(), "imports": arrows()},
    }


def renewed(document: Path, parts: dict[str, str]) -> str:
    """The document's text with its generated parts as they are now.

    Raises ValueError: a mark is missing, or there twice.
    """
    text = document.read_text(encoding="utf-8")
    for mark, part in parts.items():
        pattern = rf"(<!-- {mark}: .*? -->\n).*?(<!-- end of {mark} -->)"
        found = re.findall(pattern, text, flags=re.S)
        if len(found) != 1:
            raise ValueError(f"{document.name}: {len(found)} parts are marked {mark}, expected one")
        begin, end = found[0]
        text = text.partition(begin)[0] + f"{begin}\n{part}\n\n{end}" + text.partition(end)[2]
    return text


def characterized() -> str:
    """The tables of the characterizations that are kept, without those of layers and fronts."""
    from sast_deploy.studies.characterize.result import characterize
    from sast_deploy.studies.characterize.tables import tables_of
    from sast_deploy.studies.tables.records import load_records
    from sast_deploy.studies.tables.table import markdown

    records = load_records(sorted((ROOT / "benchmarks" / "results").glob("characterize-*.json")))
    parts = []
    for found in characterize(records):
        cells, changes, _, _, correlations, claims = tables_of(found)
        parts += [f"### {found.data}\n", *map(markdown, (cells, changes, correlations, claims))]
    return re.sub(r"\| (-+:?) (?=\|)", r"|\1", "\n".join(parts))


def help_texts() -> str:
    """`--help` of the program and of every command, as a terminal of 100 columns shows it."""
    import click

    from sast_deploy.cli import cli

    def each(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
        yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.commands[name]
                inner = click.Context(child, context, name, terminal_width=100, max_content_width=100)
                yield from each(child, inner, 3)

    settings = {**cli.context_settings, "terminal_width": 100, "max_content_width": 100}
    outer = click.Context(cli, info_name="sast-deploy", **settings)
    return "\n\n".join(each(cli, outer, 2))


def names() -> str:
    """Every public name with its signature and its docstring, examples included."""
    import sast_deploy

    def each(name: str) -> str:
        thing = getattr(sast_deploy, name)
        signature = re.sub(r"<[^<>]*>", "...", str(inspect.signature(thing))) if callable(thing) else ""
        shown = re.sub(r": '[^']*'| -> (?:'[^']*'|None)", "", signature).replace(" = ", "=")
        return f"### {name}\n\n```text\n{name}{shown}\n\n{inspect.getdoc(thing)}\n```"

    return "\n\n".join(each(name) for name in sast_deploy.__all__ if name != "__version__")


def tree() -> str:
    """Every folder with what it is, and every module of the package by its name."""
    rows = [f"{folder + '/':{COLUMN}}{what}" for folder, what in BESIDE.items() if (ROOT / folder).is_dir()]
    return "\n".join(["```text", *rows, *_branch(PACKAGE, 0), "```"])


def _branch(folder: Path, depth: int) -> Iterator[str]:
    name = "  " * depth + folder.name + "/"
    yield from _wrapped(f"{name:{COLUMN}}", purpose(folder / "__init__.py"))
    modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("__")]
    if modules:
        yield from _wrapped(" " * (COLUMN + 2), ", ".join(modules))
    for child in sorted(folder.iterdir()):
        if (child / "__init__.py").exists():
            yield from _branch(child, depth + 1)


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    text = " ".join((ast.get_docstring(_parsed(path)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[a-z)])\.(?: |$)", text)[0]


def flow() -> str:
    """FLOW's functions: what each takes and gives, as its annotations say."""
    rows = [(f"{unit}: {name}", *_signature(unit, name)) for unit, name in FLOW]
    first = max(len(row[0]) for row in rows)
    second = max(len(row[1]) for row in rows)
    lines = [f"{name:{first}}  {takes:{second}}  →  {gives}" for name, takes, gives in rows]
    return "\n".join(["```text", *lines, "```"])


def _signature(unit: str, name: str) -> tuple[str, str]:
    """The types of a function's arguments that have no default, and of its result.

    Raises ValueError: the unit has no such function, or two.
    """
    paths = [PACKAGE / f"{unit}.py"] if (PACKAGE / f"{unit}.py").exists() else (PACKAGE / unit).rglob("*.py")
    found = [
        node for path in paths for node in _parsed(path).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]  # fmt: skip
    if len(found) != 1:
        raise ValueError(f"tools/documents.py: {unit} has {len(found)} functions {name}; mend FLOW")
    given = found[0].args.args
    needed = given[: len(given) - len(found[0].args.defaults)]
    takes = ", ".join(_plain(argument.annotation) for argument in needed)
    return takes, _plain(found[0].returns)


def _plain(annotation: ast.expr | None) -> str:
    """An annotation in words: an array of any kind is an array."""
    text = ast.unparse(annotation) if annotation else "?"
    return re.sub(r"npt\.NDArray(\[.*?\]+)(?=,|$|\])", "array", text)


def order() -> list[str]:
    """The units below sast_deploy/ in the order of the architecture test, read from that test."""
    test = _parsed(ROOT / "tests" / "unit" / "test_architecture.py")
    for node in test.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            return list(ast.literal_eval(node.value))
    raise ValueError("tests/unit/test_architecture.py: no ORDER")


def arrows() -> str:
    """For each unit, in order, the units whose modules its own import."""
    units = order()
    rows = [(unit, sorted(uses(unit) & set(units), key=units.index)) for unit in units]
    lines = [f"| {unit} | {', '.join(used) or '–'} |" for unit, used in rows]
    return "\n".join(["| of sast_deploy/ | imports |", "|---|---|", *lines])


def uses(unit: str) -> set[str]:
    """Names directly below sast_deploy/ that a unit's modules import, inside functions and for types too."""
    own = PACKAGE / unit
    found: set[str] = set()
    for path in own.rglob("*.py") if own.is_dir() else [own.with_suffix(".py")]:
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found |= {name.split(".")[1] for name in names if name.startswith("sast_deploy.")}
    return found - {unit}


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def main(arguments: list[str] | None = None) -> None:
    """Write what the code writes, or the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pages", type=Path, metavar="FOLDER")
    given = parser.parse_args(arguments)
    if given.pages is not None:
        stage(given.pages.resolve())
        return
    from tools import schemas

    schemas.main()
    for document, parts in generated().items():
        text = renewed(document, parts)
        if text != document.read_text(encoding="utf-8"):
            document.write_text(text, encoding="utf-8")
            print(f"wrote {document.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
