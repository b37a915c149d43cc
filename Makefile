# Each target sets up .venv first when there is none, or when the pins changed.
PYTHON ?= python3
# two workers share two cores: one thread each, set before torch is imported
export OMP_NUM_THREADS ?= 1
BIN = .venv/bin

.PHONY: demo test test-slow coverage fuzz check bench docs setup setup-dev

setup:
	@$(PYTHON) scripts/setup.py --extras go,gguf

setup-dev:
	@$(PYTHON) scripts/setup.py --extras go,hf,gguf,inspect,dev

demo: setup            ## the main job on real input: a subject, studies, a case, a report
	@$(BIN)/toulmin demo

test: setup-dev        ## the tests, at most 10 minutes on 2 cores
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not fuzz"

test-slow: setup-dev   ## kills, compilation, the whole demo, external programs
	$(BIN)/pytest -m "slow and not fuzz"

coverage: setup-dev    ## the tests with the share of lines they run
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not fuzz" --cov=toulmin --cov-report=term:skip-covered

fuzz: setup-dev        ## random bytes into every reader; TOULMIN_FUZZ_SECONDS=600 for longer
	$(BIN)/pytest -m fuzz

check: setup-dev       ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: setup-dev       ## every benchmark that needs no peer; see benchmarks/README.md for the others
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/case.py

docs:                  ## the documentation, into site/
	@$(PYTHON) scripts/setup.py --extras docs
	$(BIN)/mkdocs build --strict
