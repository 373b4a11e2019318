"""What Lava needs before its first import: the only place that works around Lava, none of whose files change.

Lava 0.10.0 and lava-dl 0.6.0 are the last releases. `prepare()` mends, in memory and in this process:

- Python 3.11+ refuses `ByteEncoder`, an unhashable dataclass, as a default value.
- `lava.lib.dl.netx.hdf5` imports torch, torchvision, OpenCV and matplotlib for one function that only
  resonate-and-fire neurons use.
- Stock convolutions import scipy.signal, half a second that nothing else needs: it is loaded on first use.
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
    _load_scipy_signal_lazily()
    _import_with_hashable_byte_encoder()
    _stand_in_for_slayer()
    from lava.magma.runtime.message_infrastructure import multiprocessing as messages

    messages.SharedMemoryManager = AnonymousMemoryManager


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


def _load_scipy_signal_lazily() -> None:
    if "scipy.signal" in sys.modules:
        return
    scipy = importlib.import_module("scipy")
    spec = importlib.util.find_spec("scipy.signal")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("No module named 'scipy.signal'", name="scipy.signal")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scipy.signal"] = module
    spec.loader.exec_module(module)
    # `from scipy import signal` takes the attribute as it is; importing the module would load it.
    scipy.signal = module  # type: ignore[attr-defined]


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
