# Everything runs from a virtual environment in .venv, made on the first call.
# A second call installs nothing unless pyproject.toml or constraints.txt changed.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first python3 that is new enough; `make run PYTHON=/path/to/python` overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then echo $$p; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Options for pip, such as the index of another torch build.
PIP_FLAGS ?=
# What `make run` passes on: make run ARGS="scan ~/texts"
ARGS ?=
# Test processes; each holds a model, so more of them cost memory too.
WORKERS ?= 2
PYTEST_FLAGS ?=
BENCH_HOME ?= build/bench-home

APP := $(VENV)/.installed-app
DEV := $(VENV)/.installed-dev

.PHONY: help run install dev test check format snapshots docs bench clean

help: ## Show these targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*##/\t/' | expand -t 14

run: $(APP) ## Install if needed and open the app
	@$(BIN)/neuroglass $(ARGS)

install: $(APP) ## Install the app into .venv

dev: $(DEV) ## Install the app and the tools for development

test: $(DEV) ## Run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_FLAGS)

check: $(DEV) ## Lint, formatting, types and import contracts
	$(BIN)/ruff check engine tui tests
	$(BIN)/ruff format --check engine tui tests
	$(BIN)/mypy --strict engine
	$(BIN)/mypy tui
	$(BIN)/lint-imports --no-cache

format: $(DEV) ## Put the code into the common format
	$(BIN)/ruff check --fix engine tui tests
	$(BIN)/ruff format engine tui tests

snapshots: $(DEV) ## Redraw the expected screens; look at the difference before committing
	$(BIN)/python -m pytest -n 0 --snapshot-update tests $(PYTEST_FLAGS)

docs: $(DEV) ## Write docs/reference.md from the docstrings
	$(BIN)/python docs/build_reference.py

bench: $(DEV) ## Measure scan speed, key latency and scores on this machine
	$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt -e '.[bench]'
	$(BIN)/python -m tests.bench.scan
	$(BIN)/python -m tests.bench.growth
	$(BIN)/python -m tests.bench.index
	$(BIN)/python -m tests.bench.precision
	$(BIN)/neuroglass scan --home $(BENCH_HOME)
	$(BIN)/python -m tests.bench.app --home $(BENCH_HOME)
	$(BIN)/python -m tests.bench.public --home $(BENCH_HOME)
	$(BIN)/python -m tests.bench.library --home $(BENCH_HOME)
	$(BIN)/python -m tests.bench.scores --home $(BENCH_HOME)
	$(BIN)/python -m tests.bench.crash --kills 20
	$(BIN)/python -m tests.bench.publish

clean: ## Remove the environment, builds and caches
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache snapshot_report.html
	find engine tui tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "neuroglass needs Python 3.11 or newer." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(APP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt -e .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $(APP) $@
