# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LANE ?=
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
PLUGINS := $(sort $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml contrib/*/pyproject.toml)))
STAMP := $(VENV)/.installed
PIP := $(BIN)/pip --disable-pip-version-check

.PHONY: install quickstart test-fast test test-full durations gpu gpu-wheels lint docs bench dist clean

install: $(STAMP)  ## the checkout's environment: the core, every plugin of the main environment, the development tools

$(STAMP): pyproject.toml constraints.txt requirements-dev.txt $(PLUGINS:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about 2 GB with torch; a few minutes the first time)"
	@$(PIP) install --quiet -c constraints.txt hatchling editables 'setuptools>=70.1'
	@$(PIP) install --quiet -c constraints.txt --no-build-isolation -r requirements-dev.txt -e . $(PLUGINS:%=-e %)
	@touch $(STAMP)

quickstart: install  ## fetch a real model, fine-tune it, merge, serve, ask: under eight minutes on two plain cores
	@$(BIN)/swift run contrib/recipes/quickstart.yaml

test-fast: install  ## lint, and the tests that are not slow (tests/fast.py): under three minutes
	@$(MAKE) --no-print-directory lint
	@$(PYTEST) --fast

test: install  ## what CI runs: lint and the tests; three processes keep two cores busy
	@$(MAKE) --no-print-directory lint
	@$(PYTEST)

test-full: install  ## a long lane: make test-full LANE=train|kill|… (without LANE: their list)
	@test -n "$(LANE)" || { $(BIN)/python -m tests.lanes; exit 2; }
	@$(BIN)/python -m pytest --lane $(LANE)

gpu-wheels: install  ## collect into wheels/ what `make gpu` needs on a machine without a network
	@$(BIN)/python -m tests.gpu.wheels wheels

gpu:  ## the checks and measurements for an accelerator, with the torch, transformers and peft of $(PYTHON)
	@test -x .venv-gpu/bin/python || $(PYTHON) -m venv .venv-gpu
	@.venv-gpu/bin/python tests/gpu/borrow.py $$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
	@.venv-gpu/bin/python -m pip install --quiet $(if $(wildcard wheels),--no-index --find-links wheels) -r tests/gpu/requirements.txt
	@.venv-gpu/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . $(PLUGINS:%=-e %)
	@.venv-gpu/bin/python -m tests.gpu $(GPU_ARGS)

durations: install  ## the tests of `make test`, and the CPU time of each file and of the slowest tests; records which are slow
	@$(BIN)/python -m tests.durations --record -n $(WORKERS) --dist loadfile

lint: install  ## style, types, layers, generated pages; the types beside all else, those of the templates with the cache of the others
	@{ $(BIN)/mypy && $(BIN)/python -m tests.template_types; } & types=$$!; \
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python -m tests.import_contracts \
	    && $(BIN)/python docs/generate.py --check; others=$$?; \
	wait $$types && exit $$others

docs: install  ## write the generated pages anew
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/templates.py
	@$(BIN)/python docs/rows.py

bench: install  ## benchmarks, their ratios as JSON, and what became slower: make bench BENCH_ARGS='sft_step --quick'
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

dist: install  ## a wheel of each distribution into dist/
	@rm -rf dist && mkdir -p dist
	@for project in . $(PLUGINS); do $(BIN)/python -m build --quiet --wheel --no-isolation --outdir dist $$project || exit 1; done
	@ls dist

clean:
	@rm -rf $(VENV) dist build runs
