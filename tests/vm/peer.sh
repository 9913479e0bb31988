#!/usr/bin/env bash
# What the second guest runs: commands that the first guest's tests put into the shared folder. The
# files' names and their order are described in tests/src/guest/peer.rs.
set -euo pipefail
folder="$GUEST_SHARED/peer$GUEST_NODE"
mkdir -p "$folder"

# perform STEM: one command, to its end or until a kill is asked for.
perform() {
    local process status=0
    # A process group of its own, so that a kill reaches what the command has started.
    setsid bash "$1.command" </dev/null >"$1.output" 2>&1 &
    process=$!
    while [ -e "/proc/$process" ] && ! grep -q '^State:.Z' "/proc/$process/status" 2>/dev/null; do
        [ ! -e "$1.kill" ] || kill -KILL -- "-$process" 2>/dev/null || true
        sleep 0.05
    done
    wait "$process" || status=$?
    echo "$status" >"$1.status.part"
    mv "$1.status.part" "$1.status"
}

touch "$folder/ready"
while :; do
    for file in "$folder"/*.command; do
        stem="${file%.command}"
        [ -e "$file" ] && [ ! -e "$stem.taken" ] || continue
        touch "$stem.taken"
        # bash says of a command that was killed that it was; the tests that asked for it know.
        perform "$stem" 2>/dev/null &
    done
    sleep 0.05
done
