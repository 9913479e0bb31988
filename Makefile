# Every way to build, run and test Penstock. `make` alone shows this list.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
DATA ?= ./data
# More arguments for `make run`: make run ARGS="--listen 0.0.0.0:9000"
ARGS ?=

.PHONY: help run build test check unit guest bench bench-gate rehearse loom fmt doc docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS=$$'\t' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

run: ## install what is missing, build, and serve the store in ./data (DATA=..., ARGS=...)
	@tools/packages.sh build
	@cargo build --release --locked -p gateway
	@exec "$(TARGET)/release/penstock" serve --data "$(DATA)" $(ARGS)

build: ## the release binaries: penstock and penstock-loadgen
	@tools/packages.sh build
	@cargo build --release --locked -p gateway -p loadgen

test: ## everything: lints, unit, doc and loom tests, real binary, real clients (under 35 minutes)
	@tools/packages.sh build test
	@tools/nextest.sh
	@tools/venv.sh
	@tools/test.sh

check: ## what to run before a commit: format, lints, documentation, unit tests (under 3 minutes warm)
	@tools/packages.sh build
	@tools/nextest.sh
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	@python3 dashboards/build.py --check
	@$(MAKE) --no-print-directory unit

unit: ## unit tests alone
	@cargo nextest run --workspace --locked -E 'not (package(penstock-tests) & kind(test))'

guest: ## tests that need RDMA or NVMe, in a QEMU guest (ARGS="-E 'binary(guest_nvme)'" chooses some)
	@tools/packages.sh build
	@tools/nextest.sh
	@cargo build --release --locked -p gateway -p loadgen
	@GATEWAY_TEST_BIN="$(TARGET)/release/penstock" \
		GATEWAY_TEST_LOADGEN="$(TARGET)/release/penstock-loadgen" \
		tests/vm/suite.py target/test-results/guest.xml $(ARGS)

loom: ## the pin table and the state of RDMA sessions under the interleavings that loom can reach
	@tools/nextest.sh
	@tools/loom.sh

bench: ## server CPU per request and per GiB beside nginx, tables in target/bench; p99 under scrapes
	@tools/packages.sh build bench
	@cargo build --release --locked -p gateway -p loadgen
	@python3 tools/bench/bench.py $(ARGS)
	@python3 tools/bench/scrape.py
	@python3 tools/bench/secure.py

bench-gate: ## instructions per request against the recorded baseline (ARGS=--record renews it)
	@tools/packages.sh build gate
	@cargo build --release --locked -p gateway
	@python3 tools/bench/gate.py $(ARGS)

rehearse: ## faults done to the real server, timed until alerts and panels show them (half an hour)
	@tools/packages.sh build test
	@cargo build --release --locked -p gateway -p loadgen
	@python3 tools/rehearsal/rehearse.py --output target/rehearsal.md $(ARGS)

fmt: ## format all code
	@cargo fmt --all

docs: ## write what comes from tables in the code: docs/METRICS.md, dashboards/grafana
	@cargo run --quiet --locked -p gateway -- debug metrics >docs/METRICS.md
	@python3 dashboards/build.py

doc: ## build and check the documentation of all crates
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	@echo "$(TARGET)/doc/datapath/index.html"

clean: ## remove build results and the Python environment; never the store
	@cargo clean
	@rm -rf .venv
