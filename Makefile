# Needs only python3 (3.11 or newer) and make. Everything lands in .venv and examples-store.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= examples-store
FIGURES_SOURCE ?= examples:

.PHONY: help screen test test-all check figures studies accuracy ood map page scale reliability fault-table lock clean

help: ## Say what can be made.
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

screen: .venv/installed ## Set up, screen the embedded crystals, print the most out-of-distribution ones.
	$(BIN)/crysift screen examples: --store $(STORE)

test: check ## Set up, check style and types, run all tests but the slow ones.
	$(BIN)/pytest -q -m "not slow" --durations=25

test-all: check ## The same with the slow tests.
	$(BIN)/pytest -q

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: .venv/installed-dev ## Measure, and write the figures into README.md and docs/spm.md (FIGURES_SOURCE: structures to measure on).
	mkdir -p build
	$(BIN)/crysift bench soap --source $(FIGURES_SOURCE) --json > build/soap.json
	$(BIN)/crysift bench inference --json > build/inference.json
	$(BIN)/crysift bench diffraction --source $(FIGURES_SOURCE) --json > build/diffraction.json
	$(BIN)/crysift bench ingest --source $(FIGURES_SOURCE) --json > build/ingest.json
	$(BIN)/crysift bench spm --json > build/spm.json
	$(BIN)/python -m jobs.bench.readme README.md build/soap.json build/inference.json build/diffraction.json build/ingest.json
	$(BIN)/python -m jobs.bench.readme docs/spm.md build/spm.json
	$(BIN)/python -m jobs.bench.plot docs/ingest-memory.svg build/ingest.json

studies: .venv/installed-dev ## Study the networks, and write figures and pictures into docs/diffraction.md, arise-studies.md and uncertainty.md.
	mkdir -p build
	$(BIN)/python -m jobs.studies.diffraction docs/diffraction.md
	$(BIN)/python -m jobs.bench.readme docs/diffraction.md
	$(BIN)/python -m jobs.studies.arise.document docs/arise-studies.md build/studies arise-robust arise
	$(BIN)/python -m jobs.studies.reliability docs/uncertainty-reliability.png

accuracy: .venv/installed-dev ## Measure all models and competitors on 117,996 structures, and write README.md and docs/accuracy.md.
	mkdir -p build
	$(BIN)/crysift bench accuracy --out build/accuracy --json > build/accuracy.json
	$(BIN)/python -m jobs.bench.readme README.md build/accuracy.json
	$(BIN)/python -m jobs.bench.readme docs/accuracy.md build/accuracy.json

ood: .venv/installed-dev ## Judge all scores of unknown prototypes, train further networks for it (two hours on two cores), and write README.md and docs/ood-benchmark.md.
	mkdir -p build
	$(BIN)/crysift bench ood --retrain --source $(FIGURES_SOURCE) --out build/ood --json > build/ood.json
	$(BIN)/python -m jobs.bench.readme README.md build/ood.json
	$(BIN)/python -m jobs.bench.readme docs/ood-benchmark.md build/ood.json
	$(BIN)/python -m jobs.bench.ood.roc docs/ood-roc.svg build/ood.json

map: .venv/installed-dev ## Measure maps of up to 154,925 structures, and write README.md and docs/scale.md (half an hour).
	mkdir -p build
	$(BIN)/crysift bench map --source $(FIGURES_SOURCE) --json > build/map.json
	$(BIN)/python -m jobs.bench.readme README.md build/map.json
	$(BIN)/python -m jobs.bench.map_report docs/scale.md build/map.json

page: ## Build the scripts of the page that `crysift report` writes (needs Node.js 20).
	cd jobs/page && npm ci && npm run build

scale: .venv/installed-dev ## Measure how it scales, simulate clusters of any size, and write docs/scale.md.
	mkdir -p build
	$(BIN)/crysift bench scale --source $(FIGURES_SOURCE) --json > build/scale.json
	$(BIN)/python -m jobs.bench.scale_report docs/scale.md build/scale.json

reliability: .venv/installed-dev ## Break clusters in every way, 200 kills among them, and write docs/reliability.md.
	CRYSIFT_RELIABILITY=build/reliability CRYSIFT_KILLS=200 $(BIN)/pytest -q \
	  tests/integration/test_cluster_kills.py tests/integration/test_cluster_faults.py
	$(BIN)/python -m tests.clusters.reliability docs/reliability.md build/reliability

fault-table: .venv/installed-dev ## Break servers in every way, and write what became of it into connectors/README.md.
	CRYSIFT_WRITE_FAULT_TABLE=1 $(BIN)/pytest -q tests/integration/test_ingest_faults.py

lock: .venv/installed-dev ## Write constraints.txt: the exact versions installed in .venv.
	{ echo "# Written by 'make lock' from the versions in .venv: what the tests of this commit ran with."; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude crysift | sed -E 's/^(torch==[0-9.]+)\+[a-z0-9]+$$/\1/'; \
	} > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## Remove the environment, the example store and all caches.
	rm -rf .venv examples-store build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Byte-compiled packages: without them a Ray worker takes seconds longer to start.
.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --compile --constraint constraints.txt --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --compile --constraint constraints.txt --editable '.[dev,map]'
	touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "crysift needs Python 3.11 or newer; $$($(PYTHON) --version) is in the way: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
