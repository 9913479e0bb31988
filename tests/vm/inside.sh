#!/usr/bin/env bash
# In a guest: runs the tests of a list, each in a process of its own, and writes what happens to the
# standard output, for suite.py to read.
#
#   tests/vm/inside.sh LIST LIMIT
#
# A line of LIST is one test: number, folder to run in, test binary, the test's name, between tabs.
# A test may take LIMIT seconds. Before a test's output stands a line with an ASCII record
# separator, `begin` and its number; after it one with `end`, its number, status and milliseconds.
set -euo pipefail

while IFS=$'\t' read -r number folder binary name; do
    printf '\036begin\t%s\n' "$number"
    began=${EPOCHREALTIME/./}
    status=0
    dmesg --clear
    # timeout ends the whole process group: servers that the test has started too.
    (cd "$folder" && exec timeout -k 5 "$2" "$binary" --exact "$name" --nocapture) \
        </dev/null 2>&1 || status=$?
    [ "$status" -eq 0 ] || dmesg | sed 's/^/kernel: /'
    printf '\n\036end\t%s\t%s\t%s\n' "$number" "$status" $(((${EPOCHREALTIME/./} - began) / 1000))
done <"$1"
