"""Many runs that a person can leave alone: a grid in a TOML file, one folder per run, resumable, parallel."""

from __future__ import annotations

from sast_deploy.studies.sweep.study import Run, Study, load_study

__all__ = ["Run", "Study", "load_study"]
