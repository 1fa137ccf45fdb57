# One command per task. `make demo` and `make test` need Python >= 3.11, git and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
UV := $(BIN)/uv
DLT_INSTALLED := .venv-bench/installed
comma := ,
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock"

help:  ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## create .venv with the locked dependencies and the command .venv/bin/vapi-sessions

$(INSTALLED): requirements/uv.txt requirements/development.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "vapi-sessions needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 setup" >&2; exit 2; }
	@echo "Setting up .venv, which all commands share. The first time takes a minute or two."
	@test -x $(BIN)/python || { echo "  a virtual environment of $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@echo "  uv, which installs the rest"
	@$(BIN)/python -m pip install --quiet --quiet --require-hashes --requirement requirements/uv.txt
	@echo "  $$(grep -c == requirements/development.txt) locked packages"
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/uv.txt requirements/development.txt
	@echo "  vapi-sessions itself"
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src flows  # saves 0.3 s per command where Python may not write bytecode
	@touch $@

demo: setup  ## run the main job against a local emulator, without an account
	@$(BIN)/vapi-sessions demo

# Tests sync thousands of small files, so these are in memory if there is room.
SCRATCH = $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 2>/dev/null && echo TMPDIR=/dev/shm)

# Tests allocate often: with a larger cache in glibc, the simulation is 8 % faster. Other C libraries ignore this.
MALLOC = GLIBC_TUNABLES=glibc.malloc.tcache_count=4000:glibc.malloc.tcache_max=1048576

# Let pytest keep compiled test modules, even where Python may not write bytecode: compiling them takes seconds per process.
PYTEST = $(SCRATCH) $(MALLOC) PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

test: setup  ## test every behaviour once, in about three minutes
	@echo "Testing every behaviour once on $$(nproc 2>/dev/null || echo all) cores, in about three minutes. make proof runs the rest."
	@$(PYTEST) -m "not proof" --numprocesses logical --dist worksteal

# By file: there is one Prefect server, and the simulation starts its own processes. Hypothesis runs all its examples.
proof: setup  ## run all other tests, in about twenty minutes: 500 seeds, all planted mistakes, every crash point, a Prefect server
	@THOROUGH=1 $(PYTEST) -m "proof or hypothesis" --numprocesses 2 --dist loadfile

soak: setup  ## simulate 20,000 seeds (SEEDS=100000) or for a time (SECONDS=3600), then fuzz for a minute
	@$(BIN)/python -m tests.simulation soak $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SECONDS),--seconds $(SECONDS))
	@$(BIN)/python -m tests.fuzz --seconds 60

compare: setup  ## print which seed catches each planted mistake, and what other connectors lose
	@$(BIN)/python -m tests.simulation compare

bench: setup $(if $(or $(AGAINST),$(filter no,$(DLT))),,$(DLT_INSTALLED))  ## measure against downloading and dlt (ONLY=full,memory RUNS=3 SESSIONS=50000 QUICK=1 DLT=no) or a commit (AGAINST=main)
ifdef AGAINST
	@$(BIN)/python -m tests.benchmarks against $(AGAINST) $(if $(ONLY),--only $(subst $(comma), ,$(ONLY))) $(if $(RUNS),--times $(RUNS)) \
		$(if $(SESSIONS),--sessions $(SESSIONS)) $(if $(DOCUMENT),--document)
else
	@$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(SESSIONS),--sessions $(SESSIONS)) $(if $(QUICK),--quick) $(if $(filter no,$(DLT)),--no-dlt)
endif

$(DLT_INSTALLED): requirements/benchmark.txt $(INSTALLED)
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-bench
	@$(UV) pip sync --quiet --compile-bytecode --python .venv-bench/bin/python --require-hashes requirements/benchmark.txt
	@touch $@

lint: setup  ## check style, types, locks and known advisories
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python tests/check_locks.py
	@$(BIN)/python tests/audit.py

audit: setup  ## look up known advisories for all locked versions
	@$(BIN)/python tests/audit.py

format: setup  ## fix and format with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: setup  ## write tables, columns and views into docs/
	@$(BIN)/python tests/write_docs.py

notebooks: setup  ## execute the notebooks on generated data and save them with their plots
	@$(BIN)/python tests/write_notebooks.py

screenshots: setup  ## make the pictures of the report in docs/images again (needs Chromium)
	@$(BIN)/python -m tests.screenshots

lock: setup  ## resolve the dependencies again (LOCK_FLAGS=--upgrade)
	@$(COMPILE) $(LOCK_FLAGS) requirements/uv.in --output-file requirements/uv.txt
	@$(COMPILE) $(LOCK_FLAGS) requirements/benchmark.in --output-file requirements/benchmark.txt
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml --output-file requirements/product.txt
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml --group dev --constraint requirements/product.txt --output-file requirements/development.txt
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml --extra notebook --constraint requirements/development.txt --output-file requirements/notebook.txt
	@$(COMPILE) $(LOCK_FLAGS) pyproject.toml --extra report --constraint requirements/development.txt --output-file requirements/report.txt

clean:  ## remove .venv and everything that was built
	rm -rf .venv .venv-bench build dist .pytest_cache .mypy_cache .ruff_cache

.PHONY: help setup demo test proof soak compare bench lint audit format docs notebooks screenshots lock clean
