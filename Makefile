# Two commands do everything: `make demo` and `make test`. Both prepare what they need.
.DEFAULT_GOAL := help
.PHONY: help demo test setup setup-demo check check-firmware lint types imports unit native bench hearing clean

PY := .venv/bin/python

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: setup-demo ## a simulated device hears its name, asks, and is answered; leaves a report
	.venv/bin/harken demo --out runs/demo

test: setup check ## every check and every test
	$(PY) -m pytest

setup-demo:
	@.ci/setup demo

setup: ## everything that developing needs
	@.ci/setup test

check: lint types imports check-firmware ## static checks alone

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types:
	.venv/bin/mypy
	.venv/bin/pyright

imports:
	.venv/bin/lint-imports

check-firmware:
	$(PY) firmware/check_types.py

unit: ## the quick tests
	$(PY) -m pytest tests/unit tests/property

native: ## rebuild the native audio core for every architecture
	$(PY) firmware/native/build.py

bench: ## every benchmark, one after the other
	for name in start wake wake-accuracy echo vad device codec relay turn; do .venv/bin/harken bench $$name || exit 1; done

hearing: ## measure how well the device hears, and draw docs/explanation/how-well-it-hears.md anew
	for name in device vad echo wake-accuracy; do .venv/bin/harken bench $$name --out runs/hearing/$$name.json || exit 1; done
	$(PY) -m harken_hil.bench.pictures runs/hearing docs/explanation

clean: ## throw away what was built, keep downloads and models
	rm -rf build dist runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
