"""Networks of other tools: theirs become ours here, and ours theirs, C, hardware memories, NumPy arrays."""

TARGET_NAMES = ("c", "mem", "npz")
KNOWN, STDIN = "known", "stdin"
MAINS = (KNOWN, STDIN)  # what the program of a C export does: replay known answers, or classify frames
