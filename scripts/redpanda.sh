#!/usr/bin/env bash
# Compiles the modules in guest-sdk/redpanda, with the SDKs as the registries have them, into a cache
# outside the clone, and prints for each language its name and the folder of its modules.
#
# A folder is named by what it was made of, so that an older one is never taken for it. Does
# nothing, quickly, when nothing changed. A language that cannot be had here is said by name, and
# its tests are skipped.
set -u
cd "$(dirname "$0")/../guest-sdk/redpanda" || exit 1
root=${WSTREAM_CACHE:-$HOME/.cache/wstream}
cache=$root/redpanda
rustup_seconds_max=60
days_kept=14

say() { printf 'redpanda: %s\n' "$*" >&2; }

# What an outer cargo, or the user's own settings, would change in the modules.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_TARGET_DIR \
  CARGO_BUILD_TARGET CARGO_BUILD_RUSTFLAGS MAKEFLAGS CARGO_MAKEFLAGS RUSTC CARGO GOFLAGS
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

mkdir -p "$cache"
# Tests of two clones may want the same at once.
exec 9>"$cache/lock"
command -v flock >/dev/null 2>&1 && flock 9

# make_modules LANGUAGE VERSION: the modules of a language, made if they are not there.
make_modules() {
  language=$1
  key=$( (printf '%s\n' "$2"; find ../../scripts/redpanda.sh "$language" -type f | LC_ALL=C sort |
    xargs cat) | cksum | cut -d' ' -f1)
  folder=$cache/$language-$key
  if [ ! -d "$folder" ]; then
    new=$(mktemp -d "$cache/new-XXXXXX")
    say "compiling the modules in $language"
    if ! "make_$language" "$new"; then
      rm -rf "$new"
      say "no modules in $language: their tests are skipped"
      return
    fi
    mv "$new" "$folder"
  fi
  touch "$folder"
  printf '%s %s\n' "$language" "$folder"
}

make_rust() {
  target=wasm32-wasip1
  has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
  # Where rustup's servers are out of reach it can hang.
  has_target || timeout "$rustup_seconds_max" rustup target add "$target" >&2
  has_target || return
  (cd rust && RUSTFLAGS='-C target-feature=+simd128' CARGO_TARGET_DIR=$cache/target \
    cargo build --quiet --locked --release --target "$target" >&2) || return
  for source in rust/src/bin/*.rs; do
    cp "$cache/target/$target/release/$(basename "$source" .rs).wasm" "$1/" || return
  done
}

make_go() {
  (cd go && GOOS=wasip1 GOARCH=wasm go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$1/" ./... >&2) || return
  for module in "$1"/*; do mv "$module" "$module.wasm"; done
}

make_c() {
  for source in c/*.c; do
    "${c_compiler[@]}" -O2 -s -Wl,-z,stack-size=65536 -o "$1/$(basename "$source" .c).wasm" "$source" >&2 || return
  done
}

if rust=$(rustc -vV 2>/dev/null); then make_modules rust "$rust"; else say "no rust: its tests are skipped"; fi
if go=$(go version 2>/dev/null); then make_modules go "$go"; else say "no go: its tests are skipped"; fi
c_compiler=("$root/zig/bin/python" -m ziglang cc -target wasm32-wasi)
if ! c=$("$root/zig/bin/python" -m ziglang version 2>/dev/null); then
  c_compiler=(clang --target=wasm32-wasi)
  c=$([ -d /usr/include/wasm32-wasi ] && clang --version 2>/dev/null)
fi
if [ -n "$c" ]; then make_modules c "$c"; else say "no C compiler: its tests are skipped"; fi

# What other states of the clone left.
find "$cache" -mindepth 1 -maxdepth 1 -name '*-*' -mtime +"$days_kept" -exec rm -rf {} + 2>/dev/null
exit 0
