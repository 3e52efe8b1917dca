# `make` lists the targets; `make demo` and `make test` do all the set-up they need.

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
LIPFAULT := $(BIN)/python -m lipfault
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# What the demo and the smoke runs read, and where they leave their runs.
DEMO_RUNS := runs/demo
SMOKE_RUNS := runs/smoke

.DEFAULT_GOAL := help
.PHONY: help install install-simulate demo main-path lambda-sweep experiments experiments-quick test check lint types unit smoke format bench clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.installed ## Create .venv with the pinned versions (once, and after these change)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lipfault needs Python 3.11 or newer; '$(PYTHON)' is not. Name another one:" \
	       "make PYTHON=python3.12 install" >&2; exit 1; }
	@echo "installing the pinned versions into $(VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	@touch $@

install-simulate: install ## Add MuJoCo, to simulate the robot cells again
	$(PIP) --editable '.[simulate]'

# The test of a run draws its page; the fit need not.
demo: install ## Train and test both stages on the shipped ur5 recordings (runs/demo)
	rm -rf $(DEMO_RUNS)
	$(LIPFAULT) fit --config configs/pretrain.yaml --run $(DEMO_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(DEMO_RUNS)/pretrain
	$(LIPFAULT) fit --config configs/finetune.yaml --run $(DEMO_RUNS)/finetune \
	  --model.pretrained $(DEMO_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(DEMO_RUNS)/finetune

main-path: install ## The experiment behind docs/results.md; resumable run by run
	$(BIN)/python -m experiments run main_path --preset full

lambda-sweep: install ## The λ sweep at its quick size, two processes on one study
	$(PIP) --editable '.[sweep]'
	experiments/lambda_sweep/run.sh quick

experiments: install ## List the experiments with their cost and state
	@$(BIN)/python -m experiments list

experiments-quick: install ## Run all experiments, tiny and anew, to see that they work
	$(PIP) --editable '.[baselines]'
	rm -rf runs/experiments/quick
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments run --preset quick --jobs $(JOBS)

test: check unit experiments-quick ## All checks: lint, types, tests, doctests, tiny runs

check: lint types ## The checks that run nothing: lint and types

lint: install ## Lint and formatting, by ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## Types, by mypy
	$(BIN)/mypy

unit: install ## Tests and doctests, by pytest in JOBS processes
	OMP_NUM_THREADS=1 $(BIN)/pytest --doctest-modules lipfault experiments
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

smoke: install ## Both stages through the command line, tiny, on the shipped recordings
	rm -rf $(SMOKE_RUNS)
	$(LIPFAULT) fit --config configs/pretrain.yaml --config configs/trainer/smoke.yaml \
	  --run $(SMOKE_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(SMOKE_RUNS)/pretrain
	$(LIPFAULT) fit --config configs/finetune.yaml --config configs/trainer/smoke.yaml \
	  --run $(SMOKE_RUNS)/finetune --model.pretrained $(SMOKE_RUNS)/pretrain --report=false
	$(LIPFAULT) test --ckpt_path $(SMOKE_RUNS)/finetune

format: install ## Mend formatting and what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Run the benchmarks in bench/, one after the other
	$(PIP) --editable '.[bench]'
	set -e; for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean: ## Remove caches and smoke runs; .venv and all other runs stay
	rm -rf $(SMOKE_RUNS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find lipfault tests -name __pycache__ -type d -prune -exec rm -rf {} +
