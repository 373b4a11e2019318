"""A network as a circuit: SystemVerilog, memories, and a bench that replays the known answers."""
