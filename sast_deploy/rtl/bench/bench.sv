// Replays samples on the core: those of known/, or of +in=FOLDER; compares, or with
// +out=FOLDER writes down what it computes.
/* verilator lint_off BLKSEQ */
module bench (
    input logic clk
);
    logic rst, streaming, valid, ready, begins, logit_valid, done;
    logic [@TOP@:0] item;
    logic [63:0] cycle;
    logic @CLASS@ logit_class, label;
    logic signed @LOGIT@ logit;
    integer errors, samples, expected, limit, quiet;
    logic [2:0] started;

    initial begin
        if (!$value$plusargs("samples=%d", expected)) expected = @SAMPLES@;
        if (!$value$plusargs("limit=%d", limit)) limit = @LIMIT@;
        streaming = $test$plusargs("streaming") != 0;
        {started, quiet} = '0;
    end
    always @(posedge clk) if (!started[2]) started <= started + 1'b1;
    assign rst = !started[2];

    snn_driver #(.BITS(@BITS@)) driver (
        .clk, .rst, .streaming, .done, .valid, .ready, .item, .cycle, .begins
    );
    @CORE@ core (
        .clk, .rst, .in_valid(valid), .in_ready(ready), .in_end(item[@TOP@]), .in_last(item[@LAST@]),
        .in_value(item[@VALUE@]), .in_channel(item[@CHANNEL@]),
        .in_row(item[@ROW@]), .in_column(item[@COLUMN@]),
        .logit_valid, .logit_class, .logit, .done, .label
    );
    snn_results #(.CLASS(@CLASSBITS@), .LOGIT(@LOGITBITS@)) results (
        .clk, .rst, .cycle, .begins, .valid(logit_valid), .number(logit_class), .logit, .done, .label,
        .errors, .samples
    );
`ifndef NETLIST  // after synthesis there are no layers to look into, and results alone are compared
@PROBES@
`endif
    integer wrong;
    always @(posedge clk) begin
        quiet <= rst || done ? 0 : quiet + 1;
`ifdef NETLIST
        wrong = errors;
`else
        wrong = @ERRORS@;
`endif
        if (samples == expected) begin
            if ($test$plusargs("out=") != 0) $display("WROTE %0d samples", samples);
            else if (expected == 0) $display("FAIL there are no samples");
            else if (wrong == 0) $display("PASS %0d samples, %0d cycles", samples, cycle);
            else $display("FAIL %0d differences in %0d samples", wrong, samples);
            $finish;
        end else if (quiet > limit) begin
            $display("FAIL no result after %0d cycles, %0d of %0d samples", quiet, samples, expected);
            $finish;
        end
    end
endmodule
