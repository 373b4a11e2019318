// The clock, for simulators that follow time: Icarus. Verilator's is in main.cpp.
module clock;
    logic clk = 1'b0;
    bench bench (.clk);
    always #1 clk = ~clk;
endmodule
