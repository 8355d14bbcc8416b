# Everything below works in a fresh clone: the first target makes .venv from nothing.
.PHONY: demo test faults check results
PYTHON ?= python3
BIN := .venv/bin
# Some container images set this variable; each of the processes below would then compile torch, Lightning and W&B
# to bytecode again, which takes longer than loading them.
unexport PYTHONDONTWRITEBYTECODE
# Parallel tests; each process loads torch, so their number is limited.
TESTS := -n logical --maxprocesses 8 --dist worksteal

demo: .venv/ready
	$(BIN)/python ablations/run.py -m pooling=overlap,nonoverlap

test: .venv/ready
	$(BIN)/python -m pytest $(TESTS)
	$(BIN)/python -m pytest $(TESTS) -m slow

# Takes about twenty minutes; FAULTS_SEED=1 damages other positions.
faults: .venv/ready
	$(BIN)/python -m pytest $(TESTS) -m faults tests/faults --faults-page docs/reliability.md

# Reports of the studies in results/ and the README's table, from their committed records.
results: .venv/ready
	$(BIN)/python results/publish.py

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# With uv if it is installed, else with venv and pip.
.venv/ready: pyproject.toml
	@echo "Installing torch and the other packages into .venv: some minutes, on Linux 6.6 GB."
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --seed --allow-existing .venv && uv pip install --quiet --python $(BIN)/python -e . --group dev; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade pip \
	  && $(BIN)/python -m pip install --quiet -e . --group dev; \
	fi
	@touch $@
