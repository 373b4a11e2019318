"""sast-deploy: from SAST checkpoints to bit-accurate Loihi-like programs that Lava runs."""

import os
import sys

__version__ = "0.1.0"

if getattr(sys, "argv", [""])[:1] == ["-m"]:  # `python -m sast_deploy...` puts the current folder first
    _home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(os.getcwd()) != _home:
        del sys.path[0]  # a json.py of somebody's folder must not run in place of Python's own
