#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes web/dist, or does nothing where no input is newer than it.  build.sh [--force]
set -eu
cd "$(dirname "$0")"
sum=$(find src public test index.html build.mjs package.json package-lock.json -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
if [ "${1:-}" != --force ] && [ -f dist/index.html ] && [ "$(cat .built 2>/dev/null)" = "$sum" ]; then
  exit 0
fi
rm -f .built
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund
fi
npm run --silent build
echo "$sum" > .built
