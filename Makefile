PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all bench lint format clean

demo: $(STAMP)  ## train on the embedded tales for about ninety seconds, then tell a story
	$(BIN)/elman demo

test: $(STAMP) lint  ## the checks: lint, types, tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

test-all: $(STAMP) lint  ## the checks, with the slow ones
	$(BIN)/python -m pytest -q -m "slow or not slow"

bench: $(STAMP)  ## speed beside the peers; "pip install -e .[bench]" in the environment adds JAX and others
	$(BIN)/elman bench

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV), once: a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info
