# Every target makes what it needs; the first one used builds the environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 1053
COMPILE := --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock' -c constraints.txt

.PHONY: help run test check coverage format bench soak fuzz clean respdiff sanitize tools lock chart-docs kind-test screenshots

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(READY): pyproject.toml constraints.txt setup.py dnsserver/fast/compiled.pyx dnsserver/fast/loop.h
	@$(PYTHON) -c 'import sys; sys.exit("dnsserver needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY)  ## serve the user guide's example on 127.0.0.1, no cluster needed
	@echo "try: dig @127.0.0.1 -p $(PORT) myvmi.mysubdomain.default.svc.cluster.local"
	@exec $(BIN)/dnsserver -conf examples/Corefile -p $(PORT)

test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest -n auto

check: $(READY)  ## format, lint, types, import contracts, and the chart with a real helm
	@$(MAKE) --no-print-directory tools || echo "no tools: what wants helm is skipped"
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto tests/chart

coverage: $(READY)  ## the whole test suite with branch coverage, which must not fall
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

format: $(READY)  ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and every build product
	rm -rf $(VENV) .tools build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage

bench: $(READY)  ## every benchmark; `make bench NAMES=updates` runs one
	$(BIN)/python -m benchmarks $(NAMES)

soak: $(READY)  ## twenty minutes of mixed load and churn, then a verdict; `make soak SECONDS=180 VMIS=10000`
	@$(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(VMIS),--vmis $(VMIS))

respdiff: $(READY)  ## the same queries to this server, Knot DNS and NSD, compared; needs knotd or nsd
	$(BIN)/python -m tests.respdiff

fuzz: $(READY)  ## look for inputs that break something, two processes, until Ctrl-C; `make fuzz TARGET=packet SECONDS=600`
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 -e '.[fuzz]' \
		|| echo "no atheris here: fuzzing without it"
	@$(BIN)/python -m tests.fuzz --processes 2 $(if $(TARGET),--target $(TARGET)) $(if $(SECONDS),--seconds $(SECONDS))

sanitize: $(READY)  ## the compiled loop's C under sanitizers and valgrind, for memory errors and races; `make sanitize SECONDS=60`
	@$(BIN)/python -m tests.fast.sanitize $(if $(SECONDS),--seconds $(SECONDS))

kind-test: $(READY)  ## image and chart in a cluster made by kind; `DNSSERVER_KUBEVIRT=v1.6.0 make kind-test` with KubeVirt itself
	@if docker info >/dev/null 2>&1; then docker build --tag dnsserver:test .; else echo "no Docker engine: nothing is built"; fi
	$(BIN)/python -m pytest tests/kind -m kind

tools: $(READY)  ## helm, hadolint and others into .tools, for the tests of chart and image
	@$(BIN)/python -m tools.fetch

chart-docs: $(READY)  ## the table of values in the chart's README
	$(BIN)/python -m tools.chart_readme

lock: $(READY)  ## the hashes of what the image and the tools are made of, requirements/*.txt; needs uv
	uv pip compile --quiet $(COMPILE) pyproject.toml -o requirements/runtime.txt
	uv pip compile --quiet $(COMPILE) requirements/build.in -o requirements/build.txt
	uv pip compile --quiet $(COMPILE) requirements/tools.in -o requirements/tools.txt

screenshots: $(READY)  ## the pictures of docs/page.md, made anew; needs chromium
	DNSSERVER_PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest -q -n 0 tests/admin/page/test_browser.py -k pictures
