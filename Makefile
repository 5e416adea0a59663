PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: setup demo test test-fast check bench

setup: .venv/.installed
	@:

.venv/.installed: requirements.txt requirements-dev.txt requirements-nets.txt requirements-ray.txt requirements-rl.txt requirements-llm.txt requirements-llm-test.txt pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" sh scripts/setup.sh

demo: setup
	@$(BIN)/python scripts/agent_flow.py run -c config.json -c config.replay.json

test: setup
	@$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not bench"

test-fast: setup
	@$(BIN)/pytest -n 2 --dist loadfile --ignore tests/e2e --ignore tests/crash --ignore tests/flow

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done
