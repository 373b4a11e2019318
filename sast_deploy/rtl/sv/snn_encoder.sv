// Rows of outputs become events, one in a cycle, in the order of rows and lanes; an empty row takes a cycle.
//
// `start` comes when the first row has been put, and the others follow faster than they are read. Row r is at
// hand 3 cycles after row 0 was asked for, plus those that the rows before it took; its m-th event leaves
// m + 2 cycles later, and after the last row the end of the step in the same way.
module snn_encoder #(
    parameter int LANES = 1,
    parameter int ROWS = 1,  // positions * WORDS * GROUPS
    parameter int ADDRESS = 1,  // bits
    parameter bit SPIKES = 1,  // 0: words hold values
    parameter int VALUE = 1,  // bits of one
    parameter bit ALL = 0,  // whether values that are 0 are events too
    parameter int CHANNEL = 1, ROW = 1, COLUMN = 1,  // bits of the coordinates
    parameter int COLUMNS = 1,  // of positions in a row
    parameter int GROUPS = 1, WORDS = 1,  // of channels; rows of each at one position
    parameter int CHANNELS = 1  // of a group
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        put,
    input  logic [ADDRESS-1:0]          put_row,
    input  logic [LANES*VALUE-1:0]      put_word,
    input  logic                        start,
    input  logic                        start_last,  // whether the step is the sample's last
    output logic                        push,
    output logic                        push_end,
    output logic                        push_last,
    output logic [VALUE-1:0]            push_value,
    output logic [CHANNEL-1:0]          push_channel,
    output logic [ROW-1:0]              push_row,
    output logic [COLUMN-1:0]           push_column
);
    localparam int TAIL = CHANNELS - (WORDS - 1) * LANES;  // lanes of a group's last word
    localparam logic [ADDRESS:0] END = (ADDRESS+1)'(ROWS);

    // Rows are read ahead: address, word at hand, mask, mask under way.
    logic reading, last;
    logic [ADDRESS:0] address;
    logic word_valid, word_end, mask_valid, mask_end, rest_valid, rest_end;
    logic word_ready, mask_ready, rest_ready;
    logic [LANES*VALUE-1:0] word, mask_word, rest_word;
    logic [LANES-1:0] found, mask, mask_less, rest, rest_less;
    logic mask_few, rest_few;

    assign rest_ready = !rest_valid || rest_few;
    assign mask_ready = !mask_valid || rest_ready;
    assign word_ready = !word_valid || mask_ready;

    snn_ram #(.DEPTH(ROWS), .BITS(LANES * VALUE), .ADDRESS(ADDRESS)) ram (
        .clk, .write(put), .write_address(put_row), .write_word(put_word),
        .read(word_ready), .read_address(address[ADDRESS-1:0]), .word
    );

    // Which group's word of which position a mask belongs to.
    logic [ADDRESS-1:0] words, groups;
    logic tail;
    assign tail = words == ADDRESS'(WORDS - 1);
    for (genvar i = 0; i < LANES; i++) begin : lane
        if (SPIKES) begin : spike
            assign found[i] = word[i] && !(word_end || (tail && i >= TAIL));
        end else begin : number
            assign found[i] = (ALL || word[i*VALUE +: VALUE] != '0) && !(word_end || (tail && i >= TAIL));
        end
    end

    logic [CHANNEL-1:0] base, group_base, mask_base, rest_base;
    logic [ROW-1:0] y, mask_y, rest_y;
    logic [COLUMN-1:0] x, mask_x, rest_x;
    always_ff @(posedge clk) begin
        if (start) begin
            {words, groups, base, group_base, y, x} <= '0;
        end else if (word_valid && word_ready) begin
            words <= tail ? '0 : words + 1'b1;
            base <= base + CHANNEL'(LANES);
            if (tail) begin
                groups <= groups + 1'b1;
                {base, group_base} <= {2{group_base + CHANNEL'(CHANNELS)}};
                if (groups == ADDRESS'(GROUPS - 1)) begin
                    {groups, base, group_base} <= '0;
                    x <= x == COLUMN'(COLUMNS - 1) ? '0 : x + 1'b1;
                    if (x == COLUMN'(COLUMNS - 1)) y <= y + 1'b1;
                end
            end
        end
    end

    always_ff @(posedge clk) begin
        if (start) begin
            address <= '0;
            last <= start_last;
        end else if (reading && word_ready) begin
            address <= address + 1'b1;
        end
        if (word_ready) word_end <= address == END;
        if (rst) {reading, word_valid} <= '0;
        else begin
            if (start) reading <= 1'b1;
            else if (word_ready && address == END) reading <= 1'b0;
            if (word_ready) word_valid <= reading;
        end
    end

    // The mask, what is left of it without its lowest bit, and whether that is nothing: each is registered,
    // so that no path leads through the whole width twice.
    logic [LANES-1:0] found_less, less_less;
    assign found_less = found & (found - 1'b1);
    assign less_less = rest_less & (rest_less - 1'b1);

    always_ff @(posedge clk) begin
        if (mask_ready) begin
            {mask_end, mask_word, mask_base, mask_y, mask_x} <= {word_end, word, base, y, x};
            {mask, mask_less, mask_few} <= {found, found_less, found_less == '0};
        end
        if (rest_ready) begin
            {rest_end, rest_word} <= {mask_end, mask_word};
            {rest_base, rest_y, rest_x} <= {mask_base, mask_y, mask_x};
            {rest, rest_less, rest_few} <= {mask, mask_less, mask_few};
        end else begin
            {rest, rest_less, rest_few} <= {rest_less, less_less, less_less == '0};
        end
        if (rst) {mask_valid, rest_valid} <= '0;
        else begin
            if (mask_ready) mask_valid <= word_valid;
            if (rest_ready) rest_valid <= mask_valid;
        end
    end

    // The lowest bit alone, then its number and value.
    logic hot_end;
    logic [LANES-1:0] hot;
    logic [LANES*VALUE-1:0] hot_word;
    logic [CHANNEL-1:0] hot_base, lane_number;
    logic [ROW-1:0] hot_y;
    logic [COLUMN-1:0] hot_x;
    logic [VALUE-1:0] lane_value;

    always_comb begin
        lane_number = '0;
        lane_value = '0;
        for (int i = 0; i < LANES; i++) begin
            if (hot[i]) begin
                lane_number |= CHANNEL'(i);
                lane_value |= hot_word[i*VALUE +: VALUE];
            end
        end
    end
    always_ff @(posedge clk) begin
        {hot, hot_word, hot_base, hot_y, hot_x} <= {rest & ~rest_less, rest_word, rest_base, rest_y, rest_x};
        push_value <= lane_value;
        {push_channel, push_row, push_column, push_last} <= {hot_base + lane_number, hot_y, hot_x, last};
        if (rst) {hot_end, push, push_end} <= '0;
        else begin
            hot_end <= rest_valid && rest_end;
            {push, push_end} <= {hot != '0 || hot_end, hot_end};
        end
        if (rst || !rest_valid) hot <= '0;
    end
endmodule
