// What one layer of the core computes: every membrane and spike of every step, row by row, and the cycle in
// which each sweep begins. Written to files of a folder (+out), or compared with others' (+in, +cycles).
/* verilator lint_off BLKSEQ */  // a bench is a program: it counts and reads line by line
module snn_probe #(
    parameter     NAME = "layer0",
    parameter int LANES = 1,
    parameter int MEMBRANE = 8,
    parameter int ROWS = 1, GROUPS = 1, WORDS = 1, CHANNELS = 1  // as of its layer
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [63:0]               cycle,
    input  logic                      begins,
    input  logic                      put,
    input  logic                      put_last,
    input  logic [LANES*MEMBRANE-1:0] membranes,
    input  logic [LANES-1:0]          spikes,
    output integer                    errors
);
    integer states, stamps, found, sample, step, row, lane, neuron, stamped;
    logic [LANES*MEMBRANE-1:0] membranes_known;
    logic [LANES-1:0] spikes_known;
    logic [63:0] cycle_known;
    logic writes;
    string folder, stamped_in;

    initial begin
        {errors, sample, step, row, stamped} = '0;
        writes = $value$plusargs("out=%s", folder) != 0;
        if (!writes) begin
            if (!$value$plusargs("in=%s", folder)) folder = "known";
            if (!$value$plusargs("cycles=%s", stamped_in)) stamped_in = "known/single";
        end
        if (writes) begin
            states = $fopen($sformatf("%0s/%0s.txt", folder, NAME), "w");
            stamps = $fopen($sformatf("%0s/%0s_cycles.txt", folder, NAME), "w");
        end else begin
            states = $fopen($sformatf("%0s/%0s.txt", folder, NAME), "r");
            stamps = $fopen($sformatf("%0s/%0s_cycles.txt", stamped_in, NAME), "r");
        end
        if (states == 0 || stamps == 0) begin
            $display("no files of %0s in %0s", NAME, folder);
            $finish;
        end
    end

    always @(posedge clk) begin
        if (begins && !rst) begin
            if (writes) $fwrite(stamps, "%0d\n", cycle);
            else begin
                found = $fscanf(stamps, "%d\n", cycle_known);
                if (found != 1 || cycle !== cycle_known) begin
                    if (errors < 10)
                        $display("%s: sweep %0d begins in cycle %0d, expected %0d", NAME, stamped, cycle,
                            cycle_known);
                    errors = errors + 1;
                end
                stamped = stamped + 1;
            end
        end
        if (put && !rst) begin
            if (writes) $fwrite(states, "%h %h\n", membranes, spikes);
            else begin
                found = $fscanf(states, "%h %h\n", membranes_known, spikes_known);
                for (lane = 0; lane < LANES; lane = lane + 1) begin
                    // Lanes without a neuron compute nothing that matters; an unknown value differs from all.
                    if (row % WORDS * LANES + lane < CHANNELS && (found != 2
                        || membranes[lane*MEMBRANE +: MEMBRANE] !== membranes_known[lane*MEMBRANE +: MEMBRANE]
                        || spikes[lane] !== spikes_known[lane])) begin
                        neuron = (row / WORDS % GROUPS * CHANNELS + row % WORDS * LANES + lane)
                            * (ROWS / GROUPS / WORDS) + row / (GROUPS * WORDS);
                        if (errors < 10) begin
                            $write("%s: sample %0d, step %0d, neuron %0d: ", NAME, sample, step, neuron);
                            $display("membrane %0d against %0d, spike %b against %b",
                                $signed(membranes[lane*MEMBRANE +: MEMBRANE]),
                                $signed(membranes_known[lane*MEMBRANE +: MEMBRANE]),
                                spikes[lane], spikes_known[lane]);
                        end
                        errors = errors + 1;
                    end
                end
            end
            row = row + 1;
            if (row == ROWS) begin
                row = 0;
                step = put_last ? 0 : step + 1;
                if (put_last) sample = sample + 1;
            end
        end
    end
endmodule
