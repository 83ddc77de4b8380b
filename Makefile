# `make gate` and `make test` set themselves up. Nothing is installed outside .venv, nothing is asked.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Each begins once the one before it is GO.
RELEASE ?= specs/releases/embedded.yaml specs/releases/embedded-distill.yaml
PYTEST_ARGS ?=

# Where it is not empty, each of the hundreds of processes that the tests start compiles all modules anew.
test test-fast test-drawn test-all: export PYTHONDONTWRITEBYTECODE :=

.PHONY: gate test test-fast test-drawn test-all lint types mypy pyright specs contracts bench install clean

# A newcomer's first run succeeds once a verdict is signed, whatever it says; STRICT=1 ends as `refute gate` does.
gate: $(VENV)/.gate
	@$(if $(STRICT),,echo "make gate ends in 0 once a verdict is signed, whatever it says; STRICT=1 make gate does not")
	@$(BIN)/python -m refute gate $(RELEASE:%=--release %) $(if $(STRICT),,--exit-zero) $(PYTEST_ARGS)

# A file's tests stay together, since they share what was expensive to make; tests/conftest.py puts the longest first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev
	$(PYTEST) -m 'not exhaustive' $(PYTEST_ARGS)

test-fast: $(VENV)/.dev
	$(PYTEST) -m 'not slow and not exhaustive' $(PYTEST_ARGS)

# Of the exhaustive tests a share that the commit draws, and all others.
test-drawn: $(VENV)/.dev
	$(PYTEST) --draw "$$(git rev-parse HEAD 2>/dev/null || date +%F)" $(PYTEST_ARGS)

test-all: $(VENV)/.dev
	$(PYTEST) $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: mypy pyright

mypy: $(VENV)/.dev
	$(BIN)/mypy

pyright: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

specs: $(VENV)/.dev
	$(BIN)/refute check

# On examples that no run before had.
contracts: $(VENV)/.dev
	HYPOTHESIS_PROFILE=deep $(BIN)/refute check --contracts

bench: $(VENV)-bench/.ready
	@for script in kd_loss kd_step checkpoints prefetch kd_curve generation; do \
	  $(VENV)-bench/bin/python -W ignore benchmarks/$$script.py $(BENCH_ARGS) || exit 1; done

# TRL is a peer to measure against, in an environment of its own.
$(VENV)-bench/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gate,xllamacpp]' trl==1.16.0
	@touch $@

install: $(VENV)/.gate

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "refute needs Python 3.11 or newer; '$(PYTHON)' is `$(PYTHON) --version`. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first and by exact version: as somebody's dependency it would bring the newest build with CUDA packages.
$(VENV)/.torch: | $(VENV)/bin/python
	@echo "installing torch 2.13.0 (about 200 MB, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

$(VENV)/.gate: pyproject.toml constraints.txt | $(VENV)/.torch
	@echo "installing refute and its dependencies (about 150 MB, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[gate]'
	@touch $@

$(VENV)/.dev: $(VENV)/.gate
	@echo "installing what tests, lint and types need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench .refute
