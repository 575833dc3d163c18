# Two commands matter: `make run` and `make test`. Everything they need they install into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check format docs lock clean

run: $(VENV)/.installed  ## Start the emulator, the service and the demo page on loopback
	@$(BIN)/tokensvc --config config/development.toml demo

test: $(VENV)/.installed-dev tests/journeys/sdk/.installed  ## Run all tests
	$(BIN)/python -m pytest

check: $(VENV)/.installed-dev  ## Lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## Let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-dev  ## Write the documents that are made from the tests
	$(BIN)/python -m tests.faults.document

# Universal locks: one file serves every platform; no index address is written into it.
lock: $(VENV)/.installed-dev  ## Resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" --extra build -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" --extra build --extra dev -o requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) tests/journeys/sdk/node_modules tests/journeys/sdk/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tokensvc needs Python 3.11 or newer; say which one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing the tests' needs into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# The vendor's SDK comes from npm, for the browser tests alone; without npm they are skipped and say so.
tests/journeys/sdk/.installed: tests/journeys/sdk/package-lock.json
	@if command -v npm >/dev/null; then \
	  cd tests/journeys/sdk && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch .installed; \
	else echo "npm was not found: the browser tests of CometChat's SDK will be skipped"; fi
