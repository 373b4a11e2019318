"""A program as a circuit: event-driven layers in SystemVerilog, what they hold, and their cycles."""
