# `make demo` and `make test` do all the set-up they need, in .venv only.
PYTHON  ?= python3
VENV    ?= .venv
# Most tests wait for servers and processes: more workers than cores pay off.
WORKERS ?= 5
BIN     := $(VENV)/bin
# Python compiles a module when it is first imported: far fewer than are installed.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench clean

demo: $(VENV)/.local
	$(BIN)/oscar-bridge run examples/demo/demo.yaml --input examples/demo/data --output demo-results

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.test
	for b in benchmarks/[a-z]*.py benchmarks/placement; do $(BIN)/python $$b || exit 1; done

# A stamp for each set of packages: the demo needs far fewer than the tests.
$(VENV)/.local $(VENV)/.test: $(VENV)/.%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) demo-results build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
