# `make demo` and `make test` need only Python 3.11+ and make: each creates .venv from poetry.lock first.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := --all-extras --with dev
POETRY := .venv/poetry/bin/poetry

.DEFAULT_GOAL := help
.PHONY: help install demo format check test bench clean

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## Create .venv from poetry.lock

# Poetry stands in a venv of its own inside .venv, so that what it needs never meets what the toolkit needs.
.venv/installed: poetry.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 14) else f"Python 3.11 to 3.13 is needed, found {v[0]}.{v[1]}: run make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PYTHON) -m venv .venv/poetry
	.venv/poetry/bin/pip install --quiet "poetry>=2.1,<3" "poetry-plugin-export>=1.9,<2"
	$(POETRY) export --quiet $(EXTRAS) --output .venv/requirements.txt
	$(BIN)/pip install --quiet --requirement .venv/requirements.txt
	echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dsr_edgeface.pth"
	@touch $@

demo: install  ## Train, fine-tune and evaluate on synthetic faces (minutes on 2 cores)
	$(BIN)/python -m pipeline run --config recipes/demo/run.toml $(if $(EDGEFACE),--edgeface $(EDGEFACE))

format: install  ## Format and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: install  ## Lint, formatting and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: install  ## Run the tests (under 5 minutes on 2 cores)
	$(BIN)/pytest -n auto --dist loadfile -m "not slow and not gpu"

bench: install  ## Print speed ratios against the usual ways
	$(BIN)/python -m benchmarks

clean:  ## Remove caches (never data, runs or .venv)
	rm -rf .pytest_cache .mypy_cache .ruff_cache
