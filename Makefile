# What is done often, one command each. Nothing is needed but Python >= 3.11 (with venv) and make.
# Another Python: make PYTHON=python3.13 test

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LISTEN ?= tcp:8080:interface=127.0.0.1
# More tests at a time than two cores: they wait as much as they work. One after the other: make PROCESSES=0 test
PROCESSES ?= 5

# Tests start a few hundred processes: what was compiled once is not compiled again in each of them.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test slow chaos lint types docs package bench clean

help: ## List what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-9s%s\n' "$$name" "$$text"; done

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "txstalecache needs Python >= 3.11; $(PYTHON) is older. Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras: installed again only when what is to be installed has changed. "dev" has the others in it.
$(VENV)/.installed-%: $(BIN)/python setup.py pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(subst +,$(comma),$*)]'
	@touch $@ $(if $(filter dev,$*),$(patsubst %,$(VENV)/.installed-%,embedded embedded+test))
comma := ,

run: $(VENV)/.installed-embedded ## Start the proxy in front of a slow demo origin, and say what to try
	@$(BIN)/twistd --nodaemon --pidfile= txstalecache --demo --listen '$(LISTEN)'

test: $(VENV)/.installed-embedded+test ## Run the whole suite
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(ARGS)

slow: $(VENV)/.installed-embedded+test ## Run what takes longer: chaos, load, failover, killed processes
	$(BIN)/python -m pytest -m slow -n $(PROCESSES) --dist worksteal $(ARGS)

SEED ?= 1
SECONDS ?= 120
chaos: $(VENV)/.installed-embedded+test ## Two processes, eight clients, faults at random, for two minutes (SEED, SECONDS)
	$(BIN)/python -m pytest tests/safety/test_chaos.py --chaos $(SECONDS) --seed $(SEED) -rP $(ARGS)

lint: $(VENV)/.installed-dev ## Ruff: rules and format
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(VENV)/.installed-dev ## mypy, strict
	$(BIN)/python -m mypy

docs: $(VENV)/.installed-dev ## Build the documentation, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

package: $(VENV)/.installed-dev ## Build the wheel, check it, install it elsewhere, look for the plugin
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	rm -rf build/elsewhere
	$(PYTHON) -m venv --without-pip build/elsewhere
	$(BIN)/python -m pip --python build/elsewhere install --quiet --disable-pip-version-check --no-compile dist/*.whl
	cd build/elsewhere && bin/twistd --help | grep -w txstalecache
	cd build/elsewhere && bin/twist --help | grep -w txstalecache

bench: $(VENV)/.installed-embedded ## Compare hits and misses with nginx, Varnish and plain Twisted, as far as installed
	$(BIN)/python bench/compare.py $(ARGS)
	$(BIN)/python bench/hit.py

clean: ## Remove what the others made
	rm -rf $(VENV) build dist docs/_build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
