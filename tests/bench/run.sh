#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$(dirname "$0")/../.."
PORTENA_BUILD=$(cd "$1" && pwd) exec /usr/bin/python3 tests/bench/run.py
