# Everything a developer or a CI machine does here. `make help` lists it.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.beholder
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# The first interpreter that is 3.11 or newer and can make an environment. Some systems
# ship one without `ensurepip`, which looks right and then fails.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format screenshots clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP)-run ## Make .venv with what `make demo` needs

setup-dev: $(STAMP)-dev ## Add what tests, lint and training need

demo: $(STAMP)-run ## Load sample photos, answer two questions, serve the page (PHOTOS= SENTENCE= PORT= DEMO_ONCE=1)
	@$(BIN)/python -m app.demo

test: $(STAMP)-dev ## Run every test
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMP)-dev ## Style, format, strict types, layer contracts: the one truth for hooks and CI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict model index app
	$(BIN)/lint-imports

format: $(STAMP)-dev ## Repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(STAMP)-dev ## Take the README's pictures of the page again
	$(BIN)/python -m scripts.screenshots

clean: ## Remove the environment, caches and built files; never data/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found; install one or name it: make setup PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and exactly: the release is pinned, and nothing that follows may pick another build.
$(STAMP)-torch: | $(BIN)/python
	$(PIP) torch==2.13.0
	@touch $@

$(STAMP)-run: $(STAMP)-torch pyproject.toml constraints.txt
	$(PIP) --editable '.[demo,heic]'
	@touch $@

$(STAMP)-dev: $(STAMP)-run
	$(PIP) --editable '.[dev]'
	@touch $@
