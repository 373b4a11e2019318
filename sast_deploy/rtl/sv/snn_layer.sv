// One layer: events of a step are added up, then the neurons are swept, row by row, and their spikes leave.
//
//     ADD     every event as it comes, one word of weights in a cycle
//     DRAIN   the end of the step has come: until the last sum is written
//     WAIT    until the next layer has taken all of the step before, and the last sweep has written its rows
//     SWEEP   one row of neurons in a cycle; sums are cleared as they are read
//     CLEAR   after a reset, and where sums of later steps are left over after a sample's last step
//
// Because a sweep begins only when the queue behind it is empty, and the queue holds a whole step, nothing
// ever waits inside a step: the time of everything follows from the events alone.
module snn_layer #(
    parameter     FILE = "layer0",
    parameter int LANES = 1,
    // Events in.
    parameter int IN_VALUE = 1, IN_CHANNEL = 1, IN_ROW = 1, IN_COLUMN = 1,  // bits
    parameter bit IN_SIGNED = 0,
    parameter int CHANNEL_SIZE = 2, ROW_SIZE = 2, COLUMN_SIZE = 2,  // words of their tables
    parameter int CHANNEL_OFFSETS = 0,  // 0: of weights, 1: of sums, the channel's number; 2: of a table
    // Synapses.
    parameter bit WEIGHTED = 1,
    parameter int WEIGHT = 4, WEIGHTS = 2, WEIGHT_BANKS = 1, WEIGHT_ADDRESS = 1,
    parameter int ACCUMULATOR = 8,
    parameter int TAPS = 1,  // bits of the count of taps
    parameter int WORD_WEIGHT = 1, COLUMN_WEIGHT = 0, ROW_WEIGHT = 0, COLUMN_SUM = 0, ROW_SUM = 0,
    parameter int SLOTS = 1, DELAY = 0,  // steps that sums are kept for; the delay of all inputs
    parameter bit DELAYS = 0,  // or one for each
    parameter int DELAY_SIZE = 2,
    // Neurons: ROWS words of LANES, in WORDS of GROUPS at each position.
    parameter int ROWS = 1, ROW_ADDRESS = 1, SUM_ADDRESS = 1, GROUPS = 1, WORDS = 1, CHANNELS = 1,
    parameter int OUT_COLUMNS = 1,
    parameter int EXPONENT = 0, SHIFT_ROUNDING = 0, LEAK_ROUNDING = 0,
    parameter int CURRENT = 8, MEMBRANE = 8, TOTAL = 10, LOGIT = 1,
    parameter bit FILTER = 0,
    parameter int LEAK_SHIFT = 0, KEEP = 1, FILTER_SHIFT = 12, FILTER_KEEP = 13,
    parameter bit LEAKS = 1,  // 0: keep is 1 for all
    parameter bit KEEP_CONSTANT = 1, FILTER_KEEP_CONSTANT = 1, BIAS_CONSTANT = 1, THRESHOLD_CONSTANT = 1,
    parameter logic [KEEP-1:0] KEEP_VALUE = '0,
    parameter logic [FILTER_KEEP-1:0] FILTER_KEEP_VALUE = '0,
    parameter int BIAS = 1, THRESHOLD = 1,
    parameter logic [BIAS-1:0] BIAS_VALUE = '0,
    parameter logic [THRESHOLD-1:0] THRESHOLD_VALUE = '0,
    parameter int RESET = 0, FIT = 0, DECODING = 0,
    parameter bit AT_THRESHOLD = 1,
    parameter int INTERVAL = 0, OFFSET = 0,  // steps from one clearing of states to the next
    // Events out: spikes, values that are not 0 (POOLS), or logits after the last step (READS).
    parameter bit POOLS = 0, READS = 0,
    parameter int OUT_VALUE = 1, OUT_CHANNEL = 1, OUT_ROW = 1, OUT_COLUMN = 1
) (
    input  logic                   clk,
    input  logic                   rst,
    input  logic                   in_valid,
    output logic                   in_ready,
    input  logic                   in_end,
    input  logic                   in_last,
    input  logic [IN_VALUE-1:0]    in_value,
    input  logic [IN_CHANNEL-1:0]  in_channel,
    input  logic [IN_ROW-1:0]      in_row,
    input  logic [IN_COLUMN-1:0]   in_column,
    output logic                   taken,  // all of a step
    output logic                   push,
    output logic                   push_end,
    output logic                   push_last,
    output logic [OUT_VALUE-1:0]   push_value,
    output logic [OUT_CHANNEL-1:0] push_channel,
    output logic [OUT_ROW-1:0]     push_row,
    output logic [OUT_COLUMN-1:0]  push_column,
    input  logic                   pushed_taken
);
    localparam int SUMS = ROWS * SLOTS;
    localparam int WORD = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam int PARAMETERS = GROUPS * WORDS;  // rows of each table of parameters
    localparam int PARAMETER = PARAMETERS > 1 ? $clog2(PARAMETERS) : 1;

    localparam logic [2:0] ADD = 3'd0, DRAIN = 3'd1, WAIT = 3'd2, SWEEP = 3'd3, CLEAR = 3'd4;
    logic [2:0] phase;

    // Events to addresses.
    logic item_valid, item_ready, item_end, item_last, free;
    logic [IN_VALUE-1:0] item_value;
    logic [TAPS-1:0] item_rows, item_columns;
    logic [WEIGHT_ADDRESS-1:0] item_weight;
    logic [SUM_ADDRESS-1:0] item_sum, slot_sum;
    logic [5:0] item_delay;

    snn_lookup #(
        .FILE(FILE), .VALUE(IN_VALUE), .CHANNEL(IN_CHANNEL), .ROW(IN_ROW), .COLUMN(IN_COLUMN),
        .CHANNEL_SIZE(CHANNEL_SIZE), .ROW_SIZE(ROW_SIZE), .COLUMN_SIZE(COLUMN_SIZE),
        .CHANNELS(CHANNEL_OFFSETS), .TAPS(TAPS), .WEIGHT(WEIGHT_ADDRESS), .SUM(SUM_ADDRESS), .DELAYS(DELAYS),
        .DELAY_SIZE(DELAY_SIZE)
    ) lookup (
        .clk, .rst, .in_valid, .in_ready, .in_end, .in_last, .in_value, .in_channel, .in_row, .in_column,
        .valid(item_valid), .ready(item_ready), .end_of_step(item_end), .last_of_sample(item_last),
        .value(item_value), .rows(item_rows), .columns(item_columns), .weight(item_weight), .sum(item_sum),
        .delay(item_delay)
    );
    assign item_ready = phase == ADD && free;

    // Phases.
    // Of rows 1 to 7 cycles after they were asked for: whether there is one, a step's first, one of the
    // sample's last step.
    logic [7:1] moving, heads, lasts;
    logic [1:0] drain;
    logic [SUM_ADDRESS-1:0] row;  // that is swept or cleared, in its slot
    logic sample_ends, link_free, sweeps, begins, row_ends;
    localparam logic [SUM_ADDRESS-1:0] LAST_ROW = SUM_ADDRESS'(ROWS - 1), LAST_SUM = SUM_ADDRESS'(SUMS - 1);

    assign sweeps = phase == SWEEP;
    assign begins = sweeps && row == '0;
    assign row_ends = row == LAST_ROW;
    assign taken = phase == DRAIN && drain == 2'd0;

    always_ff @(posedge clk) begin
        if (rst) begin
            phase <= CLEAR;
            {drain, row, link_free} <= {2'd0, SUM_ADDRESS'(0), 1'b1};
        end else begin
            case (phase)
                ADD: if (item_valid && item_ready && item_end) begin
                    phase <= DRAIN;
                    drain <= 2'd0;
                end
                DRAIN: begin
                    drain <= drain + 1'b1;
                    if (drain == 2'd1) phase <= WAIT;
                end
                WAIT: if (link_free && moving[6:1] == '0) begin
                    phase <= SWEEP;
                    row <= '0;
                    link_free <= READS && !sample_ends;
                end
                SWEEP: begin
                    row <= row_ends ? '0 : row + 1'b1;
                    if (row_ends) begin
                        if (SLOTS > 1 && sample_ends) phase <= CLEAR;
                        else phase <= ADD;
                    end
                end
                default: begin  // CLEAR
                    row <= row == LAST_SUM ? '0 : row + 1'b1;
                    if (row == LAST_SUM) phase <= ADD;
                end
            endcase
            if (pushed_taken) link_free <= 1'b1;
        end
        if (item_valid && item_ready && item_end) sample_ends <= item_last;
    end

    // Steps: whether states count as 0 in this one.
    localparam int STEP = INTERVAL > 1 ? $clog2(INTERVAL) : 1;
    localparam logic [STEP-1:0] LAST_STEP = STEP'(INTERVAL > 0 ? INTERVAL - 1 : 0);
    logic first, due;
    logic [STEP-1:0] step;

    assign due = first || (INTERVAL > 0 && step == STEP'(OFFSET));
    always_ff @(posedge clk) begin
        if (rst) {first, step} <= {1'b1, STEP'(0)};
        else if (sweeps && row_ends) begin
            first <= sample_ends;
            step <= sample_ends || step == LAST_STEP ? '0 : step + 1'b1;
        end
    end

    // Slots: sums of this step and of those that delays look ahead.
    logic [SUM_ADDRESS-1:0] slot_row;
    if (SLOTS > 1) begin : delayed
        localparam int SLOT = $clog2(2 * SLOTS);
        logic [SLOT-1:0] slot, later, wrapped;
        assign later = slot + (DELAYS ? SLOT'(item_delay) : SLOT'(DELAY));
        assign wrapped = later >= SLOT'(SLOTS) ? later - SLOT'(SLOTS) : later;
        assign slot_sum = SUM_ADDRESS'(wrapped) * SUM_ADDRESS'(ROWS);
        assign slot_row = sweeps ? SUM_ADDRESS'(slot) * SUM_ADDRESS'(ROWS) : '0;
        always_ff @(posedge clk) begin
            if (rst) slot <= '0;
            else if (sweeps && row_ends) slot <= slot == SLOT'(SLOTS - 1) ? '0 : slot + 1'b1;
        end
        logic unused;
        assign unused = &{1'b0, item_delay, wrapped};
    end else begin : at_once
        logic unused;
        assign {slot_sum, slot_row} = '0;
        assign unused = &{1'b0, item_delay};
    end

    logic [LANES*ACCUMULATOR-1:0] sums1;
    snn_synapses #(
        .FILE(FILE), .LANES(LANES), .WEIGHTED(WEIGHTED), .BITS(WEIGHT), .DEPTH(WEIGHTS), .BANKS(WEIGHT_BANKS),
        .VALUE(IN_VALUE), .SIGNED(IN_SIGNED), .ACCUMULATOR(ACCUMULATOR), .ROWS(SUMS), .TAPS(TAPS),
        .WEIGHT(WEIGHT_ADDRESS), .SUM(SUM_ADDRESS), .WORDS(WORDS), .WORD(WORD), .WORD_WEIGHT(WORD_WEIGHT),
        .COLUMN_WEIGHT(COLUMN_WEIGHT), .ROW_WEIGHT(ROW_WEIGHT), .COLUMN_SUM(COLUMN_SUM), .ROW_SUM(ROW_SUM)
    ) synapses (
        .clk, .rst, .load(item_valid && item_ready && !item_end), .free, .value(item_value), .rows(item_rows),
        .columns(item_columns), .weight(item_weight), .sum(item_sum + slot_sum),
        .read(sweeps), .read_row(row + slot_row), .clear(phase == CLEAR), .word(sums1)
    );

    // The sweep's pipeline: rows 0 to 7 cycles after they were asked for.
    logic [6:1] clears;
    logic [ROW_ADDRESS-1:0] rows [1:7];
    logic [PARAMETER-1:0] parameter_row, parameters [1:5];

    always_ff @(posedge clk) begin
        if (rst) moving <= '0;
        else moving <= {moving[6:1], sweeps};
        {heads, lasts, clears} <= {heads[6:1], begins, lasts[6:1], sample_ends, clears[5:1], due};
        rows[1] <= row[ROW_ADDRESS-1:0];
        parameters[1] <= parameter_row;
        for (int i = 2; i <= 7; i++) rows[i] <= rows[i-1];
        for (int i = 2; i <= 5; i++) parameters[i] <= parameters[i-1];
        if (!sweeps || parameter_row == PARAMETER'(PARAMETERS - 1)) parameter_row <= '0;
        else parameter_row <= parameter_row + 1'b1;
    end

    logic [LANES*MEMBRANE-1:0] membranes1, membranes7;
    logic [LANES*CURRENT-1:0] currents1, currents7;
    logic [LANES*LOGIT-1:0] logits6, logits7;
    logic [LANES-1:0] spikes1, spikes7;
    logic [LANES*KEEP-1:0] keeps2;
    logic [LANES*FILTER_KEEP-1:0] filter_keeps2;
    logic [LANES*BIAS-1:0] biases4;
    logic [LANES*THRESHOLD-1:0] thresholds1, thresholds3, thresholds6;

    if (POOLS) begin : stateless
        logic unused;
        assign {membranes1, currents1, logits6, spikes1, keeps2, filter_keeps2, biases4} = '0;
        assign {thresholds1, thresholds3, thresholds6} = '0;
        assign unused = &{1'b0, currents7, logits7, spikes7, parameters[1], parameters[3], parameters[5]};
    end else begin : states
        snn_ram #(.DEPTH(ROWS), .BITS(LANES * MEMBRANE), .ADDRESS(ROW_ADDRESS)) membrane (
            .clk, .write(moving[7]), .write_address(rows[7]), .write_word(membranes7),
            .read(1'b1), .read_address(row[ROW_ADDRESS-1:0]), .word(membranes1)
        );
        if (FILTER) begin : filter
            snn_ram #(.DEPTH(ROWS), .BITS(LANES * CURRENT), .ADDRESS(ROW_ADDRESS)) current (
                .clk, .write(moving[7]), .write_address(rows[7]), .write_word(currents7),
                .read(1'b1), .read_address(row[ROW_ADDRESS-1:0]), .word(currents1)
            );
            snn_parameter #(
                .FILE({FILE, "_u_keep"}), .DEPTH(PARAMETERS), .CONSTANT(FILTER_KEEP_CONSTANT), .LANES(LANES),
                .BITS(FILTER_KEEP), .ADDRESS(PARAMETER), .VALUE(FILTER_KEEP_VALUE)
            ) keep (
                .clk, .address(parameters[1]), .word(filter_keeps2)
            );
        end else begin : unfiltered
            logic unused;
            assign {currents1, filter_keeps2} = '0;
            assign unused = &{1'b0, currents7};
        end
        snn_parameter #(
            .FILE({FILE, "_v_keep"}), .DEPTH(PARAMETERS), .CONSTANT(KEEP_CONSTANT), .LANES(LANES),
            .BITS(KEEP), .ADDRESS(PARAMETER), .VALUE(KEEP_VALUE)
        ) keep (
            .clk, .address(parameters[1]), .word(keeps2)
        );
        snn_parameter #(
            .FILE({FILE, "_bias"}), .DEPTH(PARAMETERS), .CONSTANT(BIAS_CONSTANT), .LANES(LANES),
            .BITS(BIAS), .ADDRESS(PARAMETER), .VALUE(BIAS_VALUE)
        ) bias (
            .clk, .address(parameters[3]), .word(biases4)
        );
        if (READS) begin : logits
            snn_ram #(.DEPTH(ROWS), .BITS(LANES * LOGIT), .ADDRESS(ROW_ADDRESS)) logit (
                .clk, .write(moving[7]), .write_address(rows[7]), .write_word(logits7),
                .read(1'b1), .read_address(rows[5]), .word(logits6)
            );
            assign {spikes1, thresholds1, thresholds3, thresholds6} = '0;
            logic unused;
            assign unused = &{1'b0, spikes7, parameters[5]};
        end else begin : spikes
            snn_ram #(.DEPTH(ROWS), .BITS(LANES), .ADDRESS(ROW_ADDRESS)) spike (
                .clk, .write(moving[7]), .write_address(rows[7]), .write_word(spikes7),
                .read(1'b1), .read_address(row[ROW_ADDRESS-1:0]), .word(spikes1)
            );
            if (RESET == 1) begin : early  // read where it is used: a copy costs less than keeping the words
                snn_parameter #(
                    .FILE({FILE, "_vth"}), .DEPTH(PARAMETERS), .CONSTANT(THRESHOLD_CONSTANT), .LANES(LANES),
                    .BITS(THRESHOLD), .ADDRESS(PARAMETER), .VALUE(THRESHOLD_VALUE)
                ) reset (
                    .clk, .address(parameter_row), .word(thresholds1)
                );
                assign thresholds3 = '0;
            end else if (RESET == 0) begin : late
                snn_parameter #(
                    .FILE({FILE, "_vth"}), .DEPTH(PARAMETERS), .CONSTANT(THRESHOLD_CONSTANT), .LANES(LANES),
                    .BITS(THRESHOLD), .ADDRESS(PARAMETER), .VALUE(THRESHOLD_VALUE)
                ) reset (
                    .clk, .address(parameters[2]), .word(thresholds3)
                );
                assign thresholds1 = '0;
            end else begin : to_zero
                assign {thresholds1, thresholds3} = '0;
            end
            snn_parameter #(
                .FILE({FILE, "_vth"}), .DEPTH(PARAMETERS), .CONSTANT(THRESHOLD_CONSTANT), .LANES(LANES),
                .BITS(THRESHOLD), .ADDRESS(PARAMETER), .VALUE(THRESHOLD_VALUE)
            ) threshold (
                .clk, .address(parameters[5]), .word(thresholds6)
            );
            assign logits6 = '0;
            logic unused;
            assign unused = &{1'b0, logits7};
        end
    end

    for (genvar i = 0; i < LANES; i++) begin : lane
        snn_neuron #(
            .ACCUMULATOR(ACCUMULATOR), .EXPONENT(EXPONENT), .SHIFT_ROUNDING(SHIFT_ROUNDING),
            .LEAK_ROUNDING(LEAK_ROUNDING), .CURRENT(CURRENT), .FILTER(FILTER), .MEMBRANE(MEMBRANE),
            .TOTAL(TOTAL), .LEAK_SHIFT(LEAK_SHIFT), .FILTER_SHIFT(FILTER_SHIFT), .KEEP(KEEP),
            .FILTER_KEEP(FILTER_KEEP), .LEAKS(LEAKS), .RESET(RESET), .FIT(FIT), .AT_THRESHOLD(AT_THRESHOLD),
            .THRESHOLD(THRESHOLD), .BIAS(BIAS), .DECODING(DECODING), .LOGIT(LOGIT)
        ) neuron (
            .clk, .sum1(sums1[i*ACCUMULATOR +: ACCUMULATOR]), .membrane1(membranes1[i*MEMBRANE +: MEMBRANE]),
            .current1(currents1[i*CURRENT +: CURRENT]), .spiked1(spikes1[i]), .clear1(clears[1]),
            .threshold1(thresholds1[i*THRESHOLD +: THRESHOLD]), .keep2(keeps2[i*KEEP +: KEEP]),
            .filter_keep2(filter_keeps2[i*FILTER_KEEP +: FILTER_KEEP]),
            .threshold3(thresholds3[i*THRESHOLD +: THRESHOLD]), .bias4(biases4[i*BIAS +: BIAS]),
            .threshold6(thresholds6[i*THRESHOLD +: THRESHOLD]), .logit6(logits6[i*LOGIT +: LOGIT]),
            .clear6(clears[6]), .membrane(membranes7[i*MEMBRANE +: MEMBRANE]),
            .current(currents7[i*CURRENT +: CURRENT]), .spike(spikes7[i]), .logit(logits7[i*LOGIT +: LOGIT])
        );
    end

    logic [LANES*OUT_VALUE-1:0] outputs7;
    if (READS) begin : logit_events
        assign outputs7 = logits7;
    end else if (POOLS) begin : value_events
        assign outputs7 = membranes7;
    end else begin : spike_events
        assign outputs7 = spikes7;
    end
    snn_encoder #(
        .LANES(LANES), .ROWS(ROWS), .ADDRESS(ROW_ADDRESS), .SPIKES(!POOLS && !READS), .VALUE(OUT_VALUE),
        .ALL(READS), .CHANNEL(OUT_CHANNEL), .ROW(OUT_ROW), .COLUMN(OUT_COLUMN), .COLUMNS(OUT_COLUMNS),
        .GROUPS(GROUPS), .WORDS(WORDS), .CHANNELS(CHANNELS)
    ) encoder (
        .clk, .rst, .put(moving[7]), .put_row(rows[7]), .put_word(outputs7),
        .start(moving[7] && heads[7] && (!READS || lasts[7])), .start_last(lasts[7]),
        .push, .push_end, .push_last, .push_value, .push_channel, .push_row, .push_column
    );
endmodule
