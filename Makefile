# edgebert: `make demo` shows it, `make test` checks it. `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# setuptools warns of every editable installation, whatever the project looks like.
PIP    := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check
# Training needs torch; whoever wants its tests says `make test TORCH=torch==2.13.0`.
TORCH  ?=
PYTEST ?= -n auto

SOURCES := pyproject.toml setup.py edgebert/_build.py csrc/CFLAGS $(wildcard csrc/*.[ch] csrc/*/*.[ch])

.PHONY: help demo test test-c coverage test-tflite environments fuzz sanitize sanitize-address sanitize-thread coverage-c lint docs format bench models wheels amalgamation arduino clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(BIN)/.demo ## export the trained UNO model and let all engines answer
	tools/demo.sh $(BIN)/edgebert

test: $(BIN)/.test test-c ## C tests under sanitizers, then all Python tests
	$(BIN)/python -m pytest $(PYTEST)

test-c: ## only the C tests and a little fuzzing, under AddressSanitizer and UBSan
	$(MAKE) -C tests/c -j$$(nproc) -O --no-print-directory

coverage: $(BIN)/.test ## all Python tests, and which lines of Python they do not reach
	$(BIN)/python -m pytest $(PYTEST) --cov=edgebert --cov=export --cov-fail-under=90 \
	    --cov-report=term-missing:skip-covered

test-tflite: $(BIN)/.test environments ## only the tests of .tflite files, in every runtime
	$(BIN)/python -m pytest $(PYTEST) tests/test_tflite_*.py tests/test_custom_op.py \
	    tests/test_oldest_packages.py

environments: ## make those of build/ in which tests run the oldest packages and TFLite Micro
	@PYTHON=$(PYTHON) tools/make_environments.sh

SECONDS ?= 60
fuzz: $(BIN)/.test ## fuzz all that reads what others wrote, each for SECONDS=60
	$(MAKE) -C tests/c fuzz SECONDS=$(SECONDS)
	@mkdir -p build/fuzz_checkpoint
	$(BIN)/python -m tests.fuzz_checkpoint -max_total_time=$(SECONDS) \
	    -artifact_prefix=build/fuzz_checkpoint- build/fuzz_checkpoint

sanitize: sanitize-address sanitize-thread ## tests of the Python extension under AddressSanitizer, UBSan and ThreadSanitizer

sanitize-address sanitize-thread: $(BIN)/.test
	tools/sanitize.sh $(BIN)/python $(@:sanitize-%=%)

coverage-c: $(BIN)/.lint ## what of the C library its tests run: 95 % of lines, 85 % of branches at least
	$(MAKE) -C tests/c coverage GCOVR=$(CURDIR)/$(BIN)/gcovr

lint: $(BIN)/.lint ## ruff, mypy, clang-format and cppcheck, as CI runs them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/types && mkdir -p build/types/edgebert
	@ln -s $(CURDIR)/edgebert/* build/types/edgebert/ && ln -s $(CURDIR)/export build/types/edgebert/
	@ln -s $(CURDIR)/tests $(CURDIR)/benchmarks build/types/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h' ':!:*_table*.h')
	@if command -v cppcheck >/dev/null; then tools/cppcheck.sh; else \
	    echo 'csrc not analysed: needs the Debian package cppcheck'; fi

docs: $(BIN)/.lint ## build the documentation as a site into build/site; any warning is an error
	@rm -rf build/sources && mkdir -p build/sources/edgebert
	@ln -s $(CURDIR)/edgebert/* $(CURDIR)/export build/sources/edgebert/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(BIN)/.lint ## let ruff and clang-format rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.c' '*.h' ':!:*_table*.h')

bench: $(BIN)/.test ## measure hash, tokenizers, encoder and start against their peers
	$(BIN)/python -m benchmarks

models: $(BIN)/.test ## write the models in the wheel and their cards, from models/*.pt and data sets
	$(BIN)/python tools/make_models.py

wheels: $(BIN)/.lint ## write source archive and wheels (ARCHS=…) to dist/, and try them where nothing else is
	PYTHON=$(BIN)/python tools/make_wheels.sh
	PYTHON=$(BIN)/python tools/check_wheel.sh

amalgamation: ## write the C library as one file and its header into out/amalgamation/
	$(PYTHON) tools/make_amalgamation.py -o out/amalgamation

arduino: $(BIN)/.demo ## write an Arduino library into out/, with the model of MODEL=… or sentiment
	$(BIN)/python tools/make_arduino_library.py -m $(or $(MODEL),sentiment) -o out

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist out edgebert/_native.* edgebert/lib*.so *.egg-info
	$(MAKE) -C tests/c clean

$(BIN)/python:
	@command -v cc >/dev/null && $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "needs a C compiler and Python's venv: apt install build-essential python3-dev python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(BIN)/.demo: $(SOURCES) | $(BIN)/python
	$(PIP) -e '.[onnx,tflite,export,eval]'
	@touch $@

$(BIN)/.test: $(SOURCES) | $(BIN)/python
	$(if $(TORCH),$(PIP) '$(TORCH)')
	$(PIP) -e '.[test$(if $(TORCH),$(comma)train)]'
	@touch $@

$(BIN)/.lint: $(SOURCES) | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@

comma := ,
