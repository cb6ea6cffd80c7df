# From a fresh machine: Python 3.12 or newer and make are all that is needed first.
#   make reproduce   the environment, the experiments, the figures and paper/generated/paper.pdf
#   make test        the environment and the tests

SHELL    := /bin/bash
VENV     := .venv
PY       := $(VENV)/bin/python
PIP      := $(PY) -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help env reproduce test test-all lint types lock wheel clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

env: $(INSTALLED)

# The locked versions were resolved for the first of these; any of them will do.
$(INSTALLED): pyproject.toml requirements.lock
	@set -e; works() { "$$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }; \
	if ! works $(PY); then \
	  for python in $(PYTHON) python3.12 python3.13 python3.14 python3 \
	                "$$(uv python find '>=3.12' 2>/dev/null)" \
	                "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do \
	    if [ -n "$$python" ] && works "$$python"; then found="$$python"; break; fi; \
	  done; \
	  if [ -z "$${found:-}" ]; then \
	    echo "attach_ai needs Python 3.12 or newer, and none was found: install it, or name it with 'make PYTHON=...'." >&2; \
	    exit 1; \
	  fi; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	$(PIP) install --quiet --require-hashes --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

reproduce: env
	$(VENV)/bin/attach-ai reproduce

test: env
	$(PY) -m pytest -n 2

test-all: env
	$(PY) -m pytest -n 2 -m ""

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: env
	$(PY) -m mypy

# pip-tools stays out of the environment it describes.
lock:
	python3 -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" build/lock/bin/pip-compile --quiet --extra dev \
	  --generate-hashes --allow-unsafe --strip-extras \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file requirements.lock pyproject.toml

wheel: env
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf build dist results paper/generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
