"""Text for people: names as they are with what would act on a terminal escaped, and one style of per cent."""

from __future__ import annotations

import unicodedata

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


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING
