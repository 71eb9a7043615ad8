#!/bin/sh
# Installs what the page's tests need into a cache outside the clone, once per version:
#   ${WSTREAM_CACHE:-$HOME/.cache/wstream}/page
# The browser is the system's: /usr/bin/chromium (Debian's package chromium), or $CHROMIUM.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${WSTREAM_CACHE:-$HOME/.cache/wstream}/page
mkdir -p "$cache"
if ! cmp -s "$here/package.json" "$cache/package.json" || [ ! -d "$cache/node_modules/playwright-core" ]; then
  rm -f "$cache/package.json" "$cache/package-lock.json"
  cp "$here/package.json" "$cache/package.new"
  (cd "$cache" && cp package.new package.json &&
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --no-audit --no-fund --ignore-scripts --loglevel=error) ||
    { rm -f "$cache/package.json"; exit 1; }
fi
browser=${CHROMIUM:-/usr/bin/chromium}
[ -x "$browser" ] || { echo "no browser at $browser: install Debian's package chromium, or set CHROMIUM" >&2; exit 1; }
echo "$cache"
