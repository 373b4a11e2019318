"""The Lava backend. Importing it does not import Lava: that happens in a child process.

`run_lava` runs the exact program of a .net file, batched, on Lava processes of our own. What unmodified stock
NetX makes of a file is for tests and benchmarks: tools/stocklava.
"""

from sast_deploy.engines.lava.run import run_lava

__all__ = ["run_lava"]
