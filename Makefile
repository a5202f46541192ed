# Python 3.11, make and git are all that is needed, and g++ 12 or later for speed; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install data study test check lint bench pictures clean

install: .venv/compiled

# from scratch: bytecode is compiled for what is installed, not for what a broken-off installation left
.venv/installed: pyproject.toml requirements.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.txt
	touch $@

# without a compiler it is installed all the same, and slower: a study says so when it starts; then each `make` tries
# again, which needs no network, because setuptools is in .venv
.venv/compiled: .venv/installed audiotag/models/cpu/kernels.cpp audiotag/models/cpu/products.cpp
	rm -f audiotag/models/cpu/_kernels*.so
	$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-build-isolation --no-deps --editable .
	@ls audiotag/models/cpu/_kernels*.so > /dev/null 2>&1 && touch $@ || echo "note: no suitable C++ compiler (g++ 12 or later): a training step takes twice as long on a CPU"

study: install
	$(BIN)/python study/run.py --space mixup_alpha

data: install
	$(BIN)/python -m audiotag.chime_home data/chime_home

test: install
	$(BIN)/python -m pytest

# for every commit: lint, types and the tests that are quick; `make test` is the whole
check: lint
	$(BIN)/python -m pytest -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/variants.py
	$(BIN)/python benchmarks/trials.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/gpu_check.py

# those of the README, from recordings: make pictures CORPUS=PATH
pictures: install
	$(BIN)/python docs/pictures.py $(CORPUS)

clean:
	rm -rf .venv build audiotag/models/cpu/_kernels*.so .mypy_cache .pytest_cache .ruff_cache
