# `make demo` and `make test` need Python 3.11+, make and git, and do everything else themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# CLIP names a video for the demo; by default a clip is generated. FILTER is painted on it.
CLIP ?=
FILTER ?= sunglasses
OUT ?= demo
# In the environment, where the shell does not split or expand them.
export CLIP FILTER OUT

# Every worker and command is a process of its own. Without bytecode files each compiles all its
# imports, which doubles its start-up time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup train-setup demo test test-all check check-page check-node format bench docs lock clean

setup: $(READY)

# uv installs the locked packages in seconds; pip is the fallback where only pip has an index
# configured.
$(READY): requirements/dev.lock requirements/uv.lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "facepaint needs Python 3.11 or newer: make PYTHON=python3.12")'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Training needs PyTorch, which is too large for every set-up; without it its tests are skipped. pip
# rather than uv: it finds a CPU-only build where the configured index has one.
train-setup: $(READY)
	@$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/train.txt

demo: $(READY)
	@$(BIN)/python -m benchmarks.demo --out "$$OUT" --filter "$$FILTER" $(if $(CLIP),--clip "$$CLIP")

# Three processes keep two cores busy: many tests wait for other processes.
test: $(READY)
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m docs.generate --check
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-page; \
	elif [ -n "$$CI" ]; then echo "make check needs Node.js and npm on CI" >&2; exit 1; \
	else echo "no Node.js here: the page's JavaScript is not checked"; fi

# The page has no build step; ESLint and TypeScript only check it.
check-page: check-node node_modules/.package-lock.json
	npm run --silent lint
	npm run --silent types

# npm only warns about an old Node.js, and the tools then fail with syntax errors of their own.
check-node:
	@node -e 'const [[a, b], [c, d]] = [process.versions.node, require("./package.json").engines.node.slice(2)].map((v) => v.split(".").map(Number)); process.exit(a > c || (a === c && b >= d) ? 0 : 1)' \
	  || { echo "check-page needs Node.js $$(node -p 'require("./package.json").engines.node'), this is $$(node --version)" >&2; exit 1; }

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --silent --no-audit --no-fund

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks.offload

docs: $(READY)
	$(BIN)/python -m docs.generate

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra local --group dev -o requirements/dev.lock $(LOCK)
	$(BIN)/uv pip compile pyproject.toml -o requirements/client.lock $(LOCK)
	$(BIN)/uv pip compile pyproject.toml --extra worker -o requirements/worker.lock $(LOCK)
	echo 'onnxruntime-gpu[cuda,cudnn]' | $(BIN)/uv pip compile pyproject.toml - --extra gpu -o requirements/gpu.lock $(LOCK)
	echo 'hatchling>=1.27,<2' | $(BIN)/uv pip compile - -o requirements/build.lock $(LOCK)
	echo uv | $(BIN)/uv pip compile - -o requirements/uv.lock.txt $(LOCK)

LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet

clean:
	rm -rf node_modules $(VENV) $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache
