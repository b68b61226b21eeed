# Everything a person or CI runs. `make demo` and `make test` set up the environment themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
UV := 0.13.8
READY := .venv/.ready

.PHONY: help setup demo test lint lock bench-engine clean

help:
	@echo "make demo    set up, then run the main job on photos that installed packages carry"
	@echo "make test    set up, then run the tests"
	@echo "make lint    ruff and mypy"
	@echo "make setup   the environment only, into .venv"
	@echo "make lock    renew requirements.lock"

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV)"
	# Byte code now: each process of the tests would compile what it imports where writing is off.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
		--compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(BIN)/inscene demo --out demo-out

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-engine: setup
	$(BIN)/python benchmarks/speed/engine.py

lock:
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock

clean:
	rm -rf .venv demo-out
