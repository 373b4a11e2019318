"""What tools/faults.py is made of: the real commands, what is done to them, and what must hold afterwards."""
