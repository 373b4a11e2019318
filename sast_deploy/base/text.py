"""Text for people: names as they are with what would act on a terminal escaped, and one style of per cent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

_PREFIXES = {"k": 1e3, "": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, marks of direction, halves of characters, line ends


def printable(value: object) -> str:
    """The value's text, its control characters as Python writes them: "\\x1b", "\\n", "\\u202e"."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _acts(c) else c for c in text)


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: bytes of a file's name that are none as Python shows them, "\\udcff"."""
    return text.encode("utf-8", "backslashreplace").decode()


def filled(template: str, values: Mapping[str, object]) -> str:
    """A template, each @NAME@ of it replaced, once: what a value holds stays as it is."""
    return re.sub("@([A-Z]+)@", lambda found: str(values[found[1]]), template)


def pictured(value: object, longest: int = 200) -> str:
    """The value's text for a picture: no formula between dollars, no name that a legend leaves out.

    longest: characters, beyond which the middle is left out.
    """
    text = printable(value)
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-(longest // 2) + 1 :]}"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def counted(number: int, what: str) -> str:
    """As in "1 sample" and "2 samples"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """A measured share of 1, as in `98.19 %`."""
    return f"{100 * share:.2f} %"


def percent_given(share: float) -> str:
    """A share of 1 that somebody chose, as in `20 %`."""
    return f"{100 * share:g} %"


def quantity(value: float, unit: str, digits: int = 4) -> str:
    """A value with an SI prefix, as in "13.5 µJ": so many significant digits at most."""
    for prefix, scale in _PREFIXES.items():
        if abs(value) >= scale * (1 - 0.5 * 10.0**-digits):
            return f"{_significant(value / scale, digits)} {prefix}{unit}"
    return f"0 {unit}" if not value else f"{_significant(value * 1e15, digits)} f{unit}"


def _significant(value: float, digits: int) -> str:
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING
