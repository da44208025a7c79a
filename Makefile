# What can be done here: make help. Everything is incremental; any target works from a clean clone.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

UV_VERSION  := 0.13.9
SYSTEM_PATH := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$(PATH)

# The machine's own, looked up when it is needed: on a fresh machine it is installed a moment before.
SYSTEM_PYTHON = $$(PATH="$(SYSTEM_PATH)" command -v python3)

PROTOS := $(shell find protos -name '*.proto') protos/generate.py
GUEST  := build/guest.qcow2

# Each stamp lies in the folder whose state it stands for, so that removing the folder forgets it.
UV      := .tools/.uv-$(UV_VERSION)
ENV     := .venv/.synced
STUBS   := gen/.generated
GRPCURL := .tools/bin/grpcurl

# Fast to slow. The first leave room for each other, a file at a time; the rest want the machine, and its libvirtd, alone.
SHARING := $(addprefix tests/,unit contract integration)
ALONE   := $(wildcard $(addprefix tests/,system containers chaos))

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment -----------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(ENV) $(STUBS) ## system packages, Python environment, generated stubs

.PHONY: packages
packages: # asks dpkg each time (a blink), since a stamp would not know which machine it is on
	@deploy/setup.sh

$(UV): | packages
	@$(SYSTEM_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version)'
	$(SYSTEM_PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(ENV): requirements.lock pyproject.toml $(UV)
	[ -x .venv/bin/python ] || uv venv --quiet --no-python-downloads --python $(SYSTEM_PYTHON) .venv
	uv pip sync --quiet --python .venv requirements.lock
	uv pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.PHONY: gen
gen: $(STUBS) ## the stubs of protos/, into gen/

$(STUBS): $(PROTOS) $(ENV)
	.venv/bin/python protos/generate.py
	@touch $@

.PHONY: lock
lock: | $(UV) ## requirements.lock anew, from pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml -o requirements.lock

.PHONY: grpcurl
grpcurl: $(GRPCURL) ## the client of the README's walk-through, into .tools/bin

$(GRPCURL): deploy/grpcurl.sh | $(UV)
	deploy/grpcurl.sh
	@touch $@

.PHONY: guest
guest: $(GUEST) ## the small bootable guest of the demo and the tests

$(GUEST): $(wildcard deploy/guest/*) | packages
	deploy/guest/build.sh $@
	@touch $@

# --- to see it work ------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup guest ## boots a real guest through the four services and shows its start as one trace
	deploy/demo.sh

.PHONY: test
test: setup guest $(GRPCURL) ## every test, fast ones first
	.venv/bin/pytest --numprocesses logical --maxprocesses 4 --dist loadfile $(SHARING)
	.venv/bin/pytest $(ALONE)

MINUTES ?= 2
SEED    ?= 1
.PHONY: chaos
chaos: setup ## a storm that kills services: MINUTES=2 SEED=1 [CHAOS_JSON=path], FULL=1 for every kill at every point too
	$(if $(FULL),.venv/bin/pytest --full-matrix tests/chaos)
	.venv/bin/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) $(if $(CHAOS_JSON),--json $(CHAOS_JSON))

.PHONY: lint
lint: setup ## style, types, imports, the contract, shell
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	buf lint
	git ls-files -z deploy .ci | xargs -0 grep -lZ '^#!.*sh$$' | xargs -0 shellcheck

AGAINST ?= main
.PHONY: breaking
breaking: setup ## whether clients of AGAINST=main could still talk to this contract
	rm -rf build/against && mkdir -p build/against/gen
	git archive $(AGAINST) buf.yaml protos | tar -x -C build/against
	cp -r gen/googleapis build/against/gen/
	buf breaking --against build/against

.PHONY: bench
bench: setup guest ## what a start costs, over bare libvirt
	.venv/bin/python -m bench

.PHONY: clean
clean: ## removes what was built; .tools, .venv and the guest's download go with it
	rm -rf build dist gen .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
