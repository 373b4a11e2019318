// Items of a file, one word a line, into the core: {end of step, end of sample, value, channel, row, column}.
// With `streaming` one sample follows the other; else each begins when the result of the one before is there.
/* verilator lint_off BLKSEQ */  // a bench is a program: it counts and reads line by line
module snn_driver #(
    parameter int BITS = 8
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            streaming,
    input  logic            done,
    output logic            valid,
    input  logic            ready,
    output logic [BITS-1:0] item,
    output logic [63:0]     cycle,
    output logic            begins  // a sample is offered from this cycle on, where nothing was before
);
    integer file, found;
    logic [BITS-1:0] next;
    logic waiting, opened;
    string folder;

    initial begin
        if (!$value$plusargs("in=%s", folder)) folder = "known";
        file = $fopen($sformatf("%0s/stimulus.txt", folder), "r");
        if (file == 0) begin
            $display("no file %0s/stimulus.txt", folder);
            $finish;
        end
    end

    always @(posedge clk) begin
        cycle <= rst ? 64'd0 : cycle + 64'd1;
        begins <= 1'b0;
        if (rst) begin
            {valid, waiting, opened} <= 3'b000;
        end else if (!valid || ready) begin
            if (valid && item[BITS-1] && item[BITS-2] && !streaming) begin
                {valid, waiting} <= 2'b01;
            end else if (!waiting || done) begin
                found = $fscanf(file, "%h\n", next);
                valid <= found == 1;
                item <= next;
                begins <= found == 1 && (!opened || waiting);
                {waiting, opened} <= 2'b01;
            end
        end
    end
endmodule
