// A constant memory, read in one cycle where `read` says so: FILE.mem; with more than one bank each is a
// memory of its own, for one lane's part of the word: FILE_000.mem, FILE_001.mem, ..., the lowest bits first.
module snn_rom #(
    parameter     FILE = "table",
    parameter int DEPTH = 2,
    parameter int BANKS = 1,
    parameter int BITS = 8,  // of a bank's word
    parameter int ADDRESS = 1
) (
    input  logic                  clk,
    input  logic                  read,
    input  logic [ADDRESS-1:0]    address,
    output logic [BANKS*BITS-1:0] word
);
    if (BANKS == 1) begin : whole
        logic [BITS-1:0] memory [0:(DEPTH < 2 ? 1 : DEPTH - 1)];
        initial $readmemh({FILE, ".mem"}, memory);
        always_ff @(posedge clk) if (read) word <= memory[address];
    end else begin : cut
        for (genvar i = 0; i < BANKS; i++) begin : bank
            localparam logic [7:0] HUNDREDS = 8'd48 + 8'(i / 100 % 10), TENS = 8'd48 + 8'(i / 10 % 10);
            localparam logic [7:0] ONES = 8'd48 + 8'(i % 10);
            logic [BITS-1:0] memory [0:(DEPTH < 2 ? 1 : DEPTH - 1)];
            initial $readmemh({FILE, "_", HUNDREDS, TENS, ONES, ".mem"}, memory);
            always_ff @(posedge clk) if (read) word[i*BITS +: BITS] <= memory[address];
        end
    end
endmodule
