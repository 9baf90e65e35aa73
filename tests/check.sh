#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything: builds with gcc and clang (sanitizers), unit, component, fuzz, web, system and browser tests; ends with one summary line.
set -eu
cd "$(dirname "$0")/.."
exec python3 tests/check.py
