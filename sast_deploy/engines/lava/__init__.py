"""The Lava backend. Importing it does not import Lava: that happens in a child process.

`run_lava` runs the exact program of a .net file, batched, on Lava processes of our own; `run_stock` runs the
same file on unmodified stock NetX and stock processes, one sample at a time.
"""

from sast_deploy.engines.lava.run import run_lava
from sast_deploy.engines.lava.stock import StockOptions, StockRun, run_stock

__all__ = ["StockOptions", "StockRun", "run_lava", "run_stock"]
