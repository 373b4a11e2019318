"""Kill, fill and starve the real commands; see docs/trust.md.

    python tools/faults.py --rounds 3 --seed 0
    python tools/faults.py --commands train,sweep --faults kill --rounds 20

In a round every chosen fault is done once to every chosen command, at another moment or size each time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 where something did not hold."""
    from tools.faulting.commands import COMMANDS
    from tools.faulting.faults import FAULTS, skipped

    given = _parse(arguments)
    commands, faults = _chosen(given.commands, COMMANDS), _chosen(given.faults, FAULTS)
    for fault in [each for each in faults if skipped(each)]:
        print(f"skipped {fault}: {skipped(fault)}")
        faults.remove(fault)
    base = Path(tempfile.mkdtemp(prefix="sast-faults-"))
    try:
        outcomes = _run(base, commands, faults, given)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    _print(outcomes, commands, faults)
    return 1 if any(each.problems for each in outcomes) else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default="all", help="all, or names by comma")
    parser.add_argument("--faults", default="all", help="all, or names by comma")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after so long")
    return parser.parse_args(arguments)


def _chosen(text, known):  # type: ignore[no-untyped-def]
    names = list(known) if text == "all" else text.split(",")
    unknown = sorted(set(names) - set(known))
    if unknown:
        sys.exit(f"error: {unknown[0]}; expected all or some of {','.join(known)}")
    return names


def _run(base, commands, faults, given):  # type: ignore[no-untyped-def]
    import numpy as np

    from tools.faulting.check import disturb, undisturbed
    from tools.fuzzing.seeds import make_seeds

    os.environ.pop("SAST_DATA_ROOT", None)
    until, seeds, found, usual = time.monotonic() + 60 * given.minutes, make_seeds(base), [], {}
    for number in range(given.rounds):
        for name in commands:
            for fault in faults:
                if time.monotonic() > until:
                    return found
                if name not in usual:
                    usual[name] = undisturbed(base, name, seeds)
                rng = np.random.default_rng((given.seed, number, zlib.crc32(f"{name} {fault}".encode())))
                outcome = disturb(base, name, fault, rng, usual[name], seeds)
                found.append(outcome)
                if outcome.problems:
                    print(
                        f"FAILED {name}, {fault}: {outcome.done}: exit code {outcome.code}: "
                        f"{'; '.join(outcome.problems)}",
                        flush=True,
                    )
                    print("".join(f"    {line}\n" for line in outcome.stderr.splitlines()[-4:]), end="")
    return found


def _print(outcomes, commands, faults):  # type: ignore[no-untyped-def]
    """How often each fault was done to each command, and how often something did not hold."""
    done = Counter((each.command, each.fault) for each in outcomes)
    failed = Counter((each.command, each.fault) for each in outcomes if each.problems)
    width = max(len(name) for name in faults)
    print(" " * 15 + "  ".join(f"{fault:>{width}}" for fault in faults))
    for name in commands:
        cells = []
        for fault in faults:
            bad = failed[name, fault]
            cells.append(
                f"{done[name, fault] - bad} of {done[name, fault]}" if bad else str(done[name, fault])
            )
        print(f"{name:15}" + "  ".join(f"{cell:>{width}}" for cell in cells))
    print(f"{len(outcomes)} faults, {sum(failed.values())} after which something did not hold")


if __name__ == "__main__":
    sys.exit(main())
