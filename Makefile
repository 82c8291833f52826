# make demo   train Mask R-CNN with a Hire-MLP backbone on generated scenes, evaluate, draw
# make test   lint, type check and the whole test suite
# Both set up the environment first. `make help` lists the rest.

# The Python that .venv was made with, until another is named: make env PYTHON=python3.12
PYTHON ?= $(or $(realpath .venv/bin/python),python3)
VENV_PYTHON := .venv/bin/python
# A process a core with one thread each; more than four would need more memory than a laptop has.
PYTEST_FLAGS := --numprocesses auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help env demo test lint docs doctor audit sbom clean clean-env

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1: \2/p' $(MAKEFILE_LIST)

env:  ## set up .venv: the pinned packages, with mmcv compiled for their torch
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null || { \
	  echo "error: '$(PYTHON)' is not Python 3.10, 3.11 or 3.12: make env PYTHON=python3.12" >&2; exit 1; }
	@flock . $(PYTHON) -m development.setup_env

demo: env  ## train, evaluate and draw on generated scenes
	$(VENV_PYTHON) tools/demo.py

lint: env  ## ruff and mypy --strict
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy --strict

test: lint  ## lint, then the whole test suite
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest $(PYTEST_FLAGS)

docs: env  ## build the documentation site in build/docs; every warning is an error
	$(VENV_PYTHON) -m sphinx -EW --keep-going -q docs build/docs

doctor: env  ## report versions, test every package, print a fix for each problem
	$(VENV_PYTHON) -m mmvmlp doctor

# The pinned uv runs tools in environments of their own.
UV = $$($(PYTHON) -c 'from development.setup_env import find_uv; print(find_uv())')
LOCKS := $(wildcard requirements/*.txt)

audit:  ## look up known vulnerabilities of the pinned packages; fails if one cannot be looked up
	@$(UV) tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes --progress-spinner off \
	  $(LOCKS:%=-r %)

sbom:  ## write sbom.json: the pinned packages with their hashes, in CycloneDX's format
	@cat $(LOCKS) | PYTHONWARNINGS=ignore $(UV) tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
	  --pyproject pyproject.toml --mc-type library --output-reproducible --output-file sbom.json -

clean:  ## remove the caches of the tools and what they built
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

clean-env:  ## remove .venv
	rm -rf .venv .venv.old
