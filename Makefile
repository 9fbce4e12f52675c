# The door to a checkout: make demo, make quick, make test, make check, make clean.
# ARGS passes options: make demo ARGS='--agents 20', make test ARGS='-k pacing'.

PYTHON ?= python3
# Many tests wait for a server or a process: with one worker per core the cores would idle part of the time.
WORKERS ?= $(shell expr 1 + $$(getconf _NPROCESSORS_ONLN))
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo quick test test-asterisk test-servers browser check docs links clean

help:
	@echo "make demo    the whole dialer against a simulated call centre, nothing else needed"
	@echo "make quick   the tests of unit/ and ledger/, in about a minute"
	@echo "make test    all tests"
	@echo "make test-asterisk  the tests with a real Asterisk in a container; needs a container engine"
	@echo "make test-servers   the tests of ledger/ on Redis 6.2, 7.0 and 8, and Valkey 8 and 9, in containers"
	@echo "make browser a Chromium from Debian's packages, for the tests of the dashboard"
	@echo "make check   format, lint, types, layers, the documentation's site"
	@echo "make docs    the documentation as a site, in build/docs"
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
test-servers: .venv/.dev
	@for server in $(SERVERS); do echo "== $$server"; $(BIN)/pytest -q --redis "$$server" tests/ledger $(ARGS) || exit 1; done

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

# Not a part of `check`: it needs the internet, and the servers of others.
links: .venv/.dev
	$(BIN)/python -m bench.external_links

clean:
	rm -rf .venv build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
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
