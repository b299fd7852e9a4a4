# modelgate: what you can do with a checkout. `make` alone lists it.
# Needs make and Python >= 3.10; everything else is put into .venv. Another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
PIP    := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find entrypoint -name '*.py' -o -name '*.md' -o -name '*.json' -o -path '*/bin/*') pyproject.toml README.md LICENSE
SHELL_FILES := .ci/run
ARGS   ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:          # two pips in one venv would trip over each other
.DELETE_ON_ERROR:
.PHONY: help venv demo test test-all test-docker lint bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.package  ## modelgate in .venv, as a user installs it

demo: $(VENV)/.demo  ## a real embedding server behind the gate: a start that works, and one that cannot
	@$(RUN) docker/demo/demo.py

test: $(VENV)/.test  ## what needs neither root, Docker, torch nor a GPU (the rest is skipped with its reason)
	$(RUN) -m pytest $(ARGS)

test-all: $(VENV)/.dev $(VENV)/.demo needs-root  ## every test; as root, with Docker (.ci/run installs what it needs)
	$(RUN) -m pytest --docker $(ARGS)

test-docker: $(VENV)/.test $(VENV)/.demo needs-root  ## the tests in containers; starts a Docker engine if none answers
	$(RUN) -m pytest --docker tests/docker $(ARGS)

lint: $(VENV)/.dev $(VENV)/.demo  ## ruff, mypy, shellcheck
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	@if command -v shellcheck > /dev/null; then echo shellcheck $(SHELL_FILES); shellcheck $(SHELL_FILES); \
	else echo "shellcheck is not installed: skipped"; fi

bench: $(VENV)/.package  ## the ratios of README's table, measured side by side (ARGS=--write-readme puts them there)
	@$(RUN) tests/benchmarks/bench.py $(ARGS)

clean:  ## remove everything make has made
	rm -rf $(VENV) .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis entrypoint/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: needs-root
needs-root:
	@[ "$$(id -u)" = 0 ] || { echo "This needs root (mounts, other users, a Docker engine). Without: make test"; exit 1; }

# --- the venv, in layers; each stamp says that its layer is there

$(VENV)/.made:
	@command -v $(PYTHON) > /dev/null || { echo "No $(PYTHON) here. modelgate needs Python 3.10 or newer:" \
	  "make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "modelgate needs Python 3.10 or newer, \
	and %s is %s. Try: make PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))'
	@$(PYTHON) -c 'import venv, ensurepip' 2> /dev/null || { echo "$(PYTHON) cannot make a venv." \
	  "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: $(VENV)/.made $(SOURCES)
	rm -rf build
	$(PIP) .
	@touch $@

$(VENV)/.demo: $(VENV)/.package docker/demo/requirements.txt
	$(PIP) --no-deps -r docker/demo/requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.package
	$(PIP) '.[test,grpc]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) '.[dev]'
	@touch $@
