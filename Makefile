# `make demo` and `make test` do all of their own set-up; everything they make lives in .venv and .cache.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts tests tests-in-the-lab tests-in-worlds tests-elsewhere simulate benchmark-reaction benchmark-judge benchmark-fleet figures lock clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "canary needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## a good version is promoted and a bad one rolled back, on real traffic
	@$(BIN)/canary lab demo

test: lint types contracts tests ## everything that must hold: style, types, architecture, behaviour

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports --no-cache

tests: $(READY)
	@$(MAKE) --no-print-directory --jobs=3 tests-in-the-lab tests-in-worlds tests-elsewhere

# Beside each other, because none keeps more than a core busy; they share nothing but the installed code. The searches
# and simulations take about as long as all that is left.
WORLDS := tests/benchmarks tests/judge tests/machine tests/simulation

tests-in-the-lab: $(READY)
	$(BIN)/pytest -p no:cacheprovider -m lab

tests-in-worlds: $(READY)
	$(BIN)/pytest -p no:cacheprovider -m "not lab" $(WORLDS)

tests-elsewhere: $(READY)
	$(BIN)/pytest -p no:cacheprovider -m "not lab" $(addprefix --ignore=,$(WORLDS))

SEEDS ?= 2000
FIRST_SEED ?= 0
simulate: $(READY) ## the controller in SEEDS worlds where everything goes wrong; SEEDS=1 FIRST_SEED=k tells one
	@$(BIN)/python tests/simulation/simulate.py --seeds $(SEEDS) --first-seed $(FIRST_SEED)

benchmark-reaction: $(READY) ## how long a bad version keeps its traffic once the evidence suffices
	$(BIN)/python tests/benchmarks/rollback_reaction.py

benchmark-judge: $(READY) ## this judge beside others on simulated traffic (ARGS=--quick for the telling cells)
	$(BIN)/python tests/benchmarks/judge/judge_benchmark.py $(ARGS)

benchmark-fleet: $(READY) ## what 100 to 10,000 Canaries cost, beside polling (20 minutes; ARGS=--quick: one)
	$(BIN)/python tests/benchmarks/fleet/fleet_benchmark.py $(ARGS)

figures: $(READY) ## write the figures of README anew, after a change of the judge
	$(BIN)/python tests/benchmarks/judge/readme_figures.py

lock: $(READY) ## resolve the dependencies anew (hashes, no index address)
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --upgrade --extra lab --extra notebooks --extra pictures --extra tests pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraint requirements.lock pyproject.toml --output-file deploy/requirements.lock

clean: ## remove what make made
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
