"""A network as C99 for a microcontroller: packed weights, one file of code, known answers."""
