# The two commands that matter: `make demo` and `make test`. Both need only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Twice quiet: errors are shown, warnings about how pip is set up are not.
PIP := $(BIN)/pip --disable-pip-version-check --quiet --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs gallery clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# A stamp per environment: it is redone only when the dependencies change, so second runs start at once.
.venv/core.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Pathline into .venv (about a minute, once)"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

.venv/dev.stamp: .venv/core.stamp
	@echo "Installing the tools for tests, checks and docs into .venv (once)"
	@$(PIP) install -c constraints.txt -e '.[test,check,docs]'
	@touch $@

demo: .venv/core.stamp ## forecast two centuries of sunspots with every method, and compare them
	@$(BIN)/pathline forecast sunspots

test: .venv/dev.stamp ## run the tests on two cores
	@$(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/dev.stamp ## format, lint, types, import walls, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/mkdocs build --strict --quiet

docs: .venv/dev.stamp ## serve the documentation on loopback
	@$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

gallery: .venv/core.stamp ## build the catalogue as static pages
	@$(BIN)/pathline gallery --out site/gallery

.venv-bench/stamp: pyproject.toml constraints.txt benchmarks/requirements.txt
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip --disable-pip-version-check --quiet --quiet install -c constraints.txt -e . -r benchmarks/requirements.txt
	@touch $@

bench: .venv-bench/stamp ## Pathline against its peers, in one run
	@.venv-bench/bin/python -m benchmarks
	@.venv-bench/bin/python -m benchmarks --page

clean: ## remove environments and caches
	rm -rf .venv .venv-bench site .pytest_cache .ruff_cache
