# `make demo` and `make test` need only Python, pip and make; both work from .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint benchmark slow clean
demo: $(STAMP)
	$(BIN)/compare-models --demo --output_dir demo-output --overwrite

test: $(STAMP) lint
	$(BIN)/python -m pytest -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --warnings=false

slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

clean:
	rm -rf .venv demo-output build *.egg-info
