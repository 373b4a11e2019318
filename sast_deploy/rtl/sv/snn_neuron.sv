// One lane of the neurons: six cycles from a sum to its spike, one neuron in every cycle.
//
//     current  = arriving, or wrap24(leak(current) + arriving) with a filter; arriving = shift(sum)
//     membrane = fit(leak(membrane) + current + bias - threshold * spiked)   RESET 0, subtract after the leak
//     membrane = fit(leak(membrane - threshold * spiked) + current + bias)   RESET 1, subtract before it
//     membrane = fit(leak(membrane * (1 - spiked)) + current + bias)         RESET 2, to zero
//     spike    = membrane >= threshold, or >
//
// Where FIT is 3 nothing is fitted and nothing spikes: an integrator, whose logit is its last membrane, the
// largest (DECODING 1) or the sum of all (2). Inputs belong to the cycle that their name ends in.
module snn_neuron #(
    parameter int ACCUMULATOR = 8,
    parameter int EXPONENT = 0,  // arriving = sum * 2**EXPONENT
    parameter int SHIFT_ROUNDING = 0, LEAK_ROUNDING = 0,
    parameter int CURRENT = 8,  // bits of the current
    parameter bit FILTER = 0,
    parameter int MEMBRANE = 8, TOTAL = 10,  // bits of the membrane, and before it is fitted
    parameter int LEAK_SHIFT = 0, FILTER_SHIFT = 12,  // leak(x) = x * keep / 2**SHIFT
    parameter int KEEP = 1, FILTER_KEEP = 13,  // bits of keep, without a sign
    parameter bit LEAKS = 1,  // 0: keep is 1 for all
    parameter int RESET = 0,
    parameter int FIT = 0,  // 0 saturate, 1 saturate symmetric, 2 wrap, 3 nothing
    parameter bit AT_THRESHOLD = 1,  // whether a neuron fires there
    parameter int THRESHOLD = 8, BIAS = 8,
    parameter int DECODING = 0, LOGIT = 1
) (
    input  logic                          clk,
    input  logic signed [ACCUMULATOR-1:0] sum1,
    input  logic signed [MEMBRANE-1:0]    membrane1,
    input  logic signed [CURRENT-1:0]     current1,
    input  logic                          spiked1,
    input  logic                          clear1,  // whether states count as 0
    input  logic signed [THRESHOLD-1:0]   threshold1,
    input  logic        [KEEP-1:0]        keep2,
    input  logic        [FILTER_KEEP-1:0] filter_keep2,
    input  logic signed [THRESHOLD-1:0]   threshold3,
    input  logic signed [BIAS-1:0]        bias4,
    input  logic signed [THRESHOLD-1:0]   threshold6,
    input  logic signed [LOGIT-1:0]       logit6,
    input  logic                          clear6,
    output logic signed [MEMBRANE-1:0]    membrane,  // these four in cycle 7
    output logic signed [CURRENT-1:0]     current,
    output logic                          spike,
    output logic signed [LOGIT-1:0]       logit
);
    localparam int FILTERED = 24;  // bits of the register of a filtered current
    localparam int BEFORE = (MEMBRANE > THRESHOLD ? MEMBRANE : THRESHOLD) + 1;  // of membrane - threshold

    // Cycle 1: the shift, and resets before the leak.
    logic signed [CURRENT-1:0] arriving, arriving2, arriving3;
    logic signed [BEFORE-1:0] reset1, membrane2;
    logic spiked2, spiked3;

    if (EXPONENT >= 0) begin : left
        assign arriving = CURRENT'(sum1) <<< EXPONENT;
    end else begin : right
        snn_round #(.IN(ACCUMULATOR), .OUT(CURRENT), .SHIFT(-EXPONENT), .ROUNDING(SHIFT_ROUNDING)) shift (
            .in(sum1), .out(arriving)
        );
    end
    if (RESET == 1) begin : before_leak
        assign reset1 = BEFORE'(membrane1) - (spiked1 ? BEFORE'(threshold1) : BEFORE'(0));
    end else if (RESET == 2) begin : to_zero
        assign reset1 = spiked1 ? BEFORE'(0) : BEFORE'(membrane1);
    end else begin : after_leak
        assign reset1 = BEFORE'(membrane1);
    end
    always_ff @(posedge clk) begin
        arriving2 <= arriving;
        membrane2 <= clear1 ? BEFORE'(0) : reset1;
        spiked2 <= spiked1 && !clear1;
    end

    // Cycles 2 and 3: the leak's product and its rounding.
    logic signed [BEFORE+KEEP:0] product3;
    logic signed [BEFORE-1:0] leaked3;
    logic signed [TOTAL-1:0] left4;

    always_ff @(posedge clk) begin
        product3 <= LEAKS ? (BEFORE+KEEP+1)'(membrane2) * (BEFORE+KEEP+1)'({1'b0, keep2})
                          : (BEFORE+KEEP+1)'(membrane2);
        {arriving3, spiked3} <= {arriving2, spiked2};
    end
    snn_round #(.IN(BEFORE + KEEP + 1), .OUT(BEFORE), .SHIFT(LEAK_SHIFT), .ROUNDING(LEAK_ROUNDING)) leak (
        .in(product3), .out(leaked3)
    );
    always_ff @(posedge clk) begin
        left4 <= TOTAL'(leaked3) - (RESET == 0 && spiked3 ? TOTAL'(threshold3) : TOTAL'(0));
    end

    // The filter of the current beside it.
    logic signed [CURRENT-1:0] current3, current4, current5, current6;
    if (FILTER) begin : filter
        logic signed [CURRENT-1:0] kept2;
        logic signed [CURRENT+FILTER_KEEP:0] kept3;
        logic signed [CURRENT-1:0] rest3;
        logic filtered3;
        logic signed [FILTERED-1:0] wrapped3;
        always_ff @(posedge clk) begin
            kept2 <= clear1 ? CURRENT'(0) : current1;
            kept3 <= (CURRENT+FILTER_KEEP+1)'(kept2) * (CURRENT+FILTER_KEEP+1)'({1'b0, filter_keep2});
            filtered3 <= filter_keep2 != '0;
        end
        snn_round #(
            .IN(CURRENT + FILTER_KEEP + 1), .OUT(CURRENT), .SHIFT(FILTER_SHIFT), .ROUNDING(LEAK_ROUNDING)
        ) leak (
            .in(kept3), .out(rest3)
        );
        assign wrapped3 = FILTERED'(rest3 + arriving3);
        assign current3 = filtered3 ? CURRENT'(wrapped3) : arriving3;
    end else begin : none
        assign current3 = arriving3;
    end
    always_ff @(posedge clk) begin
        current4 <= current3;
        current5 <= current4;
        current6 <= current5;
        current <= current6;
    end

    // Cycle 4: the sum; cycle 5: within the format; cycle 6: the comparison.
    logic signed [TOTAL-1:0] total5;
    logic signed [MEMBRANE-1:0] fitted5, membrane6;

    always_ff @(posedge clk) begin
        total5 <= left4 + TOTAL'(current4) + TOTAL'(bias4);
        membrane6 <= fitted5;
        membrane <= membrane6;
    end
    if (FIT < 2) begin : saturate
        localparam logic signed [MEMBRANE-1:0] HIGH = {1'b0, {(MEMBRANE - 1){1'b1}}};
        localparam logic signed [MEMBRANE-1:0] LOW = FIT == 1 ? -HIGH : ~HIGH;
        assign fitted5 = total5 > TOTAL'(HIGH) ? HIGH : total5 < TOTAL'(LOW) ? LOW : MEMBRANE'(total5);
    end else begin : wrap
        assign fitted5 = MEMBRANE'(total5);
    end
    if (FIT < 3) begin : spiking
        logic signed [BEFORE-1:0] above;
        assign above = BEFORE'(membrane6) - BEFORE'(threshold6);
        always_ff @(posedge clk) spike <= !above[BEFORE-1] && (AT_THRESHOLD || above != '0);
        assign logit = '0;
    end else begin : integrating
        assign spike = 1'b0;
        always_ff @(posedge clk) begin
            if (DECODING == 0 || clear6) logit <= LOGIT'(membrane6);
            else if (DECODING == 1) logit <= logit6 > LOGIT'(membrane6) ? logit6 : LOGIT'(membrane6);
            else logit <= logit6 + LOGIT'(membrane6);
        end
    end

    // What one kind of neuron or another does without.
    logic unused;
    assign unused = &{1'b0, spiked1, current1, threshold1, keep2, filter_keep2, threshold3, threshold6,
                      logit6, clear6, total5};
endmodule
