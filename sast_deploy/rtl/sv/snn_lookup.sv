// From an event (value, channel, row, column) to where its synapses begin.
//
// Tables of rows and columns give (taps, offset of the weight, offset of the sum) of one coordinate; offsets
// of both add up, and those of the channel: its number, of the weights (CHANNELS 0) or of the sums (1), or a
// table's (2). Two cycles, three with a delay for each input.
module snn_lookup #(
    parameter     FILE = "layer0",
    parameter int VALUE = 1,
    parameter int CHANNEL = 1, ROW = 1, COLUMN = 1,  // bits of the coordinates
    parameter int CHANNEL_SIZE = 2, ROW_SIZE = 2, COLUMN_SIZE = 2,  // words of the tables
    parameter int CHANNELS = 0,
    parameter int TAPS = 1, WEIGHT = 1, SUM = 1,  // bits of counts and offsets
    parameter bit DELAYS = 0,
    parameter int DELAY_SIZE = 2
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               in_valid,
    output logic               in_ready,
    input  logic               in_end,
    input  logic               in_last,
    input  logic [VALUE-1:0]   in_value,
    input  logic [CHANNEL-1:0] in_channel,
    input  logic [ROW-1:0]     in_row,
    input  logic [COLUMN-1:0]  in_column,
    output logic               valid,
    input  logic               ready,
    output logic               last_of_sample,
    output logic               end_of_step,
    output logic [VALUE-1:0]   value,
    output logic [TAPS-1:0]    rows,
    output logic [TAPS-1:0]    columns,
    output logic [WEIGHT-1:0]  weight,
    output logic [SUM-1:0]     sum,
    output logic [5:0]         delay
);
    localparam int AXIS = TAPS + WEIGHT + SUM;

    // First cycle: the tables.
    logic valid1, ready1, end1, last1;
    logic [VALUE-1:0] value1;
    logic [AXIS-1:0] row_word, column_word;
    logic [WEIGHT-1:0] channel_weight;
    logic [SUM-1:0] channel_sum;

    assign in_ready = !valid1 || ready1;
    snn_rom #(.FILE({FILE, "_rows"}), .DEPTH(ROW_SIZE), .BITS(AXIS), .ADDRESS(ROW)) row_table (
        .clk, .read(in_ready), .address(in_row), .word(row_word)
    );
    snn_rom #(.FILE({FILE, "_columns"}), .DEPTH(COLUMN_SIZE), .BITS(AXIS), .ADDRESS(COLUMN)) column_table (
        .clk, .read(in_ready), .address(in_column), .word(column_word)
    );
    if (CHANNELS == 2) begin : of_table
        snn_rom #(
            .FILE({FILE, "_channels"}), .DEPTH(CHANNEL_SIZE), .BITS(WEIGHT + SUM), .ADDRESS(CHANNEL)
        ) channels (
            .clk, .read(in_ready), .address(in_channel), .word({channel_weight, channel_sum})
        );
    end else begin : of_number
        logic [CHANNEL-1:0] channel1;
        always_ff @(posedge clk) if (in_ready) channel1 <= in_channel;
        assign channel_weight = CHANNELS == 0 ? WEIGHT'(channel1) : '0;
        assign channel_sum = CHANNELS == 1 ? SUM'(channel1) : '0;
    end
    always_ff @(posedge clk) begin
        if (in_ready) {end1, last1, value1} <= {in_end, in_last, in_value};
        if (rst) valid1 <= 1'b0;
        else if (in_ready) valid1 <= in_valid;
    end

    // Second cycle: the sums of the offsets.
    logic valid2, ready2, end2, last2;
    logic [VALUE-1:0] value2;
    logic [TAPS-1:0] rows2, columns2;
    logic [WEIGHT-1:0] weight2;
    logic [SUM-1:0] sum2;

    assign ready1 = !valid2 || ready2;
    always_ff @(posedge clk) begin
        if (ready1) begin
            {end2, last2, value2} <= {end1, last1, value1};
            rows2 <= row_word[SUM+WEIGHT +: TAPS];
            columns2 <= column_word[SUM+WEIGHT +: TAPS];
            weight2 <= row_word[SUM +: WEIGHT] + column_word[SUM +: WEIGHT] + channel_weight;
            sum2 <= row_word[0 +: SUM] + column_word[0 +: SUM] + channel_sum;
        end
        if (rst) valid2 <= 1'b0;
        else if (ready1) valid2 <= valid1;
    end

    // Third cycle, where inputs have delays of their own.
    if (DELAYS) begin : delayed
        localparam int INPUT = $clog2(DELAY_SIZE);  // the first address of an input's weights is its number
        snn_rom #(.FILE({FILE, "_delays"}), .DEPTH(DELAY_SIZE), .BITS(6), .ADDRESS(INPUT)) delays (
            .clk, .read(ready2), .address(weight2[INPUT-1:0]), .word(delay)
        );
        assign ready2 = !valid || ready;
        always_ff @(posedge clk) begin
            if (ready2) begin
                {end_of_step, last_of_sample, value, rows, columns, weight, sum} <=
                    {end2, last2, value2, rows2, columns2, weight2, sum2};
            end
            if (rst) valid <= 1'b0;
            else if (ready2) valid <= valid2;
        end
    end else begin : direct
        assign ready2 = ready;
        assign delay = '0;
        assign {valid, end_of_step, last_of_sample, value, rows, columns, weight, sum} =
            {valid2, end2, last2, value2, rows2, columns2, weight2, sum2};
    end
endmodule
