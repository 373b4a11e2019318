// The class of the largest logit; the lowest class of several. `done` for one cycle, after the last logit.
module snn_argmax #(
    parameter int CLASS = 4,
    parameter int LOGIT = 16
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic                    valid,
    input  logic                    ends,
    input  logic [CLASS-1:0]        number,
    input  logic signed [LOGIT-1:0] logit,
    output logic                    done,
    output logic [CLASS-1:0]        label
);
    logic some;
    logic signed [LOGIT-1:0] best;

    always_ff @(posedge clk) begin
        done <= valid && ends && !rst;
        if (rst || (valid && ends)) begin
            some <= 1'b0;
        end else if (valid && (!some || logit > best)) begin
            some <= 1'b1;
            {best, label} <= {logit, number};
        end
    end
endmodule
