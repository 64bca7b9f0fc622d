# Two commands on a fresh machine with Python 3.10 or newer and make:
#   make demo   installs into .venv, exports the starter model, proves that the file computes the same
#               poses, lifts a real clip's keypoints with it, and draws them
#   make test   installs what the tests need, checks style, types and imports, runs the tests
#   make test-slow    runs the tests that make test leaves out for their time
#   make test-lowest  runs tests with the lowest version of every dependency, on the oldest Python here
#   make test-engines  compiles every published network in every way for TensorRT, without a GPU, for many
#               hours; goes on where it was left, and ENGINES="--minutes 60" ends it earlier
#   make fuzz   mutates files of every kind for FUZZ_SECONDS each, looking for crashes
#   make docs   builds the documentation as a site
#   make licenses  prints the license of every installed package; fails on the AGPL and on unknown ones
#   make bench  measures what the README claims and writes docs/benchmarks.md; needs an idle machine

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
OUT := out
LINT_IMPORTS = cd $(VENV) && bin/lint-imports --no-logo --no-cache --config $(CURDIR)/pyproject.toml

# Each dependency as old as pyproject.toml allows. pytest and the other tools are not. The trackers
# of "video" need NumPy 2, so NumPy 1 has an environment without that extra.
, := ,
LOWEST := .venv-lowest
LOWEST_NUMPY := .venv-lowest-numpy
LOWEST_EXTRAS := export,openvino,report,rtmlib,viz
# A dependency of dependencies, with the same files as opencv-python: it must not be a newer one.
LOWEST_OPENCV := opencv-contrib-python>=4.10.0.84
LOWEST_TESTS ?= tests/engines tests/export tests/hot_sdk
OLDEST_PYTHON ?= $(firstword $(foreach minor,10 11 12 13,\
	$(wildcard $(HOME)/.pyenv/versions/3.$(minor).*/bin/python3) \
	$(shell command -v python3.$(minor))) $(PYTHON))
LOWEST_PYTEST = OMP_NUM_THREADS=1 $(1)/bin/pytest -W default -p no:cacheprovider --numprocesses logical \
	--maxprocesses 4 --dist loadfile $(LOWEST_TESTS)
UV = UV_SYSTEM_CERTS=true $(1)/bin/uv pip install --quiet --python $(1)/bin/python

FUZZ_SECONDS ?= 60

.PHONY: demo test test-slow test-lowest test-engines fuzz lint imports licenses licences bench docs clean

demo: $(VENV)/.export
	$(PIP) install --no-deps --force-reinstall .
	mkdir -p $(OUT)
	$(BIN)/hot-export --model mixste --ratio 0.5 --force --output $(OUT)/mixste_t81_r0.50.onnx
	$(BIN)/hot-infer examples/data/jump_mediapipe33.npz --model $(OUT)/mixste_t81_r0.50.onnx \
		--output-dir $(OUT) --format npz,csv --save-video $(OUT)/jump_3d.mp4 --save-plot $(OUT)/jump_3d.png
	@echo "Made in $(CURDIR)/$(OUT): mixste_t81_r0.50.onnx, poses, jump_3d.mp4, jump_3d.png"

test: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	$(MAKE) lint
	$(PYTEST) -m "not slow" --cov --cov-report=term

test-slow: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	$(PYTEST) -m slow

test-lowest: $(LOWEST)/.test $(LOWEST_NUMPY)/.test
	$(LOWEST)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	$(call LOWEST_PYTEST,$(LOWEST))
	$(LOWEST_NUMPY)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	$(call LOWEST_PYTEST,$(LOWEST_NUMPY))

test-engines: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python tests/engines/engine_builds.py $(ENGINES)

fuzz: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	$(BIN)/python tests/fuzz/fuzz_readers.py --duration $(FUZZ_SECONDS)
	PYTHONPATH=tests/support $(BIN)/python tests/fuzz/fuzz_files.py --seconds $(FUZZ_SECONDS) \
		--inputs 1000000

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	cd $(VENV) && bin/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p hot_sdk
	cd $(VENV) && MYPYPATH=$(CURDIR)/benchmarks/studies bin/mypy --explicit-package-bases --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache $(CURDIR)/benchmarks/studies
	$(LINT_IMPORTS)

imports: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	$(LINT_IMPORTS)

licenses licences: $(VENV)/.test
	$(BIN)/python benchmarks/studies/licenses.py

bench: $(VENV)/.export
	$(PIP) install --no-deps --force-reinstall .
	$(BIN)/python benchmarks/studies/readme_tables.py --page docs/benchmarks.md

docs: $(VENV)/.test
	$(PIP) install --no-deps --force-reinstall .
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Made: $(CURDIR)/out/site/index.html"

clean:
	rm -rf $(VENV) $(LOWEST) $(LOWEST_NUMPY) $(OUT) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# mypy and import-linter look into the working directory first, where the folder hot_sdk is only a part
# of the package: they run from another.

# Dependencies are installed once, the package itself each time, as a user would have it.
$(VENV)/.export: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt ".[export,viz,report]"
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install --constraint constraints.txt ".[export,video,viz,report,rtmlib,docs,dev]"
	touch $@

define LOWEST_ENVIRONMENT
$(1)/.test: pyproject.toml
	rm -rf $(1)
	$(OLDEST_PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet uv
	$(call UV,$(1)) --resolution lowest-direct ".[$(2)]" "$(LOWEST_OPENCV)"
	$(call UV,$(1)) hypothesis psutil pytest pytest-cov pytest-xdist
	touch $$@
endef
$(eval $(call LOWEST_ENVIRONMENT,$(LOWEST),$(LOWEST_EXTRAS)$(,)video))
$(eval $(call LOWEST_ENVIRONMENT,$(LOWEST_NUMPY),$(LOWEST_EXTRAS)))
