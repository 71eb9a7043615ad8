#!/usr/bin/env bash
# Builds what is measured, then measures: `run.sh [bench.py's arguments]`.
set -eu
cd "$(dirname "$0")/../.."
bash scripts/guests.sh
cargo build --release -p wstream -p wstream-bench
exec python3 tests/bench/bench.py "$@"
