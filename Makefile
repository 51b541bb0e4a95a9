# make demo and make test need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Distributions and the container image build Python with profile-guided optimisation; pyenv does not, and its
# Python takes a fifth more time for a request.
BENCH_PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo /usr/bin/python3 || echo $(PYTHON))
# In CI a skipped test is a failed one.
NO_SKIPS := $(if $(filter true,$(CI)),-p tests.no_skips)

# Half the time of a test is spent waiting, for a process, a browser or the end of a pause: two share a core. Each
# takes a part of the suite as it stands (worksteal), so what a module shares, a browser or a demo, is started once,
# and who is done early takes from the others.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 2)))
PYTEST := -m pytest -n $(WORKERS) --dist worksteal

SDK := .venv-sdk
E2E := .venv-e2e
NEXT := .venv-next
SUPPLY := .venv-supply
SHIPPED := .venv-shipped

.PHONY: help demo test hostile fuzz check coverage pythons next e2e image prometheus sdk sbom audit licences reference format lint types floors bench hostile-load soak catalogues lock clean
# `make help` prints what stands behind ## and, in the line below, behind #:. Times are of two cores.
help:  ## every target: what it does, what it needs, how long it takes
#: needs nothing; takes no time
	@echo 'make TARGET [ARGS="…" for what it runs] [PYTHON=python3.12 for another Python]'
	@echo
	@sed -n -e 's/^\([a-z0-9-]*\):.*## /make \1: /p' -e 's/^#:/   /p' $(MAKEFILE_LIST)
	@echo
	@echo 'Most of them make .venv first, once: 400 MB, from PyPI, a few minutes. Times are of two cores.'

demo: $(VENV)/run.stamp  ## the proxy, an emulated Frame.io and a small tool; prints one URL
#: needs port 4180 of loopback (ARGS="--port 0": any); starts within seconds, ends with Ctrl+C
	@$(BIN)/python -m oauth_proxy demo $(ARGS)

test: $(VENV)/dev.stamp  ## the whole test suite
#: needs what .ci/run installs, or skips those tests; takes a quarter of an hour (ARGS="tests/session": a part)
	$(BIN)/python $(PYTEST) $(ARGS)

hostile: $(VENV)/dev.stamp  ## the attacks of docs/hostile.md alone: what was tried, and what got through
#: needs the same as make test; takes minutes
	$(BIN)/python $(PYTEST) -q -p tests.tally tests/hostile $(ARGS)

fuzz: $(VENV)/fuzz.stamp  ## any bytes for whatever reads what others send (ARGS="--seconds 60"; finds are kept as tests)
#: needs nothing more (hypothesis, where PyPI has no atheris for this Python); takes three minutes, or as told
	@$(BIN)/python -m tests.fuzz $(ARGS)

check: format lint types floors sdk  ## everything CI asks for: format, lint, types, import floors, tests
#: needs the same as make test (CI=true: a skipped test fails); takes a quarter of an hour
	$(BIN)/python $(PYTEST) $(NO_SKIPS) $(ARGS)

coverage: $(VENV)/dev.stamp  ## which lines and branches the suite runs; a report, and no condition of CI
#: needs the same as make test; takes almost twice its time, as Python before 3.14 counts slowly
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

pythons: $(VENV)/dev.stamp  ## the tests that tell Pythons apart, on each Python of pyproject.toml that is found here
#: needs them (PATH, pyenv, uv, or .ci/debian-python 3.14), 400 MB from PyPI; takes half a minute (ARGS="tests/upstream")
	@$(BIN)/python -m tests.pythons $(ARGS)

next:  ## the suite with the newest release of every dependency, whatever pyproject.toml and the lock admit
#: needs 400 MB from PyPI in an environment of its own; takes a quarter of an hour (ARGS="tests/upstream": a part)
	$(PYTHON) -m venv --clear $(NEXT) || { rm -rf $(NEXT); exit 1; }
	$(NEXT)/bin/python -m tests.newest >$(NEXT)/newest.txt
	$(NEXT)/bin/pip install -q --upgrade -r $(NEXT)/newest.txt
	$(NEXT)/bin/pip install -q --no-deps --no-build-isolation -e .
	$(NEXT)/bin/pip list
	$(NEXT)/bin/python $(PYTEST) $(ARGS)

sdk: $(SDK)/run.stamp  ## Frame.io's own SDK, which wants another pydantic than ours, for tests/sdk
#: needs 50 MB more from PyPI, once; takes a minute then, no time later

e2e: $(VENV)/dev.stamp $(E2E)/run.stamp $(E2E)/traefik.stamp  ## Firefox, and other people's tools: Streamlit, JWT libraries, Traefik, the parsers of Compose and Kubernetes
#: needs 500 MB from PyPI and 5 GB of modules and caches of Go, once, Debian's chromium and firefox-esr, Go 1.25, Node 20 with npm; takes a quarter of an hour the first time, then minutes
	$(BIN)/python -m pytest -m e2e -p tests.no_skips tests/e2e tests/recipes $(ARGS)

image: $(VENV)/dev.stamp  ## the container image: built, run read-only, signed in through, its size printed
#: needs root on Debian with buildah, mmdebstrap and runc, and 60 MB from Debian and PyPI; takes half a minute
	$(BIN)/python -m pytest -m image $(NO_SKIPS) tests/image $(ARGS)

sbom: $(VENV)/dev.stamp $(SUPPLY)/run.stamp  ## what an installation consists of, as CycloneDX: dist/sbom.cdx.json
#: needs 70 MB more from PyPI; takes seconds
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(SHIPPED)
	$(BIN)/uv pip install -q --python $(SHIPPED) --require-hashes -r requirements.txt
	mkdir -p dist
	$(SUPPLY)/bin/cyclonedx-py environment $(SHIPPED) --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json
	@$(BIN)/python -m tests.sbom dist/sbom.cdx.json requirements.txt "$$($(BIN)/python -m hatchling version)"

audit: $(VENV)/dev.stamp $(SUPPLY)/run.stamp  ## whether a locked package has a known vulnerability; says so where nobody can know
#: needs 50 MB more from PyPI, and its data on vulnerabilities, which a mirror may not have; takes seconds
	@$(BIN)/python -m tests.audit $(SUPPLY)/bin/pip-audit

licences: $(VENV)/dev.stamp  ## docs/licences.md anew, from what the locked packages declare
#: needs nothing more; takes no time
	$(BIN)/python -m tests.licences

reference: $(VENV)/dev.stamp  ## docs/reference.md anew: every key of the configuration, from the code that reads it
#: needs nothing more; takes no time
	@$(BIN)/python -m tests.reference

prometheus: $(VENV)/dev.stamp  ## dashboard and alerts of config/, asked of a real Prometheus
#: needs Debian's prometheus, or skips them and says so; takes half a minute
	$(BIN)/python -m pytest -m prometheus tests/monitoring $(ARGS)

format: $(VENV)/dev.stamp  ## whether every file is formatted (.venv/bin/ruff format . does it)
#: needs nothing more; takes seconds
	$(BIN)/ruff format --check .

lint: $(VENV)/dev.stamp  ## whether ruff finds nothing
#: needs nothing more; takes seconds
	$(BIN)/ruff check .

types: $(VENV)/dev.stamp  ## whether mypy finds nothing, tests included
#: needs nothing more; takes half a minute the first time, then seconds
	$(BIN)/mypy

floors: $(VENV)/dev.stamp  ## whether each room imports from floors below it only
#: needs nothing more; takes seconds
	$(BIN)/lint-imports

bench:  ## the proxy measured beside its peers, in one table (ARGS="--help" tells more)
#: needs wrk, nginx, and two cores that nobody else uses; takes a quarter of an hour (ARGS=--ratio: a minute)
	@$(MAKE) -s .venv-bench/dev.stamp VENV=.venv-bench PYTHON=$(BENCH_PYTHON)
	@.venv-bench/bin/python -m bench $(ARGS)

hostile-load: $(VENV)/dev.stamp  ## attacks, one by one: memory before, during, after; what others wait
#: needs nothing more, better a quiet machine; takes a quarter of an hour (ARGS="--seconds 6 --settle 35": half)
	@$(BIN)/python -m tests.load.hostile $(ARGS)

soak: $(VENV)/dev.stamp  ## mixed traffic against one process: what grows, what is lost (ARGS="--minutes N")
#: needs nothing more, better a quiet machine; takes ten minutes, or as told
	@$(BIN)/python -m tests.load.soak $(ARGS)

catalogues: $(VENV)/dev.stamp  ## what the pages say, for translators: collects the texts, compiles the languages
#: needs nothing; takes a second, and names what has no translation
	@$(BIN)/python -m tests.catalogues

lock: $(VENV)/dev.stamp  ## resolve the dependencies again, with hashes, for every platform and Python we run on
#: needs PyPI; takes a minute (ARGS=--upgrade: newer releases, too)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS) \
		--extra redis -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS) \
		-c requirements.txt --group dev -o requirements-dev.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS) \
		-c requirements-dev.txt --group fuzz --no-deps -o requirements-fuzz.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(ARGS) \
		--group supply -o requirements-supply.txt
	printf 'hatchling\nhatch-vcs\n' | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		-c requirements-dev.txt -o requirements-build.txt -
	echo frameio | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		$(ARGS) -o requirements-sdk.txt -
	echo streamlit | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate $(ARGS) -o requirements-e2e.txt -

clean:  ## remove what was made: environments, caches, reports
#: needs nothing; takes seconds
	rm -rf .pythons .venv .venv-3.* .venv-bench .venv-e2e .venv-next .venv-sdk .venv-shipped .venv-supply artifacts .coverage* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; PYTHON=… names another one")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/run.stamp: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q --require-hashes -r requirements.txt
	@touch $@

# uv installs in a tenth of pip's time. pip installs it, of the same lock; and does the rest where uv cannot, as where an
# index is known to pip alone (uv has it from UV_DEFAULT_INDEX).
$(VENV)/dev.stamp: requirements.txt requirements-dev.txt pyproject.toml | $(BIN)/python
	sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >$(VENV)/uv.txt
	$(BIN)/pip install -q --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode --require-hashes \
		-r requirements.txt -r requirements-dev.txt \
		|| $(BIN)/pip install -q --require-hashes -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $(VENV)/run.stamp $@

$(SDK)/run.stamp: requirements-sdk.txt
	$(PYTHON) -m venv $(SDK) || { rm -rf $(SDK); exit 1; }
	$(SDK)/bin/pip install -q --require-hashes -r requirements-sdk.txt
	@touch $@

$(SUPPLY)/run.stamp: requirements-supply.txt $(VENV)/dev.stamp
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(SUPPLY)
	$(BIN)/uv pip install -q --python $(SUPPLY) --require-hashes -r requirements-supply.txt
	@touch $@

$(VENV)/fuzz.stamp: requirements-fuzz.txt $(VENV)/dev.stamp
	$(BIN)/pip install -q --require-hashes -r requirements-fuzz.txt
	@touch $@

$(E2E)/traefik.stamp: tests/traefik.py $(VENV)/dev.stamp $(E2E)/run.stamp
	$(BIN)/python -m tests.traefik $(E2E)/bin
	@touch $@

$(E2E)/run.stamp: requirements-e2e.txt
	$(PYTHON) -m venv $(E2E) || { rm -rf $(E2E); exit 1; }
	$(E2E)/bin/pip install -q --require-hashes -r requirements-e2e.txt
	@touch $@
