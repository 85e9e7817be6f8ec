# Everything that a person or CI does. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help up venv test check chaos bench costs plan loadtest clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r what why; \
		do printf '  %-14s %s\n' "$$what" "$$why"; done

# `exec`, so that a SIGTERM to make reaches the program itself and not a shell around it.
up: $(READY)  ## bring up the whole system, with its own Kafka and Postgres; Ctrl-C stops it
	@exec $(BIN)/python -m local up

venv: $(READY)  ## only the virtual environment

# Two at a time, each with a Kafka and a Postgres of its own: most of the time they wait.
test: check  ## linters, types, rules between the parts, and all tests
	@exec $(BIN)/pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)  ## the same without the tests
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

chaos: $(READY)  ## kill and freeze everything under load, and judge; CERROJO_CHAOS_SEED=... repeats
	@exec $(BIN)/python -m tests.chaos

bench: $(READY)  ## how fast, beside the limits; ROWS=P1,P5 and SIZE=small, usual or full choose
	@exec $(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(SIZE),--size $(SIZE))

costs: $(READY)  ## what each part costs for a login on this machine, for the plan
	@exec $(BIN)/python -m bench.costs $(ARGS)

plan: $(READY)  ## what N logins a second would take, as in N=100000, by the newest costs
	@exec $(BIN)/python -m bench.plan $(or $(N),100000) $(ARGS)

loadtest: $(READY)  ## load what is up; SCENARIO=..., USERS=..., TIME=... choose what and how much
	@exec $(BIN)/python -m loadtest

clean:  ## remove the virtual environment and the caches; data in .cerrojo stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.cerrojo/*' -prune -exec rm -rf {} +

$(READY): requirements/dev.txt local/install.py
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Cerrojo needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % v[:2])'
	@exec $(PYTHON) local/install.py .venv requirements/dev.txt $@
