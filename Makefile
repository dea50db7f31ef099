# make setup   .venv from the lock file, with `vqa` in it
# make demo    the main job on live streams made on this machine
# make test    the tests that need nothing but Python
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint lock

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vqa_ray needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/vqa demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra kubernetes --extra bench \
	  --extra notify --extra kafka --extra otel --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --python-version 3.11 --python-platform linux --extra kubernetes \
	  --extra notify --extra kafka --extra otel --generate-hashes \
	  --constraint requirements.lock \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml --output-file k8s/requirements.lock
