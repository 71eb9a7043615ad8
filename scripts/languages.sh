#!/usr/bin/env bash
# Installs what the tests compile transforms with, into a cache outside the clone: zig (for C and
# Zig) and AssemblyScript. Go is the machine's own, else Debian's. Does nothing, quickly, when all
# is there. A language that cannot be had here is said by name, and its tests are skipped.
set -u
cache=${WSTREAM_CACHE:-$HOME/.cache/wstream}

say() { printf 'languages: %s\n' "$*" >&2; }

if ! "$cache/zig/bin/python" -m ziglang version >/dev/null 2>&1; then
  say "installing zig"
  python3 -m venv "$cache/zig" && "$cache/zig/bin/pip" install --quiet 'ziglang>=0.16' ||
    say "no zig: the tests of C and Zig are skipped"
fi
if ! "$cache/asc/node_modules/.bin/asc" --version >/dev/null 2>&1; then
  say "installing AssemblyScript"
  mkdir -p "$cache/asc"
  npm install --prefix "$cache/asc" --no-audit --no-fund --loglevel=error assemblyscript@0.28 >/dev/null ||
    say "no asc: the tests of AssemblyScript are skipped"
fi
go version >/dev/null 2>&1 || say "no go: the tests of Go are skipped (install Go 1.24 or newer)"
