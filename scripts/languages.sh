#!/usr/bin/env bash
# Installs what the tests compile transforms with, into a cache outside the clone: zig (for C and
# Zig), AssemblyScript, componentize-js with esbuild (for JavaScript and TypeScript) and
# componentize-py (for Python); and the client that they ask the registry of schemas with. Go is the
# machine's own, else Debian's. Does nothing, quickly, when all is there. What cannot be had here is
# said by name, and its tests are skipped.
set -u
cache=${WSTREAM_CACHE:-$HOME/.cache/wstream}

say() { printf 'languages: %s\n' "$*" >&2; }

# packages FOLDER NAME...: from npm, into the cache.
packages() {
  local folder=$cache/$1
  shift
  mkdir -p "$folder"
  npm install --prefix "$folder" --no-audit --no-fund --loglevel=error "$@" >/dev/null
}

if ! "$cache/zig/bin/python" -m ziglang version >/dev/null 2>&1; then
  say "installing zig"
  python3 -m venv "$cache/zig" && "$cache/zig/bin/pip" install --quiet 'ziglang>=0.16' ||
    say "no zig: the tests of C and Zig are skipped"
fi
if ! "$cache/asc/node_modules/.bin/asc" --version >/dev/null 2>&1; then
  say "installing AssemblyScript"
  packages asc assemblyscript@0.28 || say "no asc: the tests of AssemblyScript are skipped"
fi
bin=$cache/componentize-js/node_modules/.bin
if ! { [ -x "$bin/componentize-js" ] && "$bin/esbuild" --version; } >/dev/null 2>&1; then
  say "installing componentize-js"
  packages componentize-js @bytecodealliance/componentize-js@0.23 esbuild@0.28 ||
    say "no componentize-js: the tests of JavaScript and TypeScript are skipped"
fi
if ! "$cache/componentize-py/bin/componentize-py" --version >/dev/null 2>&1; then
  say "installing componentize-py"
  python3 -m venv "$cache/componentize-py" &&
    "$cache/componentize-py/bin/pip" install --quiet 'componentize-py==0.25.*' ||
    say "no componentize-py: the tests of Python are skipped"
fi
if ! "$cache/confluent/bin/python" -c 'import confluent_kafka.schema_registry.avro' 2>/dev/null; then
  say "installing a client of schema registries"
  python3 -m venv "$cache/confluent" &&
    "$cache/confluent/bin/pip" install --quiet 'confluent-kafka[avro,json]>=2.5' ||
    say "no confluent-kafka: its test of the registry of schemas is skipped"
fi
if command -v rustup >/dev/null 2>&1 &&
  ! rustup target list --installed 2>/dev/null | grep -q '^wasm32-wasip2$'; then
  say "adding Rust's target wasm32-wasip2"
  timeout 60 rustup target add wasm32-wasip2 >/dev/null 2>&1 ||
    say "no wasm32-wasip2: the example of a component is skipped"
fi
go version >/dev/null 2>&1 || say "no go: the tests of Go are skipped (install Go 1.24 or newer)"
