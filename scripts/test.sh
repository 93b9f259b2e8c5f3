#!/usr/bin/env bash
# What `make test` runs: everything that must pass, cheap first, the first failure ends it. At the
# end it says which cases were skipped and why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TINYPEER_SKIPS=$(mktemp)
export TINYPEER_SKIPS
trap 'rm -f "$TINYPEER_SKIPS"' EXIT

begin=$SECONDS
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if ! "$@"; then
        printf '\n== FAILED: %s (after %d s; by itself: %s)\n' "$name" $((SECONDS - begin)) "$*"
        exit 1
    fi
    printf '== %s: %d s\n' "$name" $((SECONDS - start))
}

step 'tools' make --no-print-directory prepare
step 'formatting, clippy, documentation' make --no-print-directory check
step 'unit and property tests' make --no-print-directory unit
step 'corpus replay' make --no-print-directory replay
step 'proto-core without std and allocator' make --no-print-directory no-alloc
step "simulator, ${SEEDS:-1000} seeds" make --no-print-directory sim
step 'release build' make --no-print-directory release
step 'end-to-end tests' make --no-print-directory e2e

if [ -s "$TINYPEER_SKIPS" ]; then
    printf '\nskipped on this machine:\n'
    sort -u "$TINYPEER_SKIPS" | sed 's/^/  /'
else
    printf '\nnothing was skipped\n'
fi
printf 'make test: all passed in %d min %d s\n' $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60))
