#!/usr/bin/env bash
# Runs everything there is to run and adds it up. A step that fails does not stop the others; the
# status is that of the whole. Packages, nextest and .venv are there already (see the Makefile).
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
results="$PWD/target/test-results"
rm -rf "$results"
mkdir -p "$results"
export GATEWAY_TEST_BIN="$target/release/penstock"
export GATEWAY_TEST_LOADGEN="$target/release/penstock-loadgen"
export GATEWAY_TEST_SKIPPED="$results/skipped.txt"

# step NAME COMMAND...: runs it, shows its time, records whether it succeeded.
step() {
    local name="$1" began status=0
    shift
    began=$SECONDS
    echo "=== $name: $*"
    "$@" || status=$?
    echo "=== $name: status $status after $((SECONDS - began)) s"
    printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - began))" >>"$results/steps.tsv"
    return 0
}

# Takes over the report that nextest has just written.
keep() {
    [ ! -f "$1" ] || mv "$1" "$results/$2.xml"
}

doc_tests() {
    cargo test --workspace --doc --locked 2>&1 | tee "$results/doc-tests.txt"
}

step format cargo fmt --all --check
step lints cargo clippy --workspace --all-targets --locked -- -D warnings
step documentation env RUSTDOCFLAGS="-D warnings" \
    cargo doc --workspace --no-deps --document-private-items --locked --quiet
step build cargo build --release --locked -p gateway -p loadgen

step unit cargo nextest run --workspace --locked -E 'not (package(penstock-tests) & kind(test))'
keep "$target/nextest/default/junit.xml" unit
step doc-tests doc_tests
step loom tools/loom.sh
keep "$target/loom/nextest/loom/junit.xml" loom
step process cargo nextest run -p penstock-tests --locked -E 'kind(test)'
keep "$target/nextest/default/junit.xml" process
step guest python3 tests/vm/suite.py "$results/guest.xml"
step clients .venv/bin/python -m pytest tests/python -q -p no:cacheprovider \
    --junitxml "$results/clients.xml"
step bench-smoke python3 tools/bench/bench.py --smoke --out "$results/bench"
step bench-gate python3 tools/bench/gate.py --out "$results/bench-gate"

python3 tools/summary.py "$results"
