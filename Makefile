# On a fresh machine: Python 3.11 or newer, make and a package index; nothing else.
# Everything else is in .venv/, which is made anew only when requirements.lock or pyproject.toml changed.

PYTHON_IN_VENV := .venv/bin/python
PACKAGES := models channels worker api_shim wireroom bench tests examples

.PHONY: install run test check audit format migration lock lock-peers fuzz bench bench-full bench-lists faults faults-full namespaces newcomer pictures clean help

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: .venv/installed ## make .venv/ with the command and the test libraries

.venv/installed: requirements.lock pyproject.toml tools/install.sh
	@sh tools/install.sh

run: .venv/installed ## the main job, seen: make run, make run ARGS=--once
	@.venv/bin/wireroom demo $(ARGS)

# Tests start some hundred Python processes; without bytecode on the disk each of them takes seconds to compile itself.
test: .venv/installed ## every test; ARGS go to pytest
	@PYTHONDONTWRITEBYTECODE= $(PYTHON_IN_VENV) -m pytest --numprocesses=auto --maxschedchunk=4 $(ARGS)

check: .venv/installed ## style, types, import rules, budgets, schema
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m mypy $(PACKAGES)
	.venv/bin/lint-imports
	$(PYTHON_IN_VENV) -m pytest -q tests/architecture

audit: .venv/installed ## known vulnerabilities, dangerous code, licences, secrets; fails where nobody could say
	@$(PYTHON_IN_VENV) -m tools.audit

format: .venv/installed ## bring the code into the one form
	$(PYTHON_IN_VENV) -m ruff check --fix .
	$(PYTHON_IN_VENV) -m ruff format .

migration: .venv/installed ## a new revision from models/tables.py: make migration NAME="what changes"
	$(PYTHON_IN_VENV) -m models.migrations.new "$(NAME)"
	$(PYTHON_IN_VENV) -m ruff format models/migrations/versions

lock: .venv/installed ## resolve pyproject.toml into requirements.lock; ARGS=--upgrade for newer versions
	$(PYTHON_IN_VENV) -m uv pip compile pyproject.toml --extra bench --extra otel --group build --group test --group check --group audit \
	    --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links --quiet $(ARGS) --output-file requirements.lock

lock-peers: .venv/installed ## resolve what the bench's peers need, each into a lock of its own; needs npm
	for peer in celery post_office; do \
	    (cd bench/peers/$$peer && ../../../$(PYTHON_IN_VENV) -m uv pip compile requirements.in --universal \
	        --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	        --no-emit-find-links --quiet $(ARGS) --output-file requirements.txt) || exit; \
	done
	cd bench/peers/bullmq && npm install --package-lock-only --ignore-scripts --no-audit --no-fund \
	    --omit-lockfile-registry-resolved

fuzz: .venv/installed ## schemathesis on both databases, broken bounces and hooks, all reports in any order: half an hour
	@$(PYTHON_IN_VENV) -m pytest -q -rP tests/fuzz/long_run.py tests/fuzz/long_bounces.py tests/fuzz/long_orders.py tests/fuzz/long_hook_bodies.py $(ARGS)

bench: .venv/installed ## ratios against bare clients and peers: make bench ARGS=--quick, ARGS="--only email/celery"
	@.venv/bin/wireroom bench $(ARGS)

bench-full: .venv/installed ## the same with more pairs, and ten million rows beside ten thousand: hours
	@.venv/bin/wireroom bench --pairs 9 --rows 10000000 $(ARGS)

bench-lists: .venv/installed ## lists over a million messages, by the database's measure
	@$(PYTHON_IN_VENV) -m bench.lists $(ARGS)

faults: .venv/installed ## break everything on purpose, for minutes: make faults ARGS="--only random-kills"; lines in .faults/
	@$(PYTHON_IN_VENV) -m tests.faults.run $(ARGS)

faults-full: .venv/installed ## the same for an hour; ends 1 where anything was left out
	@$(PYTHON_IN_VENV) -m tests.faults.run --size full $(ARGS)

namespaces: .venv/installed ## docs/many-machines.md as it says, a machine cut off and back; needs root, ends 3 without
	@$(PYTHON_IN_VENV) -m tests.faults.namespaces $(ARGS)

newcomer: .venv/installed ## what is committed, cloned and tried as README.md says, until a message stands in the console
	@$(PYTHON_IN_VENV) -m tests.acceptance.newcomer $(ARGS)

pictures: .venv/installed ## the pictures of docs/console.md anew; ARGS="--all FOLDER" every page of the console in every view
	@$(PYTHON_IN_VENV) -m tests.browser.pictures $(ARGS)

clean: ## remove everything that make can make again
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .faults dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
