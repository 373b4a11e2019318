"""The circuit of a program as files: modules, core, bench and memories."""

from __future__ import annotations

from dataclasses import dataclass

from sast_deploy.rtl.memories import Built, build_layers
from sast_deploy.rtl.plan import Plan
from sast_deploy.rtl.top import bench_files, bench_text, core_text, fixed_modules


@dataclass(frozen=True, eq=False)
class Circuit:
    """plan: what it was made of. layers: built. files: text by name, for `sv/`, `bench/` and `mem/`."""

    plan: Plan
    layers: tuple[Built, ...]
    files: dict[str, str]

    @property
    def sources(self) -> list[str]:
        """Of the core, in an order in which each module stands before what uses it."""
        return [name for name in self.files if name.startswith("sv/")]


def make_circuit(plan: Plan, samples: int = 0, limit: int = (1 << 31) - 1) -> Circuit:
    """All files. samples, limit: what the bench replays and waits where nobody says otherwise.

    Raises CompileError for logits beyond 64 bits.
    """
    layers = build_layers(plan)
    head = f"// {plan.program.digest()}\n// Lanes {', '.join(map(str, plan.lanes))}.\n"
    found = {f"sv/{name}": text for name, text in fixed_modules().items()}
    found["sv/snn_core.sv"] = core_text(layers, head)
    found |= {f"bench/{name}": text for name, text in bench_files().items()}
    found["bench/bench.sv"] = bench_text(layers, samples, limit)
    for layer in layers:
        found |= {f"mem/{memory.name}": memory.text() for memory in layer.memories}
    return Circuit(plan, layers, found)
