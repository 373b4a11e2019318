// in / 2**SHIFT, rounded: 0 toward zero, 1 floor, 2 half up, 3 half even (to the even neighbour on a tie).
module snn_round #(
    parameter int IN = 8,
    parameter int OUT = 8,
    parameter int SHIFT = 0,
    parameter int ROUNDING = 0
) (
    input  logic signed [IN-1:0]  in,
    output logic signed [OUT-1:0] out
);
    localparam int LEAST = IN > SHIFT + 1 ? IN : SHIFT + 1;
    localparam int WIDE = (LEAST > OUT ? LEAST : OUT) + 1;  // of the sum before the shift
    logic signed [WIDE-1:0] whole, rest;

    assign whole = WIDE'(in);
    if (SHIFT == 0) begin : none
        assign rest = whole;
    end else if (ROUNDING == 0) begin : toward_zero
        assign rest = (whole + (whole[WIDE-1] ? WIDE'((1 << SHIFT) - 1) : WIDE'(0))) >>> SHIFT;
    end else if (ROUNDING == 1) begin : floor
        assign rest = whole >>> SHIFT;
    end else if (ROUNDING == 2) begin : half_up
        assign rest = (whole + WIDE'(1 << (SHIFT - 1))) >>> SHIFT;
    end else begin : half_even
        logic signed [1:0] odd;  // signed, as all of a sum must be for an arithmetic shift
        assign odd = {1'b0, whole[SHIFT]};
        assign rest = (whole + WIDE'((1 << (SHIFT - 1)) - 1) + WIDE'(odd)) >>> SHIFT;
    end
    assign out = OUT'(rest);
    logic unused;
    assign unused = &{1'b0, rest};
endmodule
