"""The circuit of a program in Verilator or Icarus Verilog: every membrane, spike, logit and cycle."""
