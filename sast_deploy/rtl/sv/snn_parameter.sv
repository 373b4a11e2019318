// A parameter of the neurons, one word of LANES values for each row of the table: read in one cycle.
// With one VALUE for all there is no memory.
module snn_parameter #(
    parameter     FILE = "table",
    parameter int DEPTH = 2,
    parameter bit CONSTANT = 0,
    parameter int LANES = 1,
    parameter int BITS = 8,
    parameter int ADDRESS = 1,
    parameter logic [BITS-1:0] VALUE = '0
) (
    input  logic                  clk,
    input  logic [ADDRESS-1:0]    address,
    output logic [LANES*BITS-1:0] word
);
    if (CONSTANT) begin : constant
        logic unused;
        assign unused = &{1'b0, clk, address};
        assign word = {LANES{VALUE}};
    end else begin : table_
        snn_rom #(.FILE(FILE), .DEPTH(DEPTH), .BITS(LANES * BITS), .ADDRESS(ADDRESS)) rom (
            .clk, .read(1'b1), .address, .word
        );
    end
endmodule
