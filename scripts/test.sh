#!/usr/bin/env bash
# Installs only what is missing and runs every test of the project.
# Ends with one line that counts tests: `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.."
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

step() { printf '\n== %s\n' "$*"; }

# check NAME COMMAND...: one check that passes or fails as a whole.
check() {
  name=$1; shift
  step "$name"
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name"; fi
}

# suite NAME COMMAND...: a cargo test run, whose own lines are counted.
suite() {
  name=$1; shift
  step "$name"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  count() { sed -n "s/^test result:.* \([0-9]*\) $1.*/\1/p" "$log" | awk '{n += $1} END {print n + 0}'; }
  passed=$((passed + $(count passed)))
  failures=$(count failed)
  failed=$((failed + failures))
  skipped=$((skipped + $(count ignored) + $(grep -c '^skipped: ' "$log")))
  [ "$status" = 0 ] || [ "$failures" != 0 ] || { failed=$((failed + 1)); echo "FAILED: $name"; }
}

finish() {
  printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" = 0 ] && exit 0
  exit 1
}

step "what the tests need"
if ! bash scripts/setup.sh test || ! bash scripts/guests.sh || ! bash scripts/languages.sh ||
  ! bash scripts/redpanda.sh >/dev/null; then
  failed=$((failed + 1))
  finish
fi

PATH="${WSTREAM_CACHE:-$HOME/.cache/wstream}/node/node_modules/node/bin:$HOME/.cargo/bin:$PATH"
check "format" cargo fmt --all --check
check "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
if command -v cargo-deny >/dev/null 2>&1; then
  check "dependencies" cargo deny --log-level error check bans licenses sources
else
  echo "skipped: cargo deny is not installed (cargo install cargo-deny)"
  skipped=$((skipped + 1))
fi
suite "tests" cargo test --workspace --no-fail-fast 
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
finish
