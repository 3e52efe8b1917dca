# `make` lists the targets; `make demo` and `make test` do all the set-up they need.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
LIPFAULT := $(BIN)/python -m lipfault
OLDEST := .venv-oldest
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# What the demo and the smoke runs read, and where they leave their runs.
DEMO_RUNS := runs/demo
SMOKE_RUNS := runs/smoke
# Output of the checks that `make test` runs beside pytest.
BESIDE_LOG := runs/test-beside.log

define smoke_runs
	rm -rf $(SMOKE_RUNS)
	$(1) fit --config configs/pretrain.yaml --config configs/trainer/smoke.yaml \
	  --run $(SMOKE_RUNS)/pretrain --report=false
	$(1) test --ckpt_path $(SMOKE_RUNS)/pretrain
	$(1) fit --config configs/finetune.yaml --config configs/trainer/smoke.yaml \
	  --run $(SMOKE_RUNS)/finetune --model.pretrained $(SMOKE_RUNS)/pretrain --report=false
	$(1) test --ckpt_path $(SMOKE_RUNS)/finetune
endef

# Many processes import the same libraries: their bytecode is written, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install mutants demo main-path lambda-sweep experiments experiments-quick test check lint types unit smoke test-oldest wheel test-wheel docs docs-serve format bench clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.installed ## Create .venv with the pinned versions (once, and after these change)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lipfault needs Python 3.11 or newer; '$(PYTHON)' is not. Name another one:" \
	       "make PYTHON=python3.12 install" >&2; exit 1; }
	@echo "installing the pinned versions into $(VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
# Bytecode is written at the first import: compiling all that is installed takes longer.
	$(PIP) --no-compile --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

# The test of a run draws its page; the fit need not.
demo: install ## Train and test both stages on the shipped ur5 recordings (runs/demo)
	rm -rf $(DEMO_RUNS)
	$(LIPFAULT) fit --config configs/pretrain.yaml --run $(DEMO_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(DEMO_RUNS)/pretrain
	$(LIPFAULT) fit --config configs/finetune.yaml --config configs/block/posterior.yaml --run $(DEMO_RUNS)/finetune \
	  --model.pretrained $(DEMO_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(DEMO_RUNS)/finetune

main-path: install ## The experiment behind docs/results.md; resumable run by run
	$(BIN)/python -m experiments run main_path --preset full

lambda-sweep: install ## The λ sweep at its quick size, two processes on one study
	experiments/lambda_sweep/run.sh quick

experiments: install ## List the experiments with their cost and state
	@$(BIN)/python -m experiments list

experiments-quick: install ## Run all experiments, tiny and anew, to see that they work
	rm -rf runs/experiments/quick
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments run --preset quick --jobs $(JOBS)

# pytest's processes wait at times; types and experiments use the cores meanwhile.
test: install lint ## All checks: lint, types, tests, doctests, tiny runs of all experiments
	@mkdir -p $(dir $(BESIDE_LOG))
	@echo "types and experiments run beside the tests; their output: $(BESIDE_LOG)"
	@$(MAKE) types experiments-quick JOBS=1 > $(BESIDE_LOG) 2>&1 & beside=$$!; \
	  $(MAKE) --no-print-directory unit || { kill $$beside; exit 1; }; \
	  wait $$beside || { cat $(BESIDE_LOG); exit 1; }
	@tail -n 1 $(BESIDE_LOG)
	@cat .pytest_cache/d/lipfault/skipped.txt

mutants: install ## Change the logic in some sixty places, and see that a test catches each
	$(BIN)/python tests/mutation/run.py

check: lint types ## The checks that run nothing: lint and types

lint: install ## Lint and formatting, by ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Types, by mypy
	$(BIN)/mypy

unit: install ## Tests and doctests, by pytest in JOBS processes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --doctest-modules --ignore-glob='*/conftest.py' tests lipfault experiments

smoke: install ## Both stages through the command line, tiny, on the shipped recordings
	$(call smoke_runs,$(LIPFAULT))

test-oldest: $(OLDEST)/.installed ## Tests and smoke runs with the oldest versions in pyproject.toml
# Newer libraries deprecate what older ones call: no error here, as it is with the pinned versions.
	OMP_NUM_THREADS=1 $(OLDEST)/bin/pytest -n $(JOBS) \
	  -W default::DeprecationWarning -W default::FutureWarning
	$(call smoke_runs,$(OLDEST)/bin/python -m lipfault)

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --no-compile --constraint constraints-oldest.txt \
	  --editable '.[baselines,importers,simulate,sweep,test]'
	@touch $@

wheel: install ## Build source distribution and wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build --quiet

test-wheel: wheel ## Run both stages from the wheel, in an empty environment and folder
	.ci/test-wheel

docs: $(VENV)/.docs ## Build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.docs ## Serve the documentation, built anew at each change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

format: install ## Fix formatting and the lint errors that ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Run the benchmarks in bench/, one after the other
	$(PIP) --editable '.[bench]'
	set -e; for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## Remove caches, builds and smoke runs; environments and all other runs stay
	rm -rf $(SMOKE_RUNS) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find lipfault tests -name __pycache__ -type d -prune -exec rm -rf {} +
