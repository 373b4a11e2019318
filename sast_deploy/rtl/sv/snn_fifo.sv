// A queue that never fills: whoever pushes knows that there is room. A word that is pushed in cycle p can be
// taken from cycle p + 2 on, one in every cycle.
module snn_fifo #(
    parameter int DEPTH = 2,
    parameter int BITS = 8,
    parameter int ADDRESS = 1
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            push,
    input  logic [BITS-1:0] pushed,
    output logic            valid,
    output logic [BITS-1:0] word,
    input  logic            ready
);
    localparam logic [ADDRESS-1:0] LAST = ADDRESS'(DEPTH - 1);
    logic [ADDRESS-1:0] head, tail;
    logic [ADDRESS:0]   waiting;  // in the memory, without `word`
    logic               move;

    assign move = (waiting != '0) && (ready || !valid);

    always_ff @(posedge clk) begin
        if (rst) begin
            {head, tail, waiting, valid} <= '0;
        end else begin
            if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
            if (move) head <= head == LAST ? '0 : head + 1'b1;
            if (push && !move) waiting <= waiting + 1'b1;
            if (move && !push) waiting <= waiting - 1'b1;
            valid <= move || (valid && !ready);
        end
    end

    snn_ram #(.DEPTH(DEPTH), .BITS(BITS), .ADDRESS(ADDRESS)) ram (
        .clk, .write(push), .write_address(tail), .write_word(pushed),
        .read(move), .read_address(head), .word
    );
endmodule
