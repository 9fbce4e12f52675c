# The door to a checkout: make demo, make quick, make test, make check, make clean.
# ARGS passes options: make demo ARGS='--agents 20', make test ARGS='-k pacing'.

PYTHON ?= python3
# Many tests wait for a server or a process: with one worker per core the cores would idle part of the time.
WORKERS ?= $(shell expr 1 + $$(getconf _NPROCESSORS_ONLN))
ARGS ?=
BIN := .venv/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo quick test test-asterisk test-servers test-lowest browser check docs flame sbom audit links clean

help:
	@echo "make demo    the whole dialer against a simulated call centre, nothing else needed"
	@echo "make quick   the tests of unit/ and ledger/, in about a minute"
	@echo "make test    all tests"
	@echo "make test-asterisk  the tests with a real Asterisk in a container; needs a container engine"
	@echo "make test-servers   the tests of ledger/ on Redis 6.2, 7.0 and 8, and Valkey 8 and 9, in containers"
	@echo "make test-lowest    the fast tests with the lowest versions of all dependencies that pyproject.toml allows"
	@echo "make browser a Chromium from Debian's packages, for the tests of the dashboard"
	@echo "make check   format, lint, types, layers, the documentation's site"
	@echo "make docs    the documentation as a site, in build/docs"
	@echo "make flame   a flame graph of one process: make flame ARGS='events --output events.svg'"
	@echo "make sbom    what the image holds, with hashes and licences, in build/"
	@echo "make audit   asks a public database for known vulnerabilities of what uv.lock names"
	@echo "make links   asks for every address that leads out of the repository; needs the internet"
	@echo "make clean   removes .venv and everything built or cached"

demo: .venv/.demo
	$(BIN)/streamdialer demo $(ARGS)

# Without the tests marked `long`, and with few of the ledger's random steps. It computes: one worker per core.
quick: .venv/.dev
	LEDGER_STEPS=500 $(BIN)/pytest -q -n auto --dist worksteal -m 'not long' tests/unit tests/ledger $(ARGS)

test: .venv/.dev .venv/.promtool
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# The image takes some minutes the first time. Its packages come from Debian, through the network of this machine.
test-asterisk: .venv/.dev
	@docker version >/dev/null || { echo "error: there is no container engine (docker) to run Asterisk in" >&2; exit 1; }
	docker build --network host -t streamdialer-test-asterisk tests/support/asterisk_server
	$(BIN)/pytest -m asterisk tests/processes $(ARGS)

# Each image in turn; without an engine, name a server that runs: make test-servers SERVERS=redis://127.0.0.1:6379
SERVERS ?= container:redis:6.2 container:redis:7.0 container:redis:8 container:valkey/valkey:8 container:valkey/valkey:9
SERVER_TESTS ?= tests/ledger
test-servers: .venv/.dev
	@for server in $(SERVERS); do echo "== $$server"; TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_CONNECTION_MODE=docker_host \
		$(BIN)/pytest -q --redis "$$server" $(SERVER_TESTS) $(ARGS) || exit 1; done

# In an environment of its own. Without tests of random steps at full length, as `quick`.
LOWEST := build/lowest
test-lowest: .venv/.dev
	@mkdir -p build
	$(UV) pip compile -q --resolution lowest-direct --python $(BIN)/python --extra dev pyproject.toml -o $(LOWEST).txt
	$(UV) venv -q --clear --python $(BIN)/python $(LOWEST)
	$(UV) pip install -q --python $(LOWEST)/bin/python -r $(LOWEST).txt -e . --no-deps
	LEDGER_STEPS=500 $(LOWEST)/bin/python -m pytest -q -n auto --dist worksteal -m 'not long' tests/unit tests/ledger $(ARGS)

# From uv.lock, as deploy/Dockerfile installs it, with all extras that an image can have.
IMAGE := --locked --no-dev --no-emit-project --extra backend --extra dashboard --extra otel
sbom: .venv/.dev
	@mkdir -p build
	$(UV) export -q --preview-features sbom-export $(IMAGE) --format cyclonedx1.5 -o build/sbom.json
	$(UV) export -q $(IMAGE) --format requirements.txt -o build/image.txt
	$(UV) venv -q --clear --python $(BIN)/python build/image
	$(UV) pip install -q --python build/image/bin/python --require-hashes -r build/image.txt
	$(BIN)/pip-licenses --python build/image/bin/python --format csv --with-urls --output-file build/licences.csv
	@echo "build/sbom.json build/licences.csv"

audit: .venv/.dev
	.ci/audit $(BIN)/uv

browser:
	@command -v chromium || command -v google-chrome || { test "$$(id -u)" = 0 \
		&& apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core; }

check: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

# Fresh each time, because pages are made from the code.
docs: .venv/.dev
	$(BIN)/sphinx-build -q -E -W --keep-going docs build/docs
	@echo "build/docs/index.html"

flame: ARGS = events
flame: .venv/.dev
	$(BIN)/python -m bench.flame $(ARGS)

# Not a part of `check`: it needs the internet, and the servers of others.
links: .venv/.dev
	$(BIN)/python -m bench.external_links

clean:
	rm -rf .venv .venv-bench build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What is installed; the stamps are older than pyproject.toml when it changed. An environment made by uv has no pip.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.demo: pyproject.toml | $(BIN)/python
	@echo "installing streamdialer and its demo into .venv"
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(PIP) install -e '.[demo,dashboard]'
	@touch $@

.venv/.dev: pyproject.toml | $(BIN)/python
	@echo "installing streamdialer and its development tools into .venv"
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(PIP) install -e '.[dev]'
	@touch .venv/.demo $@

# Once per environment; without it the tests that ask promtool are skipped, and say so.
.venv/.promtool: | $(BIN)/python
	@command -v promtool >/dev/null || .ci/promtool $(BIN) \
		|| echo "promtool could not be had: alert rules and dashboard are parsed, but not tried, without it" >&2
	@touch $@
