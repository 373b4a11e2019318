// The synapses of one layer: every address of an event in turn, one word of LANES weights in a cycle, each
// added to its sum. A sum may be changed in every cycle: one that is not yet written is handed on.
//
//     for row in taps of rows, column in taps of columns, word in 0 .. WORDS - 1:
//         sums[sum] += weights[weight] * value
//
// `sums` has one row of LANES sums for every word of neurons, times the steps that delays look ahead.
module snn_synapses #(
    parameter     FILE = "layer0",
    parameter int LANES = 1,
    parameter bit WEIGHTED = 1,  // 0: every weight is 1
    parameter int BITS = 4,  // of a weight
    parameter int DEPTH = 2, BANKS = 1,  // of the memory of weights
    parameter int VALUE = 1,  // bits of an event's value
    parameter bit SIGNED = 0,  // whether it has a sign
    parameter int ACCUMULATOR = 8,  // bits of a sum
    parameter int ROWS = 2,  // of sums, of all slots
    parameter int TAPS = 1, WEIGHT = 1, SUM = 1,  // bits of counts and addresses
    parameter int WORDS = 1,  // that an event adds at every tap
    parameter int WORD = 1,  // bits of their count
    parameter int WORD_WEIGHT = 1,  // from one address to the next, of the weights: words, columns, rows
    parameter int COLUMN_WEIGHT = 0, ROW_WEIGHT = 0,
    parameter int COLUMN_SUM = 0, ROW_SUM = 0  // of the sums; words follow one another
) (
    input  logic                         clk,
    input  logic                         rst,
    input  logic                         load,  // an event, whose synapses follow
    output logic                         free,  // whether the next may be loaded now
    input  logic [VALUE-1:0]             value,
    input  logic [TAPS-1:0]              rows,
    input  logic [TAPS-1:0]              columns,
    input  logic [WEIGHT-1:0]            weight,
    input  logic [SUM-1:0]               sum,
    input  logic                         read,  // of a row, while no event is under way; it is cleared then
    input  logic [SUM-1:0]               read_row,
    input  logic                         clear,  // of a row that is not read
    output logic [LANES*ACCUMULATOR-1:0] word
);
    // Addresses of one event: those under way, where its row of taps began, and how many are left.
    logic busy, word_ends, column_ends;
    logic [VALUE-1:0] value0;
    logic [TAPS-1:0] columns0, columns_left, rows_left;
    logic [WORD-1:0] words_left;
    logic [WEIGHT-1:0] weight0, weight_row, weight_column;
    logic [SUM-1:0] sum0, sum_row, sum_column;

    assign word_ends = words_left == '0;
    assign column_ends = columns_left == '0;
    assign free = !busy || (word_ends && column_ends && rows_left == '0);

    always_ff @(posedge clk) begin
        if (rst) begin
            busy <= 1'b0;
        end else if (load) begin
            busy <= rows != '0 && columns != '0;
        end else if (free) begin
            busy <= 1'b0;
        end
        if (load) begin
            value0 <= value;
            {weight0, weight_column, weight_row} <= {3{weight}};
            {sum0, sum_column, sum_row} <= {3{sum}};
            words_left <= WORD'(WORDS - 1);
            columns0 <= columns - 1'b1;
            columns_left <= columns - 1'b1;
            rows_left <= rows - 1'b1;
        end else if (!word_ends) begin
            words_left <= words_left - 1'b1;
            weight0 <= weight0 + WEIGHT'(WORD_WEIGHT);
            sum0 <= sum0 + 1'b1;
        end else if (!column_ends) begin
            words_left <= WORD'(WORDS - 1);
            columns_left <= columns_left - 1'b1;
            {weight0, weight_column} <= {2{weight_column + WEIGHT'(COLUMN_WEIGHT)}};
            {sum0, sum_column} <= {2{sum_column + SUM'(COLUMN_SUM)}};
        end else begin
            words_left <= WORD'(WORDS - 1);
            columns_left <= columns0;
            rows_left <= rows_left - 1'b1;
            {weight0, weight_column, weight_row} <= {3{weight_row + WEIGHT'(ROW_WEIGHT)}};
            {sum0, sum_column, sum_row} <= {3{sum_row + SUM'(ROW_SUM)}};
        end
    end

    // The pipeline: weights in cycle 1, at hand in cycle 2, products and sums in cycle 3, written at its end.
    logic busy1, busy2, busy3, same3;
    logic [VALUE-1:0] value1, value2;
    logic [SUM-1:0] sum1, sum2, sum3, cleared_row;
    logic cleared;
    logic [LANES*ACCUMULATOR-1:0] product, product3, now, recent, stored;

    always_ff @(posedge clk) begin
        {value1, sum1} <= {value0, sum0};
        {value2, sum2} <= {value1, sum1};
        {product3, sum3} <= {product, sum2};
        {busy1, busy2, busy3, cleared} <= rst ? 4'b0 : {busy, busy1, busy2, read || clear};
        cleared_row <= read_row;
        same3 <= busy3 && sum2 == sum3;
        recent <= now;
    end

    if (WEIGHTED) begin : weighted
        logic [LANES*BITS-1:0] weights1, weights2;
        snn_rom #(.FILE({FILE, "_weights"}), .DEPTH(DEPTH), .BANKS(BANKS), .BITS(LANES * BITS / BANKS),
                  .ADDRESS(WEIGHT)) rom (
            .clk, .read(1'b1), .address(weight0), .word(weights1)
        );
        always_ff @(posedge clk) weights2 <= weights1;
        for (genvar i = 0; i < LANES; i++) begin : lane
            logic signed [BITS-1:0] one;
            logic signed [VALUE:0] times;
            logic signed [BITS+VALUE:0] both;
            logic unused;
            assign one = weights2[i*BITS +: BITS];
            assign times = {SIGNED && value2[VALUE-1], value2};
            assign both = VALUE == 1 && !SIGNED ? (BITS+VALUE+1)'(one)
                                                : (BITS+VALUE+1)'(one) * (BITS+VALUE+1)'(times);
            assign product[i*ACCUMULATOR +: ACCUMULATOR] = ACCUMULATOR'(both);
            assign unused = &{1'b0, both};
        end
    end else begin : counted
        logic signed [VALUE:0] times;
        logic unused;
        assign times = {SIGNED && value2[VALUE-1], value2};
        assign product = {LANES{ACCUMULATOR'(times)}};
        assign unused = &{1'b0, weight0};
    end

    for (genvar i = 0; i < LANES; i++) begin : adder
        assign now[i*ACCUMULATOR +: ACCUMULATOR] =
            (same3 ? recent[i*ACCUMULATOR +: ACCUMULATOR] : stored[i*ACCUMULATOR +: ACCUMULATOR])
            + product3[i*ACCUMULATOR +: ACCUMULATOR];
    end
    snn_ram #(.DEPTH(ROWS), .BITS(LANES * ACCUMULATOR), .ADDRESS(SUM)) ram (
        .clk,
        .write(busy3 || cleared), .write_address(cleared ? cleared_row : sum3),
        .write_word(cleared ? '0 : now),
        .read(1'b1), .read_address(read ? read_row : sum2), .word(stored)
    );
    assign word = stored;
endmodule
