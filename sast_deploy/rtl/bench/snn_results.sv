// The results of the core: its logits, class by class, and the label with the cycle in which it is done and
// the one in which its sample was offered. Written to a file of a folder (+out=FOLDER), or compared with that
// of another (+cycles=FOLDER).
/* verilator lint_off BLKSEQ */  // a bench is a program: it counts and reads line by line
module snn_results #(
    parameter int CLASS = 4,
    parameter int LOGIT = 16
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic [63:0]             cycle,
    input  logic                    begins,
    input  logic                    valid,
    input  logic [CLASS-1:0]        number,
    input  logic signed [LOGIT-1:0] logit,
    input  logic                    done,
    input  logic [CLASS-1:0]        label,
    output integer                  errors,
    output integer                  samples
);
    integer file, found;
    logic [63:0] offered, cycle_known, number_known, offered_known;
    logic signed [63:0] logit_known;  // as wide as what is read is written by every simulator
    logic writes;
    string folder;

    initial begin
        {errors, samples} = '0;
        offered = '0;
        writes = $value$plusargs("out=%s", folder) != 0;
        if (!writes) begin
            if (!$value$plusargs("cycles=%s", folder)) folder = "known/single";
        end
        if (writes) file = $fopen($sformatf("%0s/results.txt", folder), "w");
        else file = $fopen($sformatf("%0s/results.txt", folder), "r");
        if (file == 0) begin
            $display("no file %0s/results.txt", folder);
            $finish;
        end
    end

    always @(posedge clk) begin
        if (begins) offered = cycle;
        if (valid && !rst) begin
            if (writes) $fwrite(file, "%0d %0d\n", number, logit);
            else begin
                found = $fscanf(file, "%d %d\n", number_known, logit_known);
                if (found != 2 || 64'(number) !== number_known || 64'(logit) !== logit_known) begin
                    if (errors < 10) $display("sample %0d, class %0d: logit %0d against %0d of class %0d",
                        samples, number, logit, logit_known, number_known);
                    errors = errors + 1;
                end
            end
        end
        if (done && !rst) begin
            if (writes) $fwrite(file, "%0d %0d %0d\n", label, offered, cycle);
            else begin
                found = $fscanf(file, "%d %d %d\n", number_known, offered_known, cycle_known);
                if (found != 3 || 64'(label) !== number_known || offered !== offered_known
                    || cycle !== cycle_known) begin
                    if (errors < 10)
                        $display("sample %0d: label %0d, cycles %0d to %0d, expected %0d, %0d to %0d",
                            samples, label, offered, cycle, number_known, offered_known, cycle_known);
                    errors = errors + 1;
                end
            end
            samples = samples + 1;
        end
    end
endmodule
