# Two commands matter: `make run` and `make test`. Everything they need they install into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test check format soak docs lock fuzz audit bench profile clean

run: $(VENV)/.installed  ## Start the emulator, the service and the demo page on loopback
	@$(BIN)/tokensvc --config config/development.toml demo $(ARGS)

test: $(VENV)/.installed-dev tests/journeys/sdk/.installed  ## Run all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile

check: $(VENV)/.installed-dev  ## Lint, format, types, import contracts, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python dependencies/locks.py

format: $(VENV)/.installed-dev  ## Let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(VENV)/.installed-dev  ## Kill -9 the inbox's processes, and the service's, a thousand times on each engine
	$(BIN)/python -m tests.faults.soak_inbox
	$(BIN)/python -m tests.faults.soak_service

docs: $(VENV)/.installed-dev  ## Write the pages that are made from the tests
	$(BIN)/python -m tests.faults.document
	$(BIN)/python -m tests.security.asvs

# Universal locks: one file serves every platform; no index address is written into it.
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command "make lock"

lock: $(VENV)/.installed-dev  ## Resolve the dependencies anew
	$(COMPILE) --extra build -o requirements.txt pyproject.toml
	$(COMPILE) --extra build --extra dev -o requirements-dev.txt pyproject.toml
	$(COMPILE) --group fuzz -o requirements-fuzz.txt
	$(COMPILE) --group audit -o requirements-audit.txt
	$(COMPILE) --group bench -o requirements-bench.txt

fuzz: $(VENV)/.installed-fuzz  ## A million hostile tokens, led by coverage, and 50,000 deliveries
	$(BIN)/python -m tests.security.fuzz_campaign
	FUZZ_SHARE=1 $(BIN)/python -m pytest --timeout 900 tests/security/test_fuzzed_deliveries.py

audit: .venv-audit/.installed  ## Ask whether a locked dependency has a known vulnerability
	@.venv-audit/bin/python dependencies/audit.py requirements.txt requirements-dev.txt

bench: $(VENV)/.installed .venv-bench/.installed benchmarks/peers/express/.installed  ## What a login costs, beside other servers (10 minutes)
	@.venv-bench/bin/python -m benchmarks.run $(ARGS)

profile: $(VENV)/.installed .venv-bench/.installed  ## A flame graph of the login path
	@.venv-bench/bin/python -m benchmarks.flame_graph $(ARGS)

clean:
	rm -rf $(VENV) .venv-audit .venv-bench tests/journeys/sdk/node_modules tests/journeys/sdk/.installed \
	  benchmarks/peers/express/node_modules benchmarks/peers/express/.installed

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

# Atheris has wheels for Linux on x86-64 alone; elsewhere it needs clang to build.
$(VENV)/.installed-fuzz: requirements-fuzz.txt $(VENV)/.installed-dev
	@$(PIP) install --require-hashes -r requirements-fuzz.txt \
	  || { echo "atheris does not install on $$($(BIN)/python -VV | head -1): make fuzz needs CPython 3.11 to 3.14 on Linux (x86-64)"; exit 1; }
	@touch $@

# In an environment of its own: what it needs is not what the service or its tests need.
.venv-audit/.installed: requirements-audit.txt | $(VENV)/bin/python
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-audit.txt
	@touch $@

# Likewise: the servers that the benchmark puts beside tokensvc, and what asks them.
.venv-bench/.installed: requirements-bench.txt | $(VENV)/bin/python
	@echo "Installing the benchmark's needs into .venv-bench ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-bench.txt
	@touch $@

# One of those servers runs on Node; where npm is not there, or gets nothing, it is left out, and
# the benchmark says so.
benchmarks/peers/express/.installed: benchmarks/peers/express/package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm was not found: Express will be left out"; \
	elif cd benchmarks/peers/express && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; then touch .installed; \
	else rm -rf node_modules; echo "npm could not install its packages: Express will be left out"; fi

# The vendor's SDK comes from npm, for the browser tests alone; without npm they are skipped and say so.
tests/journeys/sdk/.installed: tests/journeys/sdk/package-lock.json
	@if command -v npm >/dev/null; then \
	  cd tests/journeys/sdk && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch .installed; \
	else echo "npm was not found: the browser tests of CometChat's SDK will be skipped"; fi
