"""`--to c`: a network as C99 without malloc or floats, with a program that replays its known answers."""

from __future__ import annotations

from importlib.resources import files

from sast_deploy.base.text import filled, printable
from sast_deploy.exchange import KNOWN
from sast_deploy.exchange.artefacts import Artefacts
from sast_deploy.exchange.c.header import known_header, weights_header
from sast_deploy.exchange.c.layout import Layout
from sast_deploy.exchange.subject import Subject


def write_c(subject: Subject, main: str = KNOWN) -> Artefacts:
    """C sources. main: replay known answers, or classify frames from standard input.

    Raises CompileError where 64 bits do not hold a value of the program.
    """
    layout, name = Layout(subject.program), subject.name
    texts = {f"{name}_weights.h": weights_header(layout, name, subject.program.digest())}
    for template in ("sast_net.h", "sast_net.c", "Makefile"):
        texts[template] = filled(_template(template), {"NAME": name})
    texts["sast_main.c"] = _template("sast_main.c" if main == KNOWN else "sast_stdin.c")
    if main == KNOWN:
        texts["known.h"] = known_header(subject.answers, layout)
    texts["README.md"] = _readme(subject, layout, main)
    check = "make check" if main == KNOWN else "make && ./sast_main < FRAMES"
    return Artefacts({each: text.encode() for each, text in texts.items()}, layout.parts(), check)


def _template(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _readme(subject: Subject, layout: Layout, main: str) -> str:
    program, parts = subject.program, layout.parts()
    rows = [f"| {part.name} | {part.constant:,} | {part.state:,} |" for part in parts]
    total = f"| together | {sum(p.constant for p in parts):,} | {sum(p.state for p in parts):,} |"
    shape = " x ".join(map(str, program.input_shape))
    size = "one byte" if program.byte_inputs else "four bytes, two's complement, the lowest first"
    values = {
        "NAME": subject.name, "DIGEST": program.digest(), "SHAPE": shape, "LOW": program.input_min,
        "HIGH": program.input_max, "STEPS": program.steps, "MOST": f"{layout.widths.steps:,}",
        "SIZES": "\n".join([*rows, total]), "BYTES": size, "WIDTH": layout.widths.weight,
        "WIDE": layout.widths.wide,
        "CLASSES": "\n".join(f"- {n}: {printable(label)}" for n, label in enumerate(program.classes)),
    }  # fmt: skip
    how = _template("README-known.md" if main == KNOWN else "README-stdin.md").rstrip()
    return filled(_template("README.md"), {**values, "MAIN": filled(how, values)})
