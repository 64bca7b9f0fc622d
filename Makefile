# Two commands on a fresh machine with Python 3.10 or newer and make:
#   make demo   installs into .venv, exports the starter model, proves that the file computes the same
#               poses, lifts a real clip's keypoints with it, and draws them
#   make test   installs what the tests need, checks style and types, runs the tests
#   make docs   builds the documentation as a site
# On an idle machine:
#   make bench  measures what the README claims, and writes docs/benchmarks.md

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OUT := out

.PHONY: demo test lint bench docs clean

demo: $(VENV)/.export
	$(PIP) install --no-deps --force-reinstall .
	mkdir -p $(OUT)
	$(BIN)/hot-export --model mixste --ratio 0.5 --output $(OUT)/mixste_t81_r0.50.onnx
	$(BIN)/hot-infer examples/data/jump_mediapipe33.npz --model $(OUT)/mixste_t81_r0.50.onnx \
		--output $(OUT) --format npz,csv --video $(OUT)/jump_3d.mp4 --plot $(OUT)/jump_3d.png
	@echo "Made in $(CURDIR)/$(OUT): mixste_t81_r0.50.onnx, poses, jump_3d.mp4, jump_3d.png"

test: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	$(MAKE) lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV) && bin/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p hot_sdk

bench: $(VENV)/.export
	$(PIP) install --no-deps --force-reinstall .
	$(BIN)/python -m hot_sdk.benchmarks.studies.readme_tables --page docs/benchmarks.md

docs: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Made: $(CURDIR)/out/site/index.html"

clean:
	rm -rf $(VENV) $(OUT) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# mypy looks into the working directory first, where the folder hot_sdk is only a part of the package.

# Dependencies are installed once; the package itself anew each time, as a user would have it.
$(VENV)/.export: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt ".[export,viz,report]"
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt ".[export,video,viz,report,rtmlib,docs,dev]"
	touch $@
