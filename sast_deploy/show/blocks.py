"""What goes to the terminal or a pipe: lines, facts and tables, never interpreted as markup, numbers whole.

On a terminal everything keeps to its width: text goes on in a new line at a space, a table splits into blocks
of columns that each repeat the names. In a pipe a line is a line, however long.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from sast_deploy.base.text import printable

UNLIMITED = 100_000  # columns of a pipe
GAP = "  "  # between columns
_SPACES = re.compile(r"(?<!±) +(?![%±*])")  # where a line may end: not between a number and its sign
_PIECES = re.compile(r"(?<=[-_/.,:;=])(?<!\d[-_/.,:;=])(?=.)")  # in a long name, but not inside a number
_NARROW = 24  # columns beside a label below which the text goes under it


class Block(ABC):
    """Something to print that knows how to lay itself out.

    colours: on a terminal, of the first word of a line.
    """

    colours: Mapping[str, str] = {}

    @abstractmethod
    def lines(self, width: int) -> Iterator[str]:
        """Its lines, printable and without trailing blanks, for a terminal of so many columns."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """For rich: the lines as they are."""
        for line in self.lines(options.max_width):
            text, first = Text(line, no_wrap=True, overflow="ignore"), line.partition(" ")[0]
            text.stylize(self.colours.get(first, ""), 0, len(first))
            yield text


class Out(Console):
    """Standard output: what is printed is shown as it is.

    width: columns; None for the terminal's. terminal: whether it is one; None to find out.
    """

    def __init__(
        self, file: IO[str] | None = None, width: int | None = None, terminal: bool | None = None
    ) -> None:
        super().__init__(
            file=file, width=width, force_terminal=terminal, markup=False, emoji=False, highlight=False
        )
        if width is None and not self.is_terminal:
            self.width = UNLIMITED

    def print(self, *objects: Any, **_options: Any) -> None:
        """Each text as a line of its own, each block and other renderable as it lays itself out."""
        for each in objects:
            super().print(Line(each) if isinstance(each, str) else each, crop=False)


@dataclass(frozen=True)
class Line(Block):
    """One line of text. whole: a command to copy, never broken."""

    text: str
    whole: bool = False

    def lines(self, width: int) -> Iterator[str]:
        """Ends at spaces only: a word, a path above all, stays in one piece even if it is too long."""
        yield from wrapped(printable(self.text), UNLIMITED if self.whole else width)


@dataclass(frozen=True)
class Facts(Block):
    """Labels and what is said of each, side by side, or below each other where that leaves no room."""

    facts: Mapping[str, str]

    def lines(self, width: int) -> Iterator[str]:
        """One line a fact, if there is room."""
        beside = max(map(cell_len, self.facts), default=0) + len(GAP)
        for label, text in self.facts.items():
            if width - beside >= _NARROW:
                first, *rest = wrapped(printable(text), width - beside)
                yield f"{_padded(printable(label), beside)}{first}".rstrip()
                yield from (" " * beside + line for line in rest)
            else:
                yield printable(label)
                yield from (GAP + line for line in wrapped(printable(text), width - len(GAP)))


@dataclass(frozen=True)
class Table(Block):
    """title and notes: one line each. rows: one text per column.

    left: how many columns, the first, are names; the others are numbers, aligned on the right.
    keys: how many columns tell the rows apart and stand in every block; 0: the names.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: int = 2
    keys: int = 0
    colours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse rows of another length than the head's."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells in a table of {len(self.columns)} columns: {row}")

    def lines(self, width: int) -> Iterator[str]:
        """As many blocks of columns as the width asks for."""
        if self.title:
            yield from wrapped(printable(self.title), width)
        cells = [[printable(row[i]) for row in (self.columns, *self.rows)] for i in range(len(self.columns))]
        keys = self.keys or self.left
        if cells[keys:] and not _fits(cells[:keys], cells[keys:], width):
            yield from self._listed(width)
        else:
            yield from self._side_by_side(cells[:keys], cells[keys:], width)
        for note in self.notes:
            yield from wrapped(f"  {printable(note)}", width, "  ")

    def _side_by_side(self, names: Columns, numbers: Columns, width: int) -> Iterator[str]:
        for number, (columns, widths) in enumerate(_blocks(names, numbers, width)):
            if number:
                yield ""
            yield from _block(columns, widths, self.left)

    def _listed(self, width: int) -> Iterator[str]:
        """Row by row, a line for each cell, where not even one column has room beside the names."""
        keys = self.keys or self.left
        for row in self.rows:
            names = (f"{name} {cell}".strip() for name, cell in zip(self.columns, row[:keys], strict=False))
            yield from wrapped(printable(", ".join(names)), width)
            for name, cell in zip(self.columns[keys:], row[keys:], strict=True):
                yield from wrapped(f"{GAP}{printable(name)}: {printable(cell)}", width, GAP * 2)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """The text in lines that end at spaces; what has no space is never broken."""
    if cell_len(text) <= width:
        return [text.rstrip()]
    margin = text[: len(text) - len(text.lstrip(" "))]
    lines, line = [], margin
    for word in filter(None, _SPACES.split(text.strip())):
        longer = f"{line} {word}" if line.strip() else line + word
        if line.strip() and cell_len(longer) > width:
            lines.append(line.rstrip())
            line = indent + word
        else:
            line = longer
    return [*lines, line.rstrip()]


Columns = Sequence[Sequence[str]]  # of each column its head and its cells


def _blocks(names: Columns, numbers: Columns, width: int) -> Iterator[tuple[Columns, list[int]]]:
    """Blocks of columns, the names first in each, and the width of every column."""
    fixed = [max(map(cell_len, column)) for column in names]
    wide = [max(map(cell_len, column)) for column in numbers]
    if _total([*fixed, *wide]) <= width:
        yield [*names, *numbers], [*fixed, *wide]
        return
    if not numbers:
        yield names, _narrowed(names, fixed, width)
        return
    widest = max(_longest_word(column) for column in numbers)
    fixed = _narrowed(names, fixed, width - len(GAP) - widest)
    room = width - _total(fixed) - len(GAP)
    # A head goes on below; a cell does so only where its column has no room even alone.
    wide = [max(*map(cell_len, column[1:]), _longest_word(column[:1])) for column in numbers]
    wide = [min(n, max(room, _longest_word(column))) for n, column in zip(wide, numbers, strict=True)]
    start = 0
    while start < len(numbers):
        end = start + 1
        while end < len(numbers) and _total(wide[start : end + 1]) <= room:
            end += 1
        yield [*names, *numbers[start:end]], [*fixed, *wide[start:end]]
        start = end


def _fits(names: Columns, numbers: Columns, width: int) -> bool:
    """Whether the names and any one column of numbers have room beside each other."""
    least = [max(_longest(_PIECES, cell) for cell in column) for column in names]
    return _total([*least, max(map(_longest_word, numbers), default=0)]) <= width


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowed(names: Columns, widths: list[int], room: int) -> list[int]:
    """The widths of columns of names with the widest cut down until all fit, but not below their pieces."""
    least = [max(_longest(_PIECES, cell) for cell in column) for column in names]
    widths = list(widths)
    while _total(widths) > room:
        spare = [n - low for n, low in zip(widths, least, strict=True)]
        if not any(n > 0 for n in spare):
            break
        widths[max(range(len(widths)), key=lambda i: (spare[i] > 0, widths[i]))] -= 1
    return widths


def _longest_word(cells: Sequence[str]) -> int:
    return max(_longest(None, cell) for cell in cells)


def _longest(pieces: re.Pattern[str] | None, cell: str) -> int:
    words = _SPACES.split(cell)
    return max(cell_len(part) for word in words for part in (pieces.split(word) if pieces else [word]))


def _block(columns: Columns, widths: list[int], left: int) -> Iterator[str]:
    """The lines of one block: head, rule, rows."""
    for number, row in enumerate(zip(*columns, strict=True)):
        cells = [_folded(row[i], widths[i], is_name=i < left) for i in range(len(row))]
        for texts in zip_longest(*cells, fillvalue=""):
            yield GAP.join(
                _padded(text, width, right=i >= left)
                for i, (text, width) in enumerate(zip(texts, widths, strict=True))
            ).rstrip()
        if number == 0:
            yield GAP.join("-" * width for width in widths)


def _folded(cell: str, width: int, is_name: bool) -> list[str]:
    """A cell's lines: at spaces; a name that is longer than its column also behind its punctuation."""
    lines = []
    for line in wrapped(cell, width):
        if not is_name or cell_len(line) <= width:
            lines.append(line)
            continue
        part = ""
        for piece in _PIECES.split(line):
            if part and cell_len(part + piece) > width:
                lines.append(part)
                part = ""
            part += piece
        lines.append(part)
    return lines


def _padded(text: str, width: int, right: bool = False) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks
