"""The two tools as a person runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def tool(name, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != "SAST_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, f"tools/{name}", *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
