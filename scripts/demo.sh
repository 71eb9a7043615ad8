#!/usr/bin/env bash
# The main job end to end: CSV files, through wasm transforms, to search and a live dashboard.
#
#   scripts/demo.sh [--titles FILE --credits FILE] [what `wstream run` takes, such as --once]
#
# Installs only what is missing, builds, makes a small catalogue unless files are given, and runs
# examples/netflix/wstream.toml. The environment is passed on: WSTREAM_HTTP, WSTREAM_SEARCH, ...
# Data stays in WSTREAM_DATA, else in ~/.local/share/wstream; started again, it goes on there.
set -eu
here=$(pwd)
cd "$(dirname "$0")/.."
root=$PWD

say() { printf 'demo: %s\n' "$*" >&2; }
usage() { sed -n '2,9s/^# \{0,1\}//p' scripts/demo.sh; exit "$1"; }

# A file as the caller named it, seen from where this script runs.
file() {
  case $1 in /*) path=$1 ;; *) path=$here/$1 ;; esac
  [ -r "$path" ] || { say "cannot read $1"; exit 1; }
  printf %s "$path"
}

titles=${TITLES:-} credits=${CREDITS:-}
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --titles=*) titles=${1#*=} ;;
    --credits=*) credits=${1#*=} ;;
    --titles | --credits)
      [ $# -gt 1 ] || { say "$1 needs a file"; exit 2; }
      if [ "$1" = --titles ]; then titles=$2; else credits=$2; fi
      shift ;;
    -h | --help) usage 0 ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
if [ -n "$titles" ] && [ -n "$credits" ]; then
  titles=$(file "$titles")
  credits=$(file "$credits")
elif [ -n "$titles$credits" ]; then
  say "give both --titles FILE and --credits FILE, or neither"
  exit 2
fi

say "looking for what is missing"
bash scripts/setup.sh build
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

say "building wstream (the first time takes minutes)"
cargo build --release --quiet --package wstream
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac

say "compiling the transforms to WebAssembly"
bash scripts/guests.sh netflix-titles netflix-credits

kept=demo-own-files
if [ -z "$titles" ]; then
  kept=demo
  say "making a catalogue of 600 titles and 6,000 credits in examples/netflix/data"
  python3 examples/netflix/make_catalogue.py examples/netflix/data
  titles=$root/examples/netflix/data/titles.csv
  credits=$root/examples/netflix/data/credits.csv
fi

export TITLES=$titles CREDITS=$credits
export WSTREAM_DATA=${WSTREAM_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/wstream/$kept}
mkdir -p "$WSTREAM_DATA"
say "running; data in $WSTREAM_DATA, dashboard on http://${WSTREAM_HTTP:-127.0.0.1:8080}"
cd "$here"
exec "$target/release/wstream" run ${arguments[@]+"${arguments[@]}"} "$root/examples/netflix/wstream.toml"
