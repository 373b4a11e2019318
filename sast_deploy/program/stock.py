"""What stock Lava's fixed-point neurons hold (lava-nc 0.10.0, lava/proc/lif/models.py)."""

from __future__ import annotations

STOCK_BIAS_MAX = (1 << 15) - 1  # the bias is cast to int16 and wraps silently
STOCK_VTH_MAX = (1 << 17) - 1  # mantissa of the threshold, on the chip too
STOCK_SHIFT = 6  # neurons shift activation and threshold to the left, NetX has them do so with the bias
