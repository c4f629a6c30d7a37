# make            what there is to do
# make demo       one order on its way through both systems, on this machine
# PYTHON=...      chooses the interpreter that .venv is made with; it must be 3.11 or newer

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
PORT ?= 8080
SANDBOX_PORT ?= 8780
CHECKED := provider tests dags docs .make
PAGES := build/docs

# Without compiled files each of the many processes of a test run would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP) ## Run the example DAG in a real Airflow against the sandbox, and check the books
	@$(BIN)/python .make/demo.py

.PHONY: airflow
airflow: $(STAMP) ## Open the example DAG in the Airflow UI, with the sandbox (PORT=8080 SANDBOX_PORT=8780)
	@$(BIN)/python .make/airflow_ui.py $(PORT) $(SANDBOX_PORT)

.PHONY: test
test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: simulation
simulation: $(STAMP) ## Let simulated runs race a thousand times in every setting (about 8 minutes)
	@$(BIN)/python tests/flows/simulation.py

.PHONY: faults
faults: $(STAMP) ## Play every request with every fault, and count what is in the books (about 15 minutes)
	@$(BIN)/python tests/faults/matrix.py

.PHONY: kills
kills: $(STAMP) ## Kill real processes at every boundary, and let them race (about 45 minutes)
	@$(BIN)/python tests/kills/matrix.py
	@$(BIN)/python tests/kills/races.py

.PHONY: triggerer
triggerer: $(STAMP) ## Kill the triggerer of a real Airflow while it waits for an invoice, and while it watches for all
	@$(BIN)/python tests/kills/triggerer.py
	@$(BIN)/python tests/kills/postings.py

.PHONY: browser
browser: $(STAMP) ## Press the buttons of a real Airflow UI in a headless Chromium, and check the books (about 4 minutes)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --group browser
	@$(BIN)/python -m pytest tests/browser --timeout 900

.PHONY: screenshots
screenshots: $(STAMP) ## Take the pictures of the documentation anew, in the same way (about 4 minutes)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --group browser
	@$(BIN)/python tests/browser/screenshots.py

.PHONY: bench
bench: $(STAMP) ## Measure ourselves against others, and write docs/benchmarks.md (about 10 minutes)
	@$(BIN)/python -m pip install -qq -c constraints.txt --group bench
	@$(BIN)/python tests/benchmarks/run.py

.PHONY: matrix
matrix: $(STAMP) ## Test every Python with every Airflow that is supported (ONLY="3.11-3.2 3.13-3.2")
	@$(BIN)/python .make/matrix.py $(ONLY)

.PHONY: lint
lint: $(STAMP) ## Check style and types
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy provider tests dags docs
	@cd .make && ../$(BIN)/mypy --config-file ../pyproject.toml *.py

.PHONY: docs
docs: $(STAMP) ## Build the documentation; a warning is an error
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --group docs
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs $(PAGES)
	@echo "Open $(CURDIR)/$(PAGES)/index.html"

.PHONY: getting-started
getting-started: $(STAMP) ## Run the commands of docs/getting-started.md in an empty folder (about 3 minutes)
	@sh .make/getting_started.sh $(BIN)

.PHONY: constraints
constraints: $(STAMP) ## Renew constraints.txt: the newest versions that fit together
	@sh .make/constraints.sh $(BIN)

.PHONY: clean
clean: ## Remove the environment, Airflow's files and the caches
	rm -rf $(VENV) .matrix .airflow .airflow-* .mypy_cache .make/.mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: environment
environment: $(STAMP)

# The environment: made anew when the project's dependencies or their versions change.
$(STAMP): pyproject.toml constraints.txt
	@echo "Building the environment in $(VENV) (about a minute the first time) ..."
	@python="$$(sh .make/find_python.sh $(PYTHON))" && "$$python" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt --upgrade pip
	@$(BIN)/python -m pip install -qq -c constraints.txt --build-constraint constraints.txt -e . --group dev
	@touch $@
