#!/usr/bin/env bash
# Installs only what is missing: `scripts/setup.sh build` for building and running,
# `scripts/setup.sh test` for what the tests need besides (Chromium, Python, the page's packages).
# Says in one line what it does; does nothing, quickly, when all is there.
set -eu
want=${1:-build}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else fail "this needs root: $*"
  fi
}

# debian COMMAND PACKAGE...: installs the packages if the command is not there.
debian() {
  command=$1; shift
  command -v "$command" >/dev/null 2>&1 && return 0
  command -v apt-get >/dev/null 2>&1 || fail "$command is missing: install it (Debian: $*)"
  say "installing $* for $command"
  [ -n "${apt_updated:-}" ] || { as_root apt-get update -qq; apt_updated=1; }
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

debian cc gcc libc6-dev
debian make make
debian python3 python3
if ! command -v cargo >/dev/null 2>&1; then
  [ -x "$HOME/.cargo/bin/cargo" ] || fail "cargo is missing: install Rust 1.95 or newer with rustup (https://rustup.rs)"
  PATH="$HOME/.cargo/bin:$PATH"
fi
# at_least MAJOR.MINOR VERSION: whether the version is that or newer.
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
version=$(rustc --version | cut -d' ' -f2)
at_least 1.95 "$version" || fail "rustc 1.95 or newer is needed, this is $version: run 'rustup update stable'"

if [ "$want" = test ]; then
  debian git git
  python3 -c 'import ensurepip' 2>/dev/null || debian ensurepip python3-venv
  debian chromium chromium
  debian npm nodejs npm
  # The page's modules are plain .js files, which node reads as such from 20.19 on; scripts/test.sh
  # puts this folder on the PATH. Debian 12 has an older node, the npm registry has one to add.
  node=${WSTREAM_CACHE:-$HOME/.cache/wstream}/node
  PATH="$node/node_modules/node/bin:$PATH"
  if ! at_least 20.19 "$(node --version 2>/dev/null | tr -d v)"; then
    say "adding a newer node"
    mkdir -p "$node"
    npm install --prefix "$node" --no-audit --no-fund --loglevel=error node@22 >/dev/null
  fi
  "$(dirname "$0")/../tests/page/install.sh" >/dev/null || fail "what the page's tests need is not there"
  for component in clippy rustfmt; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
    say "adding $component"
    rustup component add "$component" >/dev/null
  done
fi
