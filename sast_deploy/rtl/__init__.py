"""A program as a circuit: one event-driven layer of SystemVerilog for each of its layers, and what they hold."""
