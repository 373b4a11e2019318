"""What Lava needs before its first import: the only place that works around Lava, none of whose files change.

Lava 0.10.0 and lava-dl 0.6.0 are the last releases. `prepare()` mends, in memory and in this process:

- Python 3.11+ refuses `ByteEncoder`, an unhashable dataclass, as a default value.
- `lava.lib.dl.netx.hdf5` imports torch, torchvision, OpenCV and matplotlib for one function that only
  resonate-and-fire neurons use.
- Stock convolutions import scipy.signal, and scipy.sparse has NumPy load f2py and its tests: half a second,
  and nothing needs them. They are loaded on first use.
- The compiler executes every module of a folder anew for each process there: once for each class will do.
- Connections live in /dev/shm. Where that is too small Lava hangs without a word, and where its processes
  are killed they stay. Its actors are forked, so anonymous shared memory serves and leaves nothing behind.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


def prepare() -> None:
    """Make Lava and NetX importable. Call once, in a fresh process, before the first lava import.

    Raises:
        ImportError: lava-nc or lava-dl is not installed.
    """
    for name in ("numpy.f2py", "numpy.testing", "scipy.signal"):
        _load_lazily(name)
    _import_with_hashable_byte_encoder()
    _stand_in_for_slayer()
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
    from lava.magma.runtime.message_infrastructure import multiprocessing as messages

    messages.SharedMemoryManager = AnonymousMemoryManager
    ProcGroupDiGraphs._find_proc_models = staticmethod(_once_a_class(ProcGroupDiGraphs._find_proc_models))


class AnonymousMemoryManager:
    """Lava's SharedMemoryManager without /dev/shm: memory that forked actors inherit."""

    def start(self) -> None:
        """Nothing to start: there is no server process."""

    def shutdown(self) -> None:
        """Nothing to release: the memory ends with the last process that maps it."""

    def create_shared_memory(self, size: int) -> AnonymousMemory:
        """Zeroed shared memory of at least `size` bytes."""
        return AnonymousMemory(size)


class AnonymousMemory:
    """The one attribute of multiprocessing's SharedMemory that Lava's channels use."""

    def __init__(self, size: int) -> None:
        self.buf = memoryview(mmap.mmap(-1, max(size, 1)))


def _once_a_class(find: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """A function of a process that depends on its class alone, without doing it again."""
    found: dict[type, list[Any]] = {}

    def once(proc: Any) -> list[Any]:
        if type(proc) not in found:
            found[type(proc)] = find(proc)
        return [*found[type(proc)]]

    return once


def _import_with_hashable_byte_encoder() -> None:
    original: Callable[..., Any] = dataclasses.dataclass

    def hashable(cls: type | None = None, /, **options: Any) -> Any:
        if cls is None:
            return original(**options)
        return original(cls, unsafe_hash=True) if cls.__name__ == "ByteEncoder" else original(cls, **options)

    dataclasses.dataclass = hashable
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = original


def _load_lazily(name: str) -> None:
    if name in sys.modules:
        return
    package, _, short = name.partition(".")
    parent, spec = importlib.import_module(package), importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    # `from scipy import signal` takes the attribute as it is; importing the module would load it.
    setattr(parent, short, module)


def _stand_in_for_slayer() -> None:
    spec = importlib.util.find_spec("lava.lib.dl.netx")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'lava.lib.dl.netx'", name="lava.lib.dl.netx")
    root = Path(spec.origin).parent.parent
    for name in ("slayer", "slayer.neuron", "slayer.neuron.rf", "netx.sequential_modules"):
        module = ModuleType(f"lava.lib.dl.{name}")
        # Lava's compiler looks for process models in the folder of every module beside a process.
        module.__file__ = str(root / "netx" / "__init__.py")
        if not name.endswith(("rf", "modules")):
            module.__path__ = []
        sys.modules.setdefault(module.__name__, module)
    rf: Any = sys.modules["lava.lib.dl.slayer.neuron.rf"]
    rf.neuron_params = getattr(rf, "neuron_params", _refuse_resonators)


def _refuse_resonators(*_: Any) -> Any:
    raise NotImplementedError("resonate-and-fire neurons need lava.lib.dl.slayer")
