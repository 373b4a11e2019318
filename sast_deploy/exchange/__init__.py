"""Networks in other people's languages: what a program becomes for C, hardware memories and NumPy."""

TARGET_NAMES = ("c", "mem", "npz")
KNOWN, STDIN = "known", "stdin"
MAINS = (KNOWN, STDIN)  # what the program of a C export does: replay known answers, or classify frames
