#!/bin/sh
# Installs what the page's tests need into a cache outside the clone, once per version:
#   ${WSTREAM_CACHE:-$HOME/.cache/wstream}/page
# Whoever comes while it is installing waits. `scripts/setup.sh test` calls it before any test.
# The browser is the system's: /usr/bin/chromium (Debian's package chromium), or $CHROMIUM.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${WSTREAM_CACHE:-$HOME/.cache/wstream}/page
mkdir -p "$cache"
exec 9>"$cache/lock"
command -v flock >/dev/null 2>&1 && flock 9
# The copy is made last, so what an interrupted run left is not taken for an installation.
if ! cmp -s "$here/package.json" "$cache/installed.json" || [ ! -d "$cache/node_modules/playwright-core" ]; then
  echo "page: installing what its tests need" >&2
  # npm stumbles over what an interrupted run of its own left.
  rm -rf "$cache/installed.json" "$cache/package-lock.json" "$cache/node_modules"
  cp "$here/package.json" "$cache/package.json"
  (cd "$cache" &&
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --no-audit --no-fund --ignore-scripts --loglevel=error >&2)
  cp "$here/package.json" "$cache/installed.json"
fi
browser=${CHROMIUM:-/usr/bin/chromium}
[ -x "$browser" ] || { echo "no browser at $browser: install Debian's package chromium, or set CHROMIUM" >&2; exit 1; }
echo "$cache"
