"""Runs of stock Lava from one process of each worker that has imported it."""

from __future__ import annotations

from functools import partial

from tools import stocklava
from tools.stocklava.server import Server

run_stock = partial(stocklava.run_stock, starter=Server())
