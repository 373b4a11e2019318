"""The fast engine: batched, event-driven, bit-equal with the reference."""

from __future__ import annotations

from sast_deploy.engines.fast.engine import FastEngine, run_fast

__all__ = ["FastEngine", "run_fast"]
