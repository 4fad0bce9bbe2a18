# Each target alone, on a fresh clone, does all the set-up and its job.
PYTHON ?= python3
BIN := .venv/bin
# Small models are fastest on one thread; what needs more says so.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test quick coverage mutation mutation-sample torture density lint docs results proofs wheel engines clean

demo: .venv/ready
	$(BIN)/specref demo

# Tests start many processes: where no bytecode is kept, each compiles everything anew.
test: .venv/ready-test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

# The tests of what changed since the branch left main, in less than 30 s; it says what it leaves out.
quick: .venv/ready-test
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tests.quick

# What the tests reach, room by room.
coverage: .venv/ready-test
	$(BIN)/python -m tests.covered -n auto --dist worksteal --json docs/results/coverage.json

# Small edits of the core, the statistics and the judge: does a test notice each of them? Hours;
# MUTANTS="--each 4" tries four of each file.
MUTANTS ?= --all

mutation: .venv/ready-test
	$(BIN)/python -m tests.mutation $(MUTANTS) --json docs/results/mutation.json

# A few of the core's, others for every commit, in at most four minutes.
# Rooms in which 9 of 10 mutants are noticed.
SAMPLED := verify draft decode probs chance checks data stops copying model measure serve

mutation-sample: .venv/ready-test
	$(BIN)/python -m tests.mutation --core --sample 60 --minutes 3 --seed $$(git rev-list --count HEAD) \
	  $(foreach room,$(SAMPLED),--only $(room))

# Faults on purpose, others each time, in a few minutes: absurd requests beside good ones, garbage, broken
# files, kills. TORTURE="--seed 7 --only beside" repeats one area.
TORTURE ?=

torture: .venv/ready-test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tests.torture $(TORTURE) --json docs/results/torture.json

# AST nodes per code line, room by room.
density:
	$(PYTHON) -m tests.style

lint: .venv/ready-test
	$(BIN)/ruff check reference tests proofs docs
	$(BIN)/ruff format --check reference tests proofs docs
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff

# The wheel in an empty environment, used from an empty folder.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

docs: .venv/ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	$(BIN)/python -m docs.check

# How many commits have touched what each result file measures, and what to run for the old ones.
results:
	$(PYTHON) -m docs.ages

proofs: .venv/ready-test
	$(BIN)/python -m proofs.run

# Seconds for each engine; SPECREF_LLAMA_SERVER=path/to/llama-server adds that one.
BUDGET ?= 90

engines: .venv-engines/ready
	.venv-engines/bin/specref engines --budget $(BUDGET) --json docs/results/engines.json

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

# Of its own: what these engines ask for must not change the versions that everything else is tested with.
.venv-engines/ready: pyproject.toml constraints-engines.txt
	$(PYTHON) -m venv .venv-engines
	.venv-engines/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-engines.txt torch
	.venv-engines/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-engines.txt -e '.[engines]'
	touch $@

clean:
	rm -rf .venv .venv-engines site build reference/*.egg-info
