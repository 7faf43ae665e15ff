# Verbs of the project; `make help` lists them. Everything runs in .venv, which the first target that needs it creates.

PYTHON ?= python3
TORCH ?= torch
CONSTRAINTS ?= constraints.txt
JOBS ?= 2
SEEDS ?= 20
MINUTES ?= 10

BIN := .venv/bin
STAMP := .venv/installed
PIP_CONSTRAINTS := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
PYTHON_SCRIPTS := $(shell grep -l '^\#!.*python' scripts/* 2>/dev/null)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help .venv demo models test check lint format types audit wheel-smoke docs notebooks browser soak clean bench-smoke

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON (3.11 or newer), TORCH (what pip is asked for, e.g. torch==2.13.0),"
	@echo "           CONSTRAINTS (empty: the newest versions, needed for another torch),"
	@echo "           JOBS (processes that test; 0 tests in one), SEEDS and MINUTES (of make soak)."

$(STAMP): pyproject.toml setup.py constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Rereader needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_CONSTRAINTS) '$(TORCH)'
	$(BIN)/python -m pip install --quiet $(PIP_CONSTRAINTS) -e '.[local,llamacpp,documents,endpoint,dev]'
	@touch $@

.venv: $(STAMP) ## Create or update the environment

demo: $(STAMP) ## Pull the default models and a sample book, ask it a question
	scripts/demo

test: $(STAMP) ## Run the tests; those of real models run when the models were pulled
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -m 'not browser' -n $(JOBS) --dist loadfile

models: $(STAMP) ## Pull the two small models that the tests of real models need (190 MB)
	$(BIN)/rereader models pull --quiet tiny embed

check: lint types models test wheel-smoke docs notebooks browser ## Everything that must hold before a change goes in

lint: $(STAMP) ## Check style
	$(BIN)/ruff check . $(PYTHON_SCRIPTS)
	$(BIN)/ruff format --check . $(PYTHON_SCRIPTS)

format: $(STAMP) ## Mend style
	$(BIN)/ruff check --fix . $(PYTHON_SCRIPTS)
	$(BIN)/ruff format . $(PYTHON_SCRIPTS)

types: $(STAMP) ## Type-check the built wheel
	scripts/types

audit: $(STAMP) ## Look the pinned packages up in the advisory database (needs a network)
	$(BIN)/python scripts/audit $(or $(CONSTRAINTS),constraints.txt)

wheel-smoke: $(STAMP) ## Install the wheel in a fresh environment and use it
	scripts/wheel_smoke

bench-smoke: $(STAMP) ## Run every suite with every system, and every graph, on made-up data without models
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -q tests/evals/test_suites.py tests/evals/test_bench_smoke.py

docs: $(STAMP) ## Execute the code blocks of README.md and docs/ that are marked `run`; every number there has its rows
	$(BIN)/python scripts/docs_check
	$(BIN)/rereader bench verify

notebooks: $(STAMP) ## Execute the notebooks
	$(BIN)/python scripts/notebooks_check

browser: $(STAMP) ## Run the tests that need a browser (Chromium, in the path or named by REREADER_CHROMIUM)
	$(BIN)/pytest -m browser

soak: $(STAMP) ## Kill, crowd and injure workspaces for about an hour, and count what was lost (docs/faults.md)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak kills --seeds $(SEEDS) --kills 8
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak files --seeds $(SEEDS)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak crowd --minutes $(MINUTES)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/measure_load --minutes $(MINUTES)

clean: ## Remove what was built (not .venv, not pulled models)
	rm -rf build dist *.egg-info .links .mypy_cache .ruff_cache .pytest_cache .hypothesis .langgraph_api
	find src agents graphs tools prompts memory tests -name __pycache__ -type d -prune -exec rm -rf {} +
