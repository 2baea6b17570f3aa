# Shipway: the two commands a newcomer needs are `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help demo test soak mutants check docs bench bench-serving bench-registry bench-batch bench-contract clean lock

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

# One stamp a requirements file: an install happens once, and again when what it installs changes.
# What is installed is told on stderr, so that stdout is the command's own (`make demo ARGS=--json`).
$(VENV)/examples.stamp: requirements/examples.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Shipway needs Python 3.11 or newer: make PYTHON=python3.11 demo' >&2; exit 4; }
	@echo 'Installing into $(VENV) …' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/examples.txt
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Shipway needs Python 3.11 or newer: make PYTHON=python3.11 test' >&2; exit 4; }
	@echo 'Installing into $(VENV) …' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(VENV)/examples.stamp  ## the whole life of a model on real flights; ARGS="--fast" for a minute's worth
	@$(BIN)/shipway demo $(ARGS)

test: $(VENV)/dev.stamp  ## every test; ARGS="-k name" for some
	$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

# Whatever has a short and a long form, wherever it lies: those tests take their size from `sized`.
soak: $(VENV)/dev.stamp  ## the long tests at their full length (hours); ARGS="-k name" for some
	SHIPWAY_SOAK=long $(BIN)/python -m pytest -s --timeout 7200 \
		$$(grep -rlw sized tests --include='test_*.py') $(ARGS)

mutants: $(VENV)/dev.stamp  ## take each guard against a threat away in turn; ARGS="csrf_and_dns_rebinding" for some
	$(BIN)/python -m tests.threats.mutants $(ARGS)

check: $(VENV)/dev.stamp  ## layers, types, style, and that generated docs are fresh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/stubs.py --check

docs: $(VENV)/dev.stamp  ## build the documentation site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --clean

bench: $(VENV)/dev.stamp  ## the benchmarks, one after the other (figures, never a test)
	$(BIN)/python -m benchmarks $(ARGS)

bench-serving: $(VENV)/dev.stamp  ## our server and others side by side; ARGS="--install", ARGS="--quick --json"
	@$(BIN)/python -m benchmarks.serving $(ARGS)

bench-registry: $(VENV)/dev.stamp  ## our registry and MLflow's side by side; ARGS="--install", ARGS="--quick --json"
	@$(BIN)/python -m benchmarks.registries $(ARGS)

bench-batch: $(VENV)/dev.stamp  ## scoring tables: ours, the bare runtime and others; ARGS="--quick --json"
	@$(BIN)/python -m benchmarks.batches $(ARGS)

bench-contract: $(VENV)/dev.stamp  ## checking tables: ours, polars by hand and pandera; ARGS="--quick --json"
	@$(BIN)/python -m benchmarks.contracts $(ARGS)

lock:  ## make the hash-locked requirement files anew (needs uv)
	sh requirements/lock.sh

clean:  ## remove everything that was made here, the environment included
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site dist demo
