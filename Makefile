# Two commands on a fresh machine (Python 3.11 or newer, and make):
#   make reproduce   environment, every chapter re-executed, claims checked, book rendered
#   make test        environment, then the whole test suite
# `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
# Worker processes of the test suite.
JOBS   ?= 2
# FORCE=1 makes `make reproduce` redo chapters that are already done.
FORCE  ?=
# TORCH=cuda takes PyTorch's default build, which on Linux brings several gigabytes of CUDA libraries.
TORCH  ?= cpu
# Options of JupyterLab: make lab OPTIONS="--no-browser --port 8890".
OPTIONS ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.stamp
PIP   := $(BIN)/python -m pip --disable-pip-version-check
CPU_BUILDS := https://download.pytorch.org/whl/cpu
FORCE_FLAG := $(if $(filter-out 0,$(FORCE)),--force)
# JupyterLab refuses to run as root, which is who one is in a container.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# A kernel called python3 in the user's home must not be taken for the project's.
export JUPYTER_PREFER_ENV_PATH := 1

.DEFAULT_GOAL := help
.PHONY: help env reproduce test lint book pdf lab lock clean distclean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12  interpreter for the environment     FORCE=1  redo finished chapters"
	@echo "  JOBS=4             worker processes of the tests       DIFFBOOK_DATA=folder  local data sets"
	@echo "  TORCH=cuda         PyTorch's build for NVIDIA GPUs     OPTIONS=\"--no-browser\"  for make lab"

# The environment is made once and again whenever the lock changes.
$(STAMP): requirements.lock pyproject.toml
	@command -v '$(PYTHON)' >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "This book needs Python 3.11 or newer; '$(PYTHON)' is" \
	         "$$(command -v '$(PYTHON)' >/dev/null && $(PYTHON) --version 2>&1 || echo 'not there')." \
	         "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making the environment in $(VENV) (two to five minutes, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@[ '$(TORCH)' = cuda ] || [ "$$(uname -s)" != Linux ] || $(PIP) install -qq --no-deps --retries 0 \
	    --index-url $(CPU_BUILDS) "$$(grep '^torch==' requirements.lock)" 2>/dev/null \
	    || echo "PyTorch's CPU build is not to be had from $(CPU_BUILDS); taking the default build ..."
	@$(PIP) install -qq --requirement requirements.lock && $(PIP) install -qq --no-deps --editable . || { \
	    echo "The environment could not be made; pip's message stands above. Without a network pip says" \
	         "'No matching distribution found'; a full disk, or a proxy, are the other usual causes" \
	         "(README says how much it takes). The same command goes on from there." >&2; exit 1; }
	@touch $@

env: $(STAMP)  ## create or update the environment

reproduce: $(STAMP)  ## re-execute every chapter, check the claims, render the book (FORCE=1 redoes all)
	@$(BIN)/python -m press reproduce $(FORCE_FLAG)

test: lint  ## run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder \
	    --nbval --nbval-sanitize-with "$(CURDIR)/tests/nbval_sanitize.cfg" \
	    --nbval-kernel-startup-timeout 600 --nbval-cell-timeout 3600 tests notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

book: $(STAMP)  ## render the committed notebooks without executing them
	$(BIN)/jupyter-book build . -n -W --keep-going
	@echo "Start page: $(CURDIR)/_build/html/index.html"

pdf: book  ## print each chapter to _build/pdf (needs Chromium)
	@$(BIN)/python -m press.show.pdf

lab: $(STAMP)  ## open JupyterLab in the folder of the chapters (OPTIONS="--no-browser")
	$(BIN)/jupyter lab $(AS_ROOT) $(OPTIONS) notebooks

lock:  ## write requirements.lock anew from requirements.in
	rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --requirement requirements.in
	{ echo "# Written by \`make lock\` from requirements.in; the versions the book was made with."; \
	  _build/lock/bin/python -m pip freeze | sed 's/^torch==\([^+]*\)+.*/torch==\1/'; } > requirements.lock
	rm -rf _build/lock

clean:  ## remove the rendered book and caches; finished runs in results/ stay
	rm -rf _build results/site results/screenshots .pytest_cache .ruff_cache .hypothesis
	find lib tests benchmarks notebooks book -name __pycache__ -o -name .ipynb_checkpoints 2>/dev/null | xargs rm -rf

distclean: clean  ## also remove finished runs and the environment
	rm -rf results $(VENV)
