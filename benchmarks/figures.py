"""What the benchmarks measure, the results files of processors, and the tables that are made of them.

    python benchmarks/figures.py    # the tables that `make docs` writes to README.md and docs/speed.md

A results file, results/speed/<processor>.json, holds figures by name, in the units of their rows below. A
name that ends in @cpu is the same by processor time, which means something on a busy machine, too: for a
ratio that of one thread, for the fast engine's rates that of one thread times the cores, for seconds that of
all processes. Where both are there, one stands in brackets: `6.8 × (7.2 × by the clock)`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sast_deploy.base.files import write_text
from sast_deploy.base.text import percent_given

RESULTS = Path(__file__).resolve().parent / "results" / "speed"
FORMAT, VERSION = "sast-deploy-speed", 1
CPU = "@cpu"


@dataclass(frozen=True)
class Row:
    """One figure. unit: x, share, /s, us, s, MiB or G/s. more: whether more is better. bar: what is wanted.

    script: what measures it. readme: what the README calls it, if it is there. clock: whether the time of all
    cores by the clock is what counts, and not processor time.
    """

    name: str
    what: str
    unit: str
    script: str
    more: bool = True
    bar: float | None = None
    readme: str = ""
    clock: bool = False

    @property
    def ratio(self) -> bool:
        return self.unit in ("x", "share")

    def shown(self, value: float) -> str:
        if self.unit == "share":
            return percent_given(round(value, 2))
        digits = 0 if value >= 100 else 1 if value >= 10 or (self.more and self.unit != "s") else 2
        return f"{value:,.{digits}f}{self._sign}"

    @property
    def _sign(self) -> str:
        return {"x": " ×", "us": " µs"}.get(self.unit, f" {self.unit}").replace(" /", "/")

    def wanted(self) -> str:
        if self.bar is None:
            return ""
        bar = self.shown(self.bar) if self.unit == "share" else f"{self.bar:,g}{self._sign}"
        return f"{'≥' if self.more else '≤'} {bar}"

    def met(self, figures: dict[str, float]) -> bool | None:
        """Whether the bar is reached; None where there is none, or no figure that it is for."""
        found = figures.get(self.name) if self.clock else value(self, figures)
        if self.bar is None or found is None:
            return None
        return found >= self.bar if self.more else found <= self.bar


FAST, LAVA, FRAMES, GATHER = "bench_fast.py", "bench_lava.py", "bench_frames.py", "gather.py"
TRAIN = {"fc": "bench_train.py", "conv": "bench_train.py --network conv"}
MEMORY, COMMANDS = "bench_memory.py", "bench_commands.py"
KINDS = {
    "fc": "FC network, event frames", "fc-random": "FC network, 4 % random input",
    "conv": "conv network, event frames",
}  # fmt: skip


def of_fast(key: str, torch: float | None, share: float) -> Iterator[Row]:
    kind = KINDS[key]
    for name, peer, bar in (
        ("torch", "plain torch fp32", torch), ("spikingjelly", "SpikingJelly", torch),
        ("snntorch", "snnTorch", None), ("stock-lava", "stock Lava", None),
    ):  # fmt: skip
        short = f"fast engine against {peer}, {kind.partition(',')[0]}" if bar and name == "torch" else ""
        yield Row(f"{key}.{name}", f"{kind}: fast engine / {peer}", "x", FAST, bar=bar, readme=short)
    what = f"{kind}: share of what the fastest kernel"
    yield Row(f"{key}.kernel", f"{what} would allow in all layers", "share", FAST, bar=share)
    yield Row(f"{key}.limit", f"{what} of each layer would allow", "share", FAST)


def of_speed(key: str, alone: float | None) -> Iterator[Row]:
    yield Row(f"{key}.rate", f"{KINDS[key]}: fast engine", "/s", FAST)
    yield Row(f"{key}.limit-rate", f"{KINDS[key]}: the limit", "/s", FAST)
    yield Row(f"{key}.arrays", f"{KINDS[key]}: fast engine, arrays of bytes", "/s", FAST)
    yield Row(f"{key}.single", f"{KINDS[key]}: one sample alone", "us", FAST, more=False, bar=alone)
    yield Row(f"{key}.single-array", f"{KINDS[key]}: one array alone", "us", FAST, more=False)


def of_training(key: str, epoch: float | None) -> Iterator[Row]:
    script, what = TRAIN[key], f"{KINDS[key].partition(',')[0]}: "
    short = "training pass in units of its own dense products" if key == "fc" else ""
    products = f"{what}training pass / its own dense products"
    yield Row(f"train-{key}.pass", products, "x", script, more=False, bar=1.2, readme=short)
    yield Row(f"train-{key}.sast", f"{what}SAST / baseline step", "x", script, more=False, bar=2.0)
    timed = {"unit": "s", "script": script, "more": False, "clock": True}
    yield Row(f"train-{key}.epoch", f"{what}an epoch of 60,000", bar=epoch, **timed)
    yield Row(f"train-{key}.bound", f"{what}fp32 GEMM bound of an epoch", **timed)
    yield Row(f"train-{key}.memory", f"{what}peak memory, SAST", "MiB", script, more=False)


def of_commands() -> Iterator[Row]:
    timed = {"unit": "s", "script": COMMANDS, "more": False, "clock": True}
    what = "`simulate --backend fast`, 10,000 cached samples"
    yield Row("simulate.check", f"{what}, default check", bar=2.0, readme=f"{what}", **timed)
    yield Row("simulate.none", f"{what}, `--check none`", **timed)
    yield Row("data.simulate", "`data simulate`, 70,000 recordings", bar=150.0, **timed)
    events = {"unit": "/s", "script": FRAMES, "clock": True}
    yield Row("frames.memory", "events to cached frames, files in memory", bar=20_000.0, **events)
    yield Row("frames.disk", "events to cached frames, files not in memory", **events)
    yield Row("frames.bytes", "frames from bytes in memory", **events)


def of_memory() -> Iterator[Row]:
    yield Row("memory.flat", "own memory at 200,000 samples / at 1,000", "x", MEMORY, more=False)
    yield Row("memory.linear", "time a sample at 200,000 / at 20,000", "x", MEMORY, more=False)
    for n in (10, 200_000):
        yield Row(f"memory.own-{n}", f"own memory of a run of {n:,} samples", "MiB", MEMORY, more=False)
        mapped = f"all that is resident, mapped frames too, {n:,} samples"
        yield Row(f"memory.resident-{n}", mapped, "MiB", MEMORY, more=False)
        yield Row(f"memory.us-{n}", f"time a sample of a run of {n:,}", "us", MEMORY, more=False)


ROWS = (
    *of_fast("fc", 9.0, 0.5), *of_fast("fc-random", None, 0.5), *of_fast("conv", 8.0, 0.6),
    Row("lava.stock", "batched Lava / stock Lava, 10,000 samples x 10 steps", "x", LAVA,
        readme="batched Lava against stock Lava"),
    *of_training("fc", 8.0), *of_training("conv", None),
    Row("frames.tonic", "events to frames: files here / tonic, both on one thread", "x", FRAMES),
    *of_speed("fc", 40.0), *of_speed("fc-random", None), *of_speed("conv", 400.0),
    Row("machine.int8 products", "int8 products, 2048 x 2048, one core", "G/s", FAST),
    Row("machine.fp32 products", "fp32 products, 2048 x 2048, one core", "G/s", FAST),
    Row("gather.additions", "gather-add, 192 lanes, 2,312 rows, one core", "G/s", GATHER),
    Row("gather.additions-l1", "the same from the first-level cache", "G/s", GATHER),
    Row("lava.seconds", "batched Lava, 10,000 samples x 10 steps", "s", LAVA, False, 2.5, clock=True),
    *of_commands(), *of_memory(),
)  # fmt: skip


# ---- from a script to a results file --------------------------------------------


def takes_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figures", type=Path, help=argparse.SUPPRESS)  # for bench.py


def deliver(path: Path | None, figures: dict[str, float]) -> None:
    """Hand figures to bench.py, which has named a file; nothing where nobody has."""
    if path is not None:
        write_text(path, json.dumps(figures))


@dataclass(frozen=True)
class Result:
    """A results file. about: what stands in it besides the figures."""

    figures: dict[str, float]
    about: dict[str, Any]

    @property
    def processor(self) -> str:
        """In a few words."""
        known = self.about["processor"]
        return f"{known['model']} ({known['architecture'].rpartition(', ')[2]}), {known['cores']} cores"

    @property
    def description(self) -> str:
        """In a sentence."""
        known, about = self.about["processor"], self.about
        clock = f" at {known['clock_ghz']} GHz" if "clock_ghz" in known else ""
        parts = [f"{self.processor}{clock}", ", ".join(known["extensions"])]
        parts.append(", ".join(f"{level} {size}" for level, size in known.get("caches", {}).items()))
        parts.append(f"memory copy {known['copy_gb_per_s']} GB/s")
        if "load" in about:
            parts.append("load average {} before, {} after".format(*about["load"]))
        parts += [f"{name} {version}" for name, version in about.get("versions", {}).items()]
        source = str(about["source"])
        return "; ".join(part for part in parts if part) + f". {source[0].upper()}{source[1:]}."


def write_result(folder: Path, name: str, result: Result) -> Path:
    """Write the file of one processor, whole or not at all."""
    path = folder / f"{name}.json"
    content = {"format": FORMAT, "version": VERSION, **result.about, "figures": result.figures}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return path


def read_results(folder: Path = RESULTS) -> list[Result]:
    """Every processor's, by the names of the files. Raises ValueError: a file of another kind."""
    found = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content.pop("format", None), content.pop("version", None)) != (FORMAT, VERSION):
            raise ValueError(f"{path.name} is no {FORMAT} of version {VERSION}; remove it and run make bench")
        found.append(Result(content.pop("figures"), content))
    return found


# ---- tables ---------------------------------------------------------------------


def value(row: Row, figures: dict[str, float]) -> float | None:
    """The figure that counts, or the other one where that is not known."""
    names = (row.name, row.name + CPU) if row.clock else (row.name + CPU, row.name)
    return next((figures[name] for name in names if name in figures), None)


def cell(row: Row, figures: dict[str, float]) -> str:
    """The figure that counts, and behind it what the other way of measuring says."""
    clock, processor = figures.get(row.name), figures.get(row.name + CPU)
    if row.clock or processor is None:
        first, second, note = clock, processor, " processor time"
    else:
        first, second, note = processor, clock, " by the clock"
    if first is None:
        return f"{row.shown(second or 0.0)}{note}"
    return row.shown(first) + (f" ({row.shown(second)}{note})" if second is not None else "")


def ends(row: Row, results: Sequence[Result]) -> tuple[int, int] | None:
    """Which of the results are the worst and the best; None where none has the figure."""
    found = [(v, k) for k, result in enumerate(results) if (v := value(row, result.figures)) is not None]
    if not found:
        return None
    low, high = min(found)[1], max(found)[1]
    return (low, high) if row.more else (high, low)


def full_table(results: Sequence[Result]) -> str:
    """Every figure, the worst processor beside the best, and which processors they are."""
    lines = ["| what | worst | best | wanted | command |", "|---|---|---|---|---|"]
    letters = [chr(ord("A") + k) for k in range(len(results))]
    for row in sorted(ROWS, key=lambda row: not row.ratio):
        if (found := ends(row, results)) is not None:
            worst, best = (f"{cell(row, results[k].figures)} {letters[k]}" for k in found)
            command = f"`python benchmarks/{row.script}`"
            lines.append(f"| {row.what} | {worst} | {best} | {row.wanted()} | {command} |")
    named = zip(letters, results, strict=True)
    return "\n".join([*lines, "", *(f"- {letter}: {result.description}" for letter, result in named)])


def short_table(results: Sequence[Result]) -> str:
    """The README's rows."""
    what = "speed, all of it in [docs/speed.md](docs/speed.md)"
    lines = [f"| {what} | worst of {len(results)} processors | best |", "|---|---|---|"]
    for row in ROWS:
        if row.readme and (found := ends(row, results)) is not None:
            worst, best = (cell(row, results[k].figures) for k in found)
            lines.append(f"| {row.readme} | {worst} | {best} |")
    return "\n".join(lines)


def printed(figures: dict[str, float], rows: Iterable[Row]) -> list[str]:
    """Lines for a terminal: the figure, what it is, and whether it is as wanted."""
    lines = []
    for row in rows:
        if value(row, figures) is not None:
            verdict = {None: "", True: f"   wanted {row.wanted()}", False: f"   SHORT of {row.wanted()}"}
            lines.append(f"  {cell(row, figures):>24}  {row.what}{verdict[row.met(figures)]}")
    return lines


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    results = read_results()
    print(f"{short_table(results)}\n\n{full_table(results)}")


if __name__ == "__main__":
    main()
