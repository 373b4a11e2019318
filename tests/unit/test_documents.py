"""Documents are true: commands parse, Python runs, links lead somewhere, what the code writes is fresh."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from itertools import pairwise, takewhile
from pathlib import Path

import click
import pytest

import sast_deploy
from sast_deploy.cli import cli
from sast_deploy.program.profile import profile_names
from tests.commandlines import COMMANDS
from tools import documents

ROOT = documents.ROOT
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in documents.documents()}
README = DOCUMENTS["README.md"]
EVERYTHING = "\n".join(DOCUMENTS.values())
README_LINES = 150
NAMES = {*COMMANDS, *(name.split()[0] for name in COMMANDS)}  # with those of groups

FENCE = re.compile(r"^(<!-- runs -->\n)?```(\w*)\n(.*?)^```$", flags=re.M | re.S)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
# A term, and the document that says what it is: there it is bold where it first stands.
TERMS = {
    "tails": ("docs/sast-study.md",),
    "clip": ("docs/data.md", "docs/sast-study.md"),
    "γ̂": ("docs/sast-study.md",),
    "kSynOps": ("docs/results.md", "docs/sast-study.md"),
    "Q4.4": ("README.md", "docs/hardware.md"),
}


def fences(text: str) -> list[tuple[bool, str, str]]:
    """(whether it is marked to run, language, content) of every fenced block."""
    return [(bool(mark), language, content) for mark, language, content in FENCE.findall(text)]


def shown(text: str) -> list[str]:
    """Every line of code that stands for itself, fenced or indented; in consoles without "$ "."""
    fenced = [line for _, _, content in fences(text) for line in content.splitlines()]
    lines = [*fenced, *re.findall(r"^ {4}(\S.*)$", FENCE.sub("", text), flags=re.M)]
    return [line.strip().removeprefix("$ ") for line in lines]


def spans(text: str) -> list[str]:
    """Every `span` of code in a sentence, on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]


def lines_of(text: str, program: str) -> list[str]:
    """Command lines that begin with a word, without comments and [options that may be added].

    A command's name alone in a sentence is not a line to type.
    """
    lines = [*shown(text), *(span for span in spans(text) if span.partition(" ")[2] not in NAMES)]
    return [re.sub(r"\s+# .*|\s*\[.*", "", line) for line in lines if re.match(rf"{program} \S", line)]


def problem(line: str) -> str | None:
    """Why click would not take a line of sast-deploy's; nothing is run."""
    words = list(takewhile(lambda word: word not in ("|", ">"), shlex.split(line)[1:]))
    command: click.Command = cli
    context = click.Context(cli, info_name="sast-deploy", **cli.context_settings)
    try:
        while isinstance(command, click.Group):
            name, found, words = command.resolve_command(context, words)
            assert found is not None  # else it has raised
            command = found
            context = click.Context(command, info_name=name, parent=context)
        command.parse_args(context, list(words))
    except click.exceptions.Exit:  # --help, --version
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


# ---- command lines -------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_line_parses(name: str) -> None:
    lines = lines_of(DOCUMENTS[name], "sast-deploy")
    assert not {line: why for line in lines if (why := problem(line)) is not None}


def test_what_is_no_command_line_is_found() -> None:
    fence = "```sh\nsast-deploy inspect\n```\n"
    text = f"{fence}`sast-deploy trian -o x`, `sast-deploy train\n--nope 1`\n\n    sast-deploy train --k x\n"
    found = lines_of(text, "sast-deploy")
    assert len(found) == 4
    assert all(problem(line) for line in found)
    assert sum(len(lines_of(document, "sast-deploy")) for document in DOCUMENTS.values()) > 60


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_has_a_runnable_example(name: str) -> None:
    path = f"sast-deploy {name}"
    assert f"`{path}`" in README
    assert re.search(rf"^\| `{path}[ `]", DOCUMENTS["docs/commands.md"], flags=re.M)
    assert f"### {path}\n" in DOCUMENTS["docs/commands.md"]
    epilog = COMMANDS[name].epilog or ""
    examples = [line.strip() for line in epilog.splitlines() if line.strip().startswith("sast-deploy")]
    assert examples
    for example in examples:
        assert example.startswith(path)
        assert problem(example) is None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_in_a_sentence_is_one(name: str) -> None:
    options = {option for command in COMMANDS.values() for given in command.params for option in given.opts}
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools").glob("*.py"))
    for span in spans(DOCUMENTS[name]):
        for option in re.findall(r"--[\w-]+", span) if span.startswith("--") else ():
            assert option in {*options, "--help"} or f'"{option}"' in scripts


def make_words() -> tuple[set[str], set[str]]:
    """Targets that `make help` lists, and variables that may be set."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9-]+)(?: ([a-z0-9-]+))?:[^#\n]*## ", makefile, flags=re.M)
    variables = re.findall(r"^([A-Z_]+) +\?=", makefile, flags=re.M)
    return {target for both in targets for target in both if target}, set(variables)


def test_make_lines_name_targets_and_every_target_is_named() -> None:
    targets, variables = make_words()
    named = set()
    for line in lines_of(EVERYTHING, "make"):
        first, *others = shlex.split(line)[1:]
        assert first in targets, line
        assert {word.partition("=")[0] for word in others} <= variables, line
        named.add(first)
    assert {"setup", "nmnist-int4", "test", "test-quick", "lint", "docs", "bench", "help"} <= named


def test_lines_of_scripts_name_scripts_and_their_options() -> None:
    found = lines_of(EVERYTHING, "python")
    assert len(found) >= 5
    for line in found:
        script, *others = shlex.split(line)[1:]
        if script == "-m":
            module = others[0]
            assert module == "pytest" or importlib.util.find_spec(module) is not None, line
            continue
        if f"<!-- file: {script} -->" in EVERYTHING:  # the reader's own, which the page writes
            continue
        text = (ROOT / script).read_text(encoding="utf-8")
        for option in (word for word in others if word.startswith("--")):
            assert f'"{option}"' in text, line


# ---- Python --------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_python_blocks_compile(name: str) -> None:
    for _, language, content in fences(DOCUMENTS[name]):
        if language == "python":
            ast.parse(content, filename=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, text in DOCUMENTS.items() if "<!-- runs -->" in text])
def test_python_blocks_that_are_marked_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in marked(DOCUMENTS[name]):
        exec(compile(content, name, "exec"), {"__name__": "__main__"})


def marked(text: str) -> list[str]:
    """The Python blocks behind `<!-- runs -->`; every such mark must stand before one."""
    found = [content for mark, language, content in fences(text) if mark and language == "python"]
    assert len(found) == text.count("<!-- runs -->")
    return found


def test_a_marked_block_is_found_and_a_mark_without_one_too() -> None:
    assert marked("<!-- runs -->\n```python\nx = 1\n```\n```python\ny = 2\n```\n") == ["x = 1\n"]
    with pytest.raises(AssertionError):
        marked("<!-- runs -->\n\n```python\nx = 1\n```\n")


def test_every_name_of_the_front_door_in_a_block_exists() -> None:
    for _, language, content in fences(EVERYTHING):
        if language == "python":
            for attribute in re.findall(r"\bsast\.(\w+)", content):
                assert hasattr(sast_deploy, attribute), attribute


# ---- what is written by the code -----------------------------------------------------


@pytest.mark.slow
def test_generated_parts_are_fresh() -> None:
    for document, parts in documents.generated().items():
        fresh = documents.renewed(document, parts)
        text = DOCUMENTS[str(document.relative_to(ROOT))]
        assert text == fresh, "run python tools/documents.py, or make docs"
        assert documents.renewed(document, dict.fromkeys(parts, "old")) != fresh


def test_the_tree_is_the_real_one() -> None:
    """By another way than the script's: every module and folder of the package stands in the picture."""
    picture = DOCUMENTS["docs/architecture.md"].split("## The tree")[1].split("<!-- end of tree -->")[0]
    words = re.findall(r"[\w./-]+", picture.replace(",", " "))
    for path in (ROOT / "sast_deploy").rglob("*.py"):
        folder = f"{path.parent.name}/"
        assert folder in picture
        assert path.stem.startswith("__") or path.stem in words, path
    beside = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    made = {"build", "dist", "data", "runs"}
    unnamed = {name for name in beside if f"\n{name}/" not in picture and not name.endswith(".egg-info")}
    assert unnamed <= made, "say in tools/documents.py what it is"


# ---- the documents as such -----------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= README_LINES


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_resolve(name: str) -> None:
    for target in documents.links(ROOT / name):
        path, _, anchor = target.partition("#")
        aim = (ROOT / name).parent / path
        assert aim.is_file(), target
        if anchor:
            assert anchor in anchors(aim.read_text(encoding="utf-8")), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", documents.prose(DOCUMENTS[name])):
        assert anchor in anchors(DOCUMENTS[name]), anchor


def anchors(text: str) -> set[str]:
    """What GitHub and mkdocs make of the headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_site_and_linked_from_the_readme() -> None:
    site = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.M))
    assert site == set(DOCUMENTS)
    assert set(DOCUMENTS) - {"README.md"} <= set(documents.links(ROOT / "README.md"))


def test_tables_have_as_many_cells_in_every_row() -> None:
    for name, text in DOCUMENTS.items():
        for table in re.findall(r"(?:^\|.*\|$\n?){2,}", FENCE.sub("", text), flags=re.M):
            head, rule, *rows = table.strip().splitlines()
            assert re.fullmatch(r"(\|:?-+:?)+\|", rule), f"{name}: {rule}"
            cells = {len(re.findall(r"(?<!\\)\|", SPAN.sub("", row))) for row in (head, rule, *rows)}
            assert len(cells) == 1, f"{name}: {head}"


def test_lists_and_tables_begin_behind_an_empty_line() -> None:
    """GitHub shows them in any case; Python's Markdown, and so the site, makes running text of them."""
    for name, text in DOCUMENTS.items():
        lines = FENCE.sub("", text).splitlines()
        for before, line in pairwise(lines):
            for mark in (r"- ", r"\d+\. ", r"\|"):
                begins = re.match(mark, line) and not re.match(rf"$|{mark}|  ", before)
                assert not begins, f"{name}: {line}"


def test_no_html_but_comments() -> None:
    for name, text in DOCUMENTS.items():
        tags = re.findall(r"(?<!\\)<(?!https?:)/?[a-zA-Z][^>]*>", documents.prose(text))
        assert not tags, f"{name}: GitHub and the site may show {tags[0]} differently"


@pytest.mark.parametrize("term", TERMS)
def test_terms_are_said_where_they_first_stand(term: str) -> None:
    word = re.compile(rf"(?<![\w.]){re.escape(term)}(?!\w|\.\d)")
    for name, text in DOCUMENTS.items():
        prose = documents.prose(text)
        first = word.search(prose)
        if first is None:
            assert name not in TERMS[term], f"{name} does not say what {term} is"
        elif name in TERMS[term]:
            assert prose[first.start() - 2 : first.end() + 2] == f"**{first[0]}**", name
        elif name.startswith("docs/"):
            before = prose[: first.end()]
            homes = [home.removeprefix("docs/") for home in TERMS[term]]
            assert any(f"({home})" in before or f"(../{home})" in before for home in homes), f"{name}: {term}"


def test_profiles_are_named() -> None:
    for profile in profile_names():
        assert f"`{profile}`" in README
        assert f"| `{profile}` |" in DOCUMENTS["docs/hardware.md"]


# ---- the site ------------------------------------------------------------------------


def test_pages_hold_the_documents_and_what_they_link_to(tmp_path: Path) -> None:
    documents.stage(tmp_path / "pages")
    files = [path for path in (tmp_path / "pages").rglob("*") if path.is_file()]
    staged = {str(path.relative_to(tmp_path / "pages")) for path in files}
    assert set(DOCUMENTS) < staged
    assert {"benchmarks/results/gap-clip.png", "LICENSE"} < staged


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("mkdocs.config", reason="make docs installs mkdocs")
    pytest.importorskip("material")
    from mkdocs.commands.build import build

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    documents.stage(tmp_path / "pages")
    folders = {"docs_dir": str(tmp_path / "pages"), "site_dir": str(tmp_path / "site")}
    build(config.load_config(str(ROOT / "mkdocs.yml"), strict=True, **folders))
    assert (tmp_path / "site" / "index.html").exists()


def test_where_new_things_go_is_there() -> None:
    """The answers of architecture.md name files that exist."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Where things are")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:sast_deploy|profiles)/[\w/.]*)`", table)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
