// The clock, for Verilator: cycles until the bench says that it has finished.
#include "Vbench.h"
#include "verilated.h"

int main(int argc, char **argv) {
    Verilated::commandArgs(argc, argv);
    Vbench bench;
    bench.clk = 0;
    bench.eval();
    while (!Verilated::gotFinish()) {
        bench.clk = !bench.clk;
        bench.eval();
    }
    bench.final();
    return 0;
}
