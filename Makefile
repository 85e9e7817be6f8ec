# Everything that a person or CI does. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/installed
# A system has a dozen processes, and the tests start a thousand: without it each would compile all
# modules anew, which is a seventh of its start. Images for containers often set it.
unexport PYTHONDONTWRITEBYTECODE
# People have none; and with it no test sees what is left in a buffer.
unexport PYTHONUNBUFFERED
# With it Python would not find Cerrojo, which is installed nowhere.
unexport PYTHONSAFEPATH

# An environment whose Python is gone or another version by now, as after an update of the system, is
# made anew.
ifneq ($(wildcard $(READY)),)
ifeq ($(wildcard .venv/lib/python$(shell $(BIN)/python -ISc 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1)),)
$(shell rm -f $(READY))
endif
endif

.DEFAULT_GOAL := help
.PHONY: help up venv test tests slow check alerts dashboard integrations chart sbom chaos fuzz bench costs plan tiny loadtest attack pictures console clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r what why; \
		do printf '  %-14s %s\n' "$$what" "$$why"; done

# `exec`, so that a SIGTERM to make reaches the program itself and not a shell around it.
up: $(READY)  ## bring up the whole system, with its own Kafka and Postgres; Ctrl-C stops it
	@exec $(BIN)/python -m local up

venv: $(READY)  ## only the virtual environment, with the command .venv/bin/cerrojo

test: check tests  ## linters, types, rules between the parts, and the tests but for the slow ones

# Three at a time, each with a Kafka and a Postgres of its own: two of them left two cores idle for
# two fifths of the time, as they wait much.
tests: $(READY)
	@exec $(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)  ## the same without any tests
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

slow: $(READY)  ## the tests that `make test` leaves out, as they take long; some minutes
	@exec $(BIN)/pytest -m slow --numprocesses=2 --dist=loadfile --no-loadscope-reorder $(ARGS)

alerts:  ## test Prometheus' rules by promtool, which Debian's package prometheus has
	@promtool check rules monitoring/alerts.yml
	@promtool test rules monitoring/alerts_test.yml

dashboard: $(READY)  ## whether every panel has data, by a real Prometheus; MINUTES=10 is the load before
	@exec $(BIN)/python -m bench.dashboard $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

integrations: $(READY)  ## Django, FastAPI, Flask and others before a real Cerrojo, by the documents
	@exec $(BIN)/pytest tests/frameworks $(ARGS)

chart: $(READY)  ## lint the Helm chart and write its example anew; HELM=... names the program
	@$(if $(HELM),HELM=$(HELM)) exec $(BIN)/python deploy/render.py

sbom: $(READY)  ## list what the image and a checkout are made of, as CycloneDX, into sbom/
	@exec $(BIN)/python -m deploy.sbom

chaos: $(READY)  ## kill and freeze everything under load, and judge; KINDS=network cuts lines
	@$(if $(KINDS),CERROJO_CHAOS_KINDS=$(KINDS)) exec $(BIN)/python -m tests.chaos

fuzz: $(READY)  ## send every port, topic and decoder what nobody would; ARGS="--seed 7" repeats it
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

bench: $(READY)  ## how fast, beside the limits; ROWS=P1,P5, SIZE=tiny, small, usual or full choose
	@exec $(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(SIZE),--size $(SIZE)) $(ARGS)

costs: $(READY)  ## what each part costs for a login on this machine, for the plan
	@exec $(BIN)/python -m bench.costs $(if $(SIZE),--size $(SIZE)) $(ARGS)

plan: $(READY)  ## what N logins a second would take, as in N=100000, by the newest costs
	@exec $(BIN)/python -m bench.plan $(or $(N),100000) $(ARGS)

# No figure of these is kept, so they may run beside one another, as they wait much: with --jobs=3.
# No Kafka of theirs compiles well what it does for a minute only.
TINY := tiny-together tiny-alone tiny-dashboard tiny-overload tiny-costs
tiny: $(TINY)  ## everything that measures, in its smallest size: whether it still works
$(TINY): export CERROJO_KAFKA_JAVA_OPTIONS := -XX:TieredStopAtLevel=1
.PHONY: $(TINY)
tiny-together: $(READY)
	@$(BIN)/python -m bench --size tiny --into .cerrojo/tiny/together --rows P1,P2,P3,P4,P6,P8,P9,P11,P13
tiny-alone: $(READY)
	@$(BIN)/python -m bench --size tiny --into .cerrojo/tiny/alone --rows P5,P7,P10,P12
tiny-dashboard: $(READY)
	@$(BIN)/python -m bench.dashboard --minutes 1
tiny-overload: $(READY)
	@$(BIN)/python -m bench.overload --size tiny
# Last: a system that is idle must use less than one with a load, for the plan.
tiny-costs: $(READY) | $(filter-out tiny-costs,$(TINY))
	@$(BIN)/python -m bench.costs --size tiny --into .cerrojo/tiny
	@$(BIN)/python -m bench.plan 100000 --figures .cerrojo/tiny/costs.json

loadtest: $(READY)  ## load what is up; SCENARIO=..., USERS=..., TIME=... choose what and how much
	@exec $(BIN)/python -m loadtest

pictures: $(READY)  ## take the pictures of the console for the README, with Chromium
	@exec $(BIN)/python -m tests.pictures

console: $(READY)  ## how long the console takes among 1,000,000 blocks and under load, in Chromium
	@exec $(BIN)/python -m tests.console_speed $(ARGS)

attack: $(READY)  ## attack a system of its own in every known way, and judge; ATTACKS=idle,... chooses
	@$(if $(ATTACKS),ATTACKS=$(ATTACKS)) exec $(BIN)/python -m loadtest.attacks $(ARGS)

clean:  ## remove the virtual environment and the caches; data in .cerrojo stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.cerrojo/*' -prune -exec rm -rf {} +

# It is installed when the file $(READY) is there. An environment without it, as after Ctrl-C, is made
# anew: pip takes a package for installed of which some files may be missing.
$(READY): requirements/dev.txt requirements/argon2-build.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Cerrojo needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % v[:2])'
	@test -e $@ || { echo "Making .venv"; exec $(PYTHON) -m venv --clear .venv; }
	@rm -f $@
	@$(BIN)/python -m pip install --require-hashes --only-binary=:all: --disable-pip-version-check --no-input -r $< || { \
		echo "The libraries are not installed. Where pip found none for this Python, name an older one: make PYTHON=python3.14" >&2; exit 1; }
	@$(BIN)/python -m local.argon2
	@printf '%s\n' '#!/bin/sh' "PYTHONPATH='$(CURDIR)' exec '$(CURDIR)/$(BIN)/python' -P -m cerrojo \"\$$@\"" >$(BIN)/cerrojo
	@chmod +x $(BIN)/cerrojo
	@touch $@
