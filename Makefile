# `make run` and `make test` need Python 3.11 or newer and nothing else: each sets up what it needs, once.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
LIGHT := .venv
FULL := .venv-dev
SOURCES := $(shell find streamrnn -type f -not -name '*.pyc')
NATIVE := $(shell find native -type f -name '*.[chpt]*' -not -path '*/build/*' -not -path '*.egg-info/*')
CONFIG ?= configs/digits.yaml
OUT ?= digits.bundle

.DEFAULT_GOAL := help
.PHONY: help setup run train test check bench daemons peers compare drift clean recordings

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

run: $(LIGHT)/installed  ## install the light core, then hear the bundled recording through the daemon
	@$(LIGHT)/bin/streamrnn demo

setup: $(FULL)/installed  ## install everything, torch too (5.5 GB)

check: setup  ## style and types
	$(FULL)/bin/ruff check .
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/mypy

test: check  ## style, types and tests; set STREAMRNN_DATA to test on real recordings as well
	$(FULL)/bin/pytest -n 2 --dist loadfile

train: recordings setup  ## make train DATA=dir [CONFIG=configs/digits.yaml] [OUT=digits.bundle]
	$(FULL)/bin/streamrnn train $(CONFIG) --data $(DATA) --out $(OUT)

recordings:
	@test -n "$(DATA)" || { echo 'which recordings? add DATA=dir'; exit 2; }

bench: setup  ## microseconds a frame: native, onnx and torch against a hand-written torchaudio + nn.GRU loop
	@$(FULL)/bin/streamrnn bench --loop

daemons: setup  ## live streams: the daemon beside one of torch and one without compute, in turn, on two cores
	@$(FULL)/bin/streamrnn bench --daemons

peers: setup  ## the shipped wake word beside micro-wakeword, which gets an environment of its own
	@test -d .venv-peers || python3 -m venv .venv-peers
	@.venv-peers/bin/pip install -q pymicro-wakeword
	@$(FULL)/bin/python tests/contest/against_micro_wakeword.py .venv-peers/bin/python

compare: recordings setup  ## make compare DATA=dir: GRU, LSTM and RNN trained alike, the tables into docs/comparison.md
	$(FULL)/bin/streamrnn bench --models $(CONFIG) --data $(DATA) --set training.steps=1000 --out docs/comparison.md

drift: recordings $(LIGHT)/installed  ## make drift DATA="dir ...": a day of the shipped bundles into docs/long-streams.md
	$(LIGHT)/bin/streamrnn bench --drift digits wakeword $(foreach dir,$(DATA),--data $(dir)) --out docs/long-streams.md

faults: setup  ## every fault in its long form, about half an hour (make test has the short one)
	STREAMRNN_FAULTS=long $(FULL)/bin/pytest tests/faults -s --timeout=3600 --durations=0

fuzz: setup  ## make fuzz [N=1000000]: so many inputs for every parser
	$(FULL)/bin/python tests/faults/fuzz.py $(or $(N),1000000)

soak: setup  ## make soak [MINUTES=120] [STREAMS=200]: one daemon, a fault every minute, its memory and latency
	$(FULL)/bin/python tests/faults/soak.py $(or $(MINUTES),120) $(or $(STREAMS),200)

clean:  ## take away what the others made, environments too
	rm -rf $(LIGHT) $(FULL) build dist native/build native/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: an environment is made anew when what it is made of has changed.
$(LIGHT)/installed: pyproject.toml $(SOURCES)
	@$(call environment,$(LIGHT))
	@echo 'installing the light core ...'
	@$(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@

$(FULL)/installed: pyproject.toml $(NATIVE)
	@$(call environment,$(FULL))
	@echo 'installing everything, which takes a few minutes ...'
	@$(FULL)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[train,dev]'
	@$(FULL)/bin/python -m pip install --quiet --disable-pip-version-check ./native >/dev/null 2>&1 || \
		echo 'native/ was not built, perhaps for want of a C compiler: ONNX Runtime serves, and its tests are skipped'
	@touch $@

define environment
test -n "$(PYTHON)" || { echo 'streamrnn needs Python 3.11 or newer: install it, or write make PYTHON=/path/to/python3'; exit 2; }; \
test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { echo 'no venv: on Debian and Ubuntu apt-get install python3-venv'; exit 2; }
endef
