# Customer Genome. `make` lists the targets; `make demo` and `make test` need Python 3.11 and nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3.11
DATA ?= complete-journey
KEEP ?=
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed

.PHONY: help demo test prove chaos test-deps check format docs lock clean install bench-genome pictures

help: ## list the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F':.*?## ' '{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv from the lock (demo and test do it by themselves)

# uv installs 250 packages in seconds, and compiles them once instead of at each start; where it cannot reach a registry that pip has been set up for
# (pip.conf mirrors), pip does the same from the same lock.
$(INSTALLED): requirements.lock requirements-bootstrap.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Customer Genome needs Python 3.11: '$(PYTHON)' was not found. Install it, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## the whole journey: DATA=complete-journey (real) or mall (made up, every channel); KEEP=1 reuses the state
	@$(BIN)/genome demo --data $(DATA) $(if $(KEEP),--keep)

test: $(INSTALLED) ## the whole test suite
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

prove: $(INSTALLED) ## the large correctness runs, which take too long for every test run
	@$(BIN)/python -m pytest -m prove

chaos: $(INSTALLED) ## kills, full disks and bad networks, at full length
	@$(BIN)/python -m pytest -m chaos

test-deps: ## install the system tools that some tests use (Debian; needs root)
	@deploy/test-deps

check: $(INSTALLED) ## format, lint, types, SQL style, stale docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint dbt_project --processes 2
	@$(BIN)/genome docs --check

format: $(INSTALLED) ## put code and SQL into the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/sqlfluff fix dbt_project --processes 2

docs: $(INSTALLED) ## write the generated reference pages anew
	@$(BIN)/genome docs

pictures: $(INSTALLED) ## the picture in the README, from the state of `make demo` (wants Chromium)
	@$(BIN)/genome show household:2451 --page docs/helix.png > /dev/null

bench-genome: $(INSTALLED) ## builds at size: CUSTOMERS="10000 100000" DAYS=90; then docs/size.md
	@$(BIN)/python benchmarks/genome_size.py --customers $(or $(CUSTOMERS),10000 100000) --days $(or $(DAYS),90) $(if $(MEMORY),--memory $(MEMORY)) --json
	@$(BIN)/python benchmarks/genome_size.py --docs

bench-%: $(INSTALLED) ## one figure, beside the raw engine's: bench-ingest, bench-simulate …
	@$(BIN)/python benchmarks/$*.py --json

lock: $(INSTALLED) ## resolve the newest allowed versions into requirements.lock (names and hashes, no addresses)
	@$(UV) pip compile pyproject.toml --group dev --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 --universal --upgrade --quiet -o requirements.lock

clean: ## remove the state and the installation (.genome, .venv)
	@test ! -x $(BIN)/genome || $(BIN)/genome down --quiet || true
	@rm -rf .genome $(VENV) dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache
