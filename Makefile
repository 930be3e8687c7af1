# Everything here needs only make and Python 3.11 or newer; it works in its own environment, .venv.
#   make test PYTHON=python3.12    another Python       make test WORKERS=0        tests in one process
#   make test TESTS=tests/guards   one folder           make demo QUESTION="…"     another question

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 4
TESTS ?= tests
QUESTION ?= How do I keep a team of agents inside its budget, and what happens when a worker fails?
DOCUMENTS ?= docs README.md

BIN := $(VENV)/bin
SOURCES := guardgraph tests examples bench
EXTRAS := agents,dev,draw,encryption,mysql,postgres,routing
# A folder of its own for temporary files: runs side by side would clean up each other's.
PYTEST := folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	PYTEST_DEBUG_TEMPROOT="$$folder" $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint types tests conformance bench format clean

help:  ## Show what there is to make
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)$$/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.core  ## Answer a question from this project's own documents, with no key and no server
	$(BIN)/guardgraph research "$(QUESTION)" $(DOCUMENTS)

test: lint types tests  ## Check everything: lint, types, all tests

lint: $(VENV)/.dev  ## Check style and formatting
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.dev  ## Check types
	$(BIN)/pyright --pythonpath $(BIN)/python

tests: $(VENV)/.dev  ## Run the tests, or those of TESTS=tests/…
	$(PYTEST) $(TESTS)

conformance: $(VENV)/.dev  ## Run every graph in every way: the whole product, not only its pairs
	export GUARDGRAPH_CONFORMANCE=all; $(PYTEST) tests/conformance

bench: $(VENV)/.bench  ## Run the side-by-side benchmarks
	@for file in bench/*.py; do echo "$$file"; $(BIN)/python -m "bench.$$(basename "$$file" .py)" || exit 1; done

format: $(VENV)/.dev  ## Put the sources in the project's format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:  ## Remove the environment and all that was built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v "$(PYTHON)" >/dev/null || { echo "guardgraph needs Python 3.11 or newer; '$(PYTHON)' was not found. Name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "guardgraph needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module does not work here; on Debian and Ubuntu, install python3-venv." >&2; exit 1; }

# The stamps make the second call fast; a changed pyproject.toml installs anew.
$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $(VENV)/.core $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[agents,bench,postgres,routing]'
	@touch $(VENV)/.core $@

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable .
	@touch $@
