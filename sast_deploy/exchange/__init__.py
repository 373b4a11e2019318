"""Networks of other tools: theirs become ours here, and ours theirs, C, hardware memories, NumPy arrays."""

TARGET_NAMES = ("nir", "c", "mem", "npz", "rtl")
ANY_READER = "any"
READERS = (ANY_READER, "snntorch", "norse", "spikingjelly", "sinabs")  # whom a NIR graph is for
KNOWN, STDIN = "known", "stdin"
DEVICE_NAMES = ("any", "ecp5-25k", "ecp5-45k", "ecp5-85k")  # what a circuit is for
MAINS = (KNOWN, STDIN)  # what the program of a C export does: replay known answers, or classify frames
