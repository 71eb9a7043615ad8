#!/usr/bin/env bash
# Compiles the transforms in transforms/ (or those named) to transforms/dist/NAME.wasm.
#
# Finds a way to compile Rust to WebAssembly: the toolchain's own standard library, else one that
# rustup adds, else the standard library's source (rustup's or Debian's), else it says what to
# install. Does nothing, quickly, when nothing changed.
#
# All guests share one set of flags, one profile and one target directory, outside the clone and
# named by what it was made with: another set of flags compiles everything again.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
target=wasm32-unknown-unknown
flags='-C target-feature=+simd128'
rustup_seconds_max=60

say() { printf 'guests: %s\n' "$*" >&2; }

# What an outer cargo, or the user's own settings, would change in the guests.
host_target_dir=${CARGO_TARGET_DIR:-$root/target}
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_TARGET_DIR \
  CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS MAKEFLAGS CARGO_MAKEFLAGS

command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null 2>&1 || { say "cargo is missing: install Rust with rustup (https://rustup.rs)"; exit 1; }

has_target() { [ -d "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target/lib" ]; }
has_source() { [ -d "$("$1" --print sysroot)/lib/rustlib/src/rust/library/std" ]; }

# Sets `way`, and for a standard library from source what that needs.
find_way() {
  way=plain
  if has_target; then return; fi
  if command -v rustup >/dev/null 2>&1; then
    say "adding $target with rustup"
    # Where rustup's servers are out of reach it can hang.
    if timeout "$rustup_seconds_max" rustup target add "$target" >&2 && has_target; then return; fi
  fi
  way=source
  for rustc in "${RUSTC:-rustc}" /usr/bin/rustc; do
    command -v "$rustc" >/dev/null 2>&1 && has_source "$rustc" || continue
    # The linker: the toolchain's own rust-lld, or Debian's lld under that name.
    linkers=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
    PATH="$linkers:$PATH"
    if ! command -v rust-lld >/dev/null 2>&1; then
      lld=$(command -v wasm-ld || ls /usr/bin/wasm-ld-* 2>/dev/null | tail -1 || true)
      [ -n "$lld" ] || continue
      flags="$flags -C linker=$lld -C linker-flavor=wasm-ld"
    fi
    export RUSTC=$rustc RUSTC_BOOTSTRAP=1
    return
  done
  say "cannot compile Rust to WebAssembly here. Install one of:"
  say "  rustup target add $target"
  say "  rustup component add rust-src"
  say "  apt-get install --no-install-recommends rustc-web rust-web-src lld"
  exit 1
}

find_way
arguments=(--quiet --lib --profile guest --target "$target" --crate-type cdylib)
if [ "$way" = source ]; then
  say "compiling the standard library from source: about half a minute, once"
  arguments+=(-Z build-std=std,panic_abort --ignore-rust-version)
fi

key=$(printf '%s\n' "$flags" "$way" "$("${RUSTC:-rustc}" -vV)" | cksum | cut -d' ' -f1)
cache=${WSTREAM_CACHE:-$HOME/.cache/wstream}/guests/$key
mkdir -p "$cache" transforms/dist
# Two clones share the cache: the module is taken before another build may replace it.
exec 9>"$cache/lock"
command -v flock >/dev/null 2>&1 && flock 9

(unset RUSTC RUSTC_BOOTSTRAP; cargo build --quiet --package wstream-guest-package --target-dir "$host_target_dir")
package=$host_target_dir/debug/wstream-guest-package

[ $# -gt 0 ] || set -- transforms/*/transform.toml
for name in "$@"; do
  name=${name#transforms/}
  name=${name%/transform.toml}
  [ -f "transforms/$name/transform.toml" ] || { say "there is no transforms/$name/transform.toml"; exit 1; }
  # The whole-program optimizer works only where the library for tests is not made as well.
  RUSTFLAGS=$flags CARGO_TARGET_DIR=$cache cargo rustc "${arguments[@]}" --package "$name"
  "$package" "$cache/$target/guest/$(printf %s "$name" | tr - _).wasm" \
    "transforms/$name/transform.toml" "transforms/dist/$name.wasm"
done
