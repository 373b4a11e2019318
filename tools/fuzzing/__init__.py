"""What tools/fuzz.py is made of: seeds, mutations, targets, and limited child processes that try them."""
