# Lists the recipes.
default:
    @just --list

# Everything CI runs.
ci:
    bash .ci/run

# Format, lints, licences: writes nothing.
check:
    cargo fmt --all --check
    cargo lint
    if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; fi

# Known weaknesses of dependencies; fetches the list of them.
advisories:
    cargo deny check advisories

# Formats, and mends what clippy can.
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty
    cargo fmt --all

# Tests of one crate, or of all.
test crate="":
    cargo test {{ if crate == "" { "--workspace" } else { "-p " + crate } }}

# Compiles the shipped transforms to transforms/dist/NAME.wasm.
guests:
    bash scripts/guests.sh

# The integration tests whose name holds `filter`.
integration filter="":
    cargo test -p wstream --test integration -- {{ filter }}

# The demo: a small catalogue to a live dashboard.
demo *args:
    bash scripts/demo.sh {{ args }}

# Every sample in every language and kind of module: cases, and the table in guest-sdk/RESULTS.md.
languages:
    bash scripts/languages.sh
    bash scripts/redpanda.sh
    cargo build --release -p wstream
    python3 tests/bench/languages.py
    WSTREAM_LANGUAGES=all WSTREAM_UPLOADS=10000 cargo test -p wstream --test integration -- languages redpanda module_faults

# All 50 kills while credits.csv loads, and 200 of the log alone.
crash:
    WSTREAM_KILLS=50 cargo test -p wstream --test integration kill -- --nocapture
    WSTREAM_LOG_KILLS=200 cargo test -p wstream-log --test faults kills:: -- --nocapture

# The log cut off its power at `cuts` points, under a recorder of system calls.
faults cuts="100":
    WSTREAM_LOG_CUTS={{ cuts }} cargo test -p wstream-log --test faults cuts:: -- --nocapture
    cargo test -p wstream-log --test faults damage:: -- --nocapture

# A simulated node by `seeds` seeds; one that failed: `WSTREAM_SIM_SEED=N just sim`.
sim seeds="10000":
    WSTREAM_SIM_SEEDS={{ seeds }} cargo test -p wstream-log --lib sim::what_is_acknowledged -- --nocapture

# Every fuzz target for ten minutes, or those named: `just fuzz 60 output_frame`.
fuzz seconds="600" *targets:
    bash scripts/fuzz.sh {{ seconds }} {{ targets }}

# The measurements of tests/bench/README.md.
bench *args:
    bash tests/bench/run.sh {{ args }}

# API documentation.
doc:
    cargo doc --workspace --no-deps --open
