#!/usr/bin/env bash
# Runs the loom models. They are built apart: the flag changes which atomics the crate uses.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_TARGET_DIR="$target/loom"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom"
exec cargo nextest run --release --locked --profile loom -p datapath -p rdma --lib -E 'test(loom)'
