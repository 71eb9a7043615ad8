#!/usr/bin/env bash
# Fuzz targets, one after another: `scripts/fuzz.sh [SECONDS [TARGET...]]`, 600 seconds each, all
# of them without a name. Ends with a line for each target: inputs tried, coverage, findings.
#
# A finding stays in tests/fuzz/artifacts/TARGET; once understood it belongs in
# tests/fuzz/seeds/TARGET, from which every later run starts. The crates hold no unsafe code, so the
# targets run without a sanitizer, with the assertions of a debug build, on the stable compiler.
set -eu
cd "$(dirname "$0")/../tests/fuzz"
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- output_frame redpanda_payload module_inspect record_batch sdk_json csv_rows \
  search_document query_text

command -v cargo-fuzz >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz
python3 seeds.py
results=$(mktemp)
log=$(mktemp)
trap 'rm -f "$results" "$log"' EXIT
status=0
for target in "$@"; do
  mkdir -p "corpus/$target" "seeds/$target"
  found=none
  cargo fuzz run --sanitizer none --debug-assertions --fuzz-dir . --features "$target" "$target" \
    "corpus/$target" "seeds/$target" -- "-max_total_time=$seconds" -timeout=10 \
    -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || found="see tests/fuzz/artifacts/$target"
  if [ "$found" != none ]; then
    status=1
    tail -n 40 "$log"
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  printf '%s: %s inputs in %s s, %s edges, findings: %s\n' \
    "$target" "${runs:-0}" "$seconds" "${coverage:-0}" "$found" | tee -a "$results"
done
printf '\n'
cat "$results"
exit $status
