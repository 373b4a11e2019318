"""Which processor this is, what it can do, and how busy it is; nothing that names the machine itself."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from gather import best, clock
from llvmlite import binding

from sast_deploy.base.versions import installed_version

# Vector extensions that the kernels could use, by LLVM's names, and how people write them.
EXTENSIONS = {
    "avx2": "AVX2", "avx512bw": "AVX512BW", "avx512vnni": "AVX512-VNNI", "avxvnni": "AVX-VNNI",
    "amx-int8": "AMX-INT8", "neon": "NEON", "dotprod": "NEON dot products", "i8mm": "NEON I8MM", "sve": "SVE",
}  # fmt: skip
PACKAGES = ("torch", "numpy", "numba", "llvmlite", "snntorch", "spikingjelly", "lava-nc", "tonic")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
COPIED = 64 << 20  # bytes, more than most caches hold


def processor() -> dict[str, Any]:
    """Model, cores that this process may use, extensions, caches; clock and copy rate as measured now."""
    features = binding.get_host_cpu_features()
    return {
        "model": model(),
        "architecture": f"{platform.machine()}, {binding.get_host_cpu_name()}",
        "cores": len(os.sched_getaffinity(0)),
        "clock_ghz": round(clock() / 1e9, 2),
        "extensions": [name for flag, name in EXTENSIONS.items() if features.get(flag)],
        "caches": caches(),
        "copy_gb_per_s": round(copy_rate() / 1e9, 1),
    }


def model() -> str:
    """As the kernel calls it, or lscpu, which knows more of ARM's."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if found is None:
        listed = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"^Model name: +(.+)$", listed, re.MULTILINE)
    return " ".join(found[1].split()) if found else platform.machine()


def caches() -> dict[str, str]:
    """Size of each level that holds data, as in {"L1d": "32K"}; empty where the kernel does not say."""
    found = {}
    for folder in sorted(CACHES.glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return found


def copy_rate() -> float:
    """Bytes a second that one core copies from memory to memory."""
    source = np.ones(COPIED, np.uint8)
    target = np.empty_like(source)
    return source.nbytes / best(lambda: np.copyto(target, source))


def versions() -> dict[str, str]:
    """Of what the measured times depend on."""
    found = {name: installed_version(name) or "missing" for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def slug(processor: dict[str, Any]) -> str:
    """The name of a processor's results file: its model, LLVM's name for it, its cores."""
    kind = processor["architecture"].rpartition(", ")[2]
    text = f"{processor['model']} {kind} {processor['cores']} cores".lower()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", text)).strip("-")


def busy() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 1)
