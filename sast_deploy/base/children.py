"""How a module of ours is started in a Python process of its own, wherever the person happens to be."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# `-m` and `-c` put the current folder before everything else, and a json.py there would run. `-P`, which
# prevents that, came with Python 3.11; before, this does. `sys` is built in, so it comes from no folder.
_START = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; del sys.argv[0]; "
    "import runpy; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def python_command(module: str, *arguments: str) -> list[str]:
    """The command line of a fresh Python that runs a module, and looks for none in the current folder."""
    start = ["-P", "-m"] if sys.version_info >= (3, 11) else ["-c", _START]
    return [sys.executable, *start, module, *arguments]


@contextmanager
def stops_held() -> Iterator[None]:
    """What stops a run waits until the block has ended: raised inside `Popen`, nobody knows of its child.

    Handlers and not the mask, since the kernel hands a signal to any thread that does not block it.
    """
    came: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # the only thread in which handlers run
    before = {stop: signal.getsignal(stop) for stop in STOPS if here and callable(signal.getsignal(stop))}
    for stop in before:
        signal.signal(stop, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
        for number in came:
            signal.raise_signal(number)


def checkout() -> Path | None:
    """The folder that our package lies in, where it is not installed."""
    root = Path(__file__).resolve().parents[2]
    return None if root == Path(sysconfig.get_path("purelib")).resolve() else root


def child_environment(threads: int = 1) -> dict[str, str]:
    """This environment, with our package importable and numeric libraries kept to so many threads."""
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    root = checkout()
    if root is not None:
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, inherited)])
    return environment
