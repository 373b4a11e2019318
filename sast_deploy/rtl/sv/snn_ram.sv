// A memory with one write port and one read port; what is read appears in the next cycle, where `read` says
// so. Of an address that is written in the same cycle either word may be read: nobody here does so unaware.
module snn_ram #(
    parameter int DEPTH = 2,
    parameter int BITS = 8,
    parameter int ADDRESS = 1
) (
    input  logic               clk,
    input  logic               write,
    input  logic [ADDRESS-1:0] write_address,
    input  logic [BITS-1:0]    write_word,
    input  logic               read,
    input  logic [ADDRESS-1:0] read_address,
    output logic [BITS-1:0]    word
);
    (* no_rw_check *) logic [BITS-1:0] memory [0:(DEPTH < 2 ? 1 : DEPTH - 1)];

    always_ff @(posedge clk) begin
        if (write) memory[write_address] <= write_word;
        if (read) word <= memory[read_address];
    end
endmodule
