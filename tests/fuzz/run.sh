#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM search|replay CORPUS: what libFuzzer finds new goes to a directory of its own and is thrown away;
# what breaks the program stays in the build directory as fuzz-NAME-crash-…. A check begins where the last one began; who searches
# in earnest gives FUZZ_SECONDS and another FUZZ_SEED (0: any).
set -eu
if [ "$2" = replay ]; then
    exec "$1" "$3"/*
fi
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
dict=
[ -f "$3.dict" ] && dict="-dict=$3.dict"
"$1" -seed="${FUZZ_SEED:-1}" -max_total_time="${FUZZ_SECONDS:-10}" -max_len=4096 -timeout=60 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$(basename "$1")-" $dict "$found" "$3" || exit 1 # not libFuzzer's 77, which is a skipped test
