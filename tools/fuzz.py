"""Feed damaged and hostile files to every reader of the product; see docs/trust.md.

    python tools/fuzz.py --target all --inputs 1000 --seed 0 --jobs 2

Every input is named by (target, seed, number): `--target net --seed 0 --only 17` reads that one again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 where there are failures."""
    given = _parse(arguments)
    _prepare(given.kernels)
    from tools.fuzzing.pool import Task
    from tools.fuzzing.seeds import make_seeds
    from tools.fuzzing.targets import TARGETS

    chosen = list(TARGETS) if given.target == "all" else given.target.split(",")
    unknown = sorted(set(chosen) - set(TARGETS))
    if unknown:
        print(f"error: --target {unknown[0]}; expected all or some of {','.join(TARGETS)}", file=sys.stderr)
        return 2
    here = os.getcwd()
    base = Path(tempfile.mkdtemp(prefix="sast-fuzz-"))
    try:
        seeds = make_seeds(base)
        numbers = range(given.inputs) if given.only is None else [given.only]
        # All targets by turns, so that a run that is cut short has seen them all.
        tasks = [Task(name, given.seed, number) for number in numbers for name in chosen]
        found, seconds = _run(tasks, base, seeds, given)
        kept = given.save or Path(tempfile.gettempdir()) / "sast-fuzz-failures"
        failed = [each for each in found if each.kind]
        if failed:
            failed = _minimised(failed, base, seeds, given)
            _keep(failed, base, seeds, Path(here) / kept)
        _print_table(chosen, found, seconds)
        _print_kinds(failed, kept, found)
    finally:
        os.chdir(here)
        shutil.rmtree(base, ignore_errors=True)
    return 1 if failed else 0


def _parse(arguments):  # type: ignore[no-untyped-def]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="all", help="all, or names by comma")
    parser.add_argument("--inputs", type=int, default=1000, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long")
    parser.add_argument("--only", type=int, help="just the input of this number")
    parser.add_argument("--save", type=Path, help="folder for the failing inputs, one of each kind")
    parser.add_argument("--kernels", type=Path, help="folder of the kernels compiled with bounds checks")
    return parser.parse_args(arguments)


def _prepare(kernels: Path | None) -> None:
    """Before anything is imported: kernels that check their bounds, one thread, no network."""
    folder = kernels or Path.home() / ".cache" / "sast-deploy" / "fuzz-kernels"
    os.environ |= {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "HDF5_USE_FILE_LOCKING": "FALSE",
        "MPLBACKEND": "agg",
        "PYTHONWARNINGS": "ignore",
    }
    os.environ.pop("SAST_DATA_ROOT", None)


def _run(tasks, base, seeds, given):  # type: ignore[no-untyped-def]
    from tools.fuzzing.pool import findings, run_tasks

    start = time.monotonic()
    for _ in run_tasks(tasks, base, seeds, given.jobs, start + 60 * given.minutes):
        pass
    return findings(base), time.monotonic() - start


def _minimised(failed, base, seeds, given):  # type: ignore[no-untyped-def]
    """One finding of each kind, with as few mutations as show it."""
    from dataclasses import replace

    from tools.fuzzing.pool import generators

    first = {}
    for each in sorted(failed, key=lambda each: (len(each.labels), each.seconds)):
        first.setdefault((each.task.target, each.kind), each)
    trials = [
        replace(each.task, only=(index,))
        for each in first.values()
        for index in range(len(generators(each.task)) - 1)
        if len(generators(each.task)) > 2
    ]
    if trials:
        for each in _run(trials, base, seeds, given)[0]:
            known = first.get((each.task.target, each.kind))
            if known is not None and known.task.only is None and known.task.number == each.task.number:
                first[each.task.target, each.kind] = each
    counts = Counter((each.task.target, each.kind) for each in failed)
    return [(counts[key], each) for key, each in sorted(first.items())]


def _keep(failed, base, seeds, folder):  # type: ignore[no-untyped-def]
    """Write one failing input of each kind."""
    from tools.fuzzing.inputs import Place, make
    from tools.fuzzing.pool import generators
    from tools.fuzzing.targets import TARGETS

    shutil.rmtree(folder, ignore_errors=True)
    for number, (_, each) in enumerate(failed):
        place = Place(base, folder / f"{number:03d}-{each.task.target}-{each.task.number}", seeds)
        place.folder.mkdir(parents=True)
        make(TARGETS[each.task.target], generators(each.task), place, each.task.only)
        words = [f"{each.task}", each.kind, ", ".join(each.labels), each.detail]
        (place.folder / "why.txt").write_text("\n".join(words) + "\n", errors="replace")


def _print_table(chosen, found, seconds):  # type: ignore[no-untyped-def]
    columns = (
        "target",
        "inputs",
        "refused",
        "accepted",
        "not by the reference",
        "unmade",
        "failed",
        "ms each",
        "slowest s",
    )
    print("  ".join(f"{name:>9}" for name in columns))
    by_target = defaultdict(list)
    for each in found:
        by_target[each.task.target].append(each)
    for name in chosen:
        those = by_target[name]
        count = Counter(each.verdict for each in those)
        skipped = sum(n for verdict, n in count.items() if verdict.startswith("accepted,"))
        times = [each.seconds for each in those] or [0.0]
        cells = (
            name,
            f"{len(those):,}",
            f"{count['refused']:,}",
            f"{count['accepted'] + skipped:,}",
            f"{skipped:,}",
            f"{count['unmade']:,}",
            f"{count['failed']:,}",
            f"{1e3 * sum(times) / len(times):.1f}",
            f"{max(times):.1f}",
        )
        print("  ".join(f"{cell:>{max(9, len(title))}}" for cell, title in zip(cells, columns, strict=True)))
    print(f"{len(found):,} inputs in {seconds:.0f} s, {len(found) / max(seconds, 1e-9):.0f} a second")


def _print_kinds(failed, kept, found):  # type: ignore[no-untyped-def]
    for each in found:
        if each.verdict == "unmade":
            print(f"not made: {each.task} {each.detail}")
    for count, each in failed:
        name = f"--target {each.task.target} --seed {each.task.seed} --only {each.task.number}"
        print(f"FAILED {count} x {each.task.target}: {each.kind} [{'; '.join(each.labels)}] {name}")
    if failed:
        print(f"one input of each kind lies in {kept}")


if __name__ == "__main__":
    sys.exit(main())
