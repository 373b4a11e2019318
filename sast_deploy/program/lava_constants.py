"""Numbers of stock Lava that more than one of our modules computes with, and where they stand.

Sources: lava-nc 0.10.0 (lava/...), lava-dl 0.6.0 (netx/... for lava/lib/dl/netx/...).
"""

from __future__ import annotations

# lava/proc/lif/models.py, AbstractPyLifModelFixed and PyLifModelBitAcc
UV_BITS = 24  # uv_bitwidth, of current and membrane
DECAY_UNITY = 1 << 12  # decay_unity, at which nothing is left
MANTISSA_SHIFT = 6  # act_shift and vth_shift, and netx/hdf5.py's bias_exp
BIAS_MANT_MIN, BIAS_MANT_MAX = -(1 << 15), (1 << 15) - 1  # bias_mant is cast to int16 and wraps silently
VTH_MANT_MAX = (1 << 17) - 1  # vth has 17 bits
# lava/utils/weightutils.py and netx/utils.py
WEIGHT_BITS = 8
# Of a matrix of mixed signs: clipped beyond; of one sign and 256 or more, silently 0.
WEIGHT_MIN, WEIGHT_MAX = -(1 << WEIGHT_BITS), (1 << WEIGHT_BITS) - 2
# lava/proc/conv/models.py
GEOMETRY_MAX = (1 << 7) - 1  # stride, padding and dilation are int8
# netx/hdf5.py, Network
SYNAPSE_DELAY_MAX = 62  # delays above are clipped to it
NEVER_FIRES = 1 << 17  # vThMant of a dense layer without neurons: written 1 << 18 - 1
PIXEL_WEIGHT = 64  # of an input layer that names none
