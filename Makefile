# Each target alone, on a fresh clone, does all the set-up and its job.
PYTHON ?= python3
BIN := .venv/bin
# Small models are fastest on one thread; what needs more says so.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint docs proofs clean

demo: .venv/ready
	$(BIN)/specdec demo

test: .venv/ready-test
	$(BIN)/python -m pytest

lint: .venv/ready-test
	$(BIN)/ruff check reference tests proofs docs specdec_pytest.py
	$(BIN)/mypy

docs: .venv/ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	$(BIN)/python -m docs.check

proofs: .venv/ready-test
	$(BIN)/python -m proofs.run

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/ready-test: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf .venv site build *.egg-info
