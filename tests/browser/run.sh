#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The browser's side: against the mock, then against a real server of its own, started here. TAP; pictures in build/check/browser.
set -eu
cd "$(dirname "$0")"
top=$(cd ../.. && pwd)
out=${PORTENA_BUILD:-$top/build}/check/browser
mkdir -p "$out/mock" "$out/real"
npm ci --silent --no-audit --no-fund >"$out/npm.log" 2>&1 || { cat "$out/npm.log" >&2; exit 1; }
status=0
PORTENA_ARTIFACTS="$out/mock" node --test --test-reporter=tap --test-concurrency=1 specs/*.test.mjs || status=1
/usr/bin/python3 "$top/tests/lib/with_server.py" env PORTENA_ARTIFACTS="$out/real" \
  node --test --test-reporter=tap --test-concurrency=1 specs/*.test.mjs || status=1
exit $status
