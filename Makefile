# The contributor's interface. Everything is made below work/, which git ignores.
BIN := work/env/main/bin
# processes of `make test`; a file's tests share its nights and servers, and so a process; files that start the same (a
# JVM, processes that have imported torch or MLflow) share one too; in the order of tests/conftest.py, long ones first, so
# that no process has one left when the others are done
WORKERS ?= 3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# a shop's own workspace may be named: ECCLIP_WORKSPACE=work/shops/<name> make up
export ECCLIP_WORKSPACE ?= $(CURDIR)
# compiled modules are kept, whatever the shell says: without them every process compiles its libraries again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow test-fault test-ops mutants wheels lint types bench-env up down status setup lock check-locks clean

help:  ## this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

setup:  ## make or refresh the environments from the hashed lock files; PYTHON=, SERVING_PYTHON= to choose
	@scripts/moved
	@scripts/setup

demo: setup  ## three nights from dump to answers; DUMP=<folder or URL> MAPPING=<file> for your own
	@$(BIN)/ecclip demo $(if $(DUMP),--dump "$(DUMP)") $(if $(MAPPING),--mapping "$(MAPPING)")

test: setup  ## the tests without the slow ones
	@$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: setup  ## the tests that take minutes each
	@$(BIN)/python -m pytest -m slow

test-fault: setup  ## the fault tests: what docs/faults.md promises
	@$(BIN)/python -m pytest -m fault -v

test-ops: setup  ## the tests of what operators do (docs/runbook.md), those that take minutes too
	@$(BIN)/python -m pytest -m ops -v

mutants: setup  ## change the code of ROOM= in small ways and count what its fast tests notice (docs/mutants.md)
	@$(BIN)/python scripts/mutants $(ROOM)

wheels: setup  ## build ecclip and ecclip-client, the client alone, into work/wheels
	@for project in . packaging/client; do \
		(cd $$project && $(CURDIR)/$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/work/wheels); done

lint: setup  ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup  ## mypy
	@$(BIN)/mypy

up: setup  ## start the Airflow UI, the MLflow UI and Triton on loopback
	@$(BIN)/ecclip up

down:  ## stop exactly those processes
	@$(BIN)/ecclip down

status:  ## which services run, and where
	@$(BIN)/ecclip status

bench-env: setup  ## add the peer of `ecclip bench train` (open_clip) to its own folder
	@scripts/bench-env

lock:  ## compile the lock files again (names, versions, sha256; no addresses)
	@scripts/lock

check-locks: setup  ## are the lock files what pyproject.toml asks for, and do they fit each Python?
	@scripts/lock --check

clean:  ## remove everything that was made, environments included
	@if [ -x $(BIN)/ecclip ]; then $(BIN)/ecclip down; fi
	@rm -rf work
