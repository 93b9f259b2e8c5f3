#!/usr/bin/env bash
# skip.sh CASE WHY: says that a case is skipped, and adds it to the file that `make test` prints.
set -euo pipefail
printf 'skipped: %s: %s\n' "$1" "$2"
if [ -n "${TINYPEER_SKIPS:-}" ]; then printf '%s: %s\n' "$1" "$2" >>"$TINYPEER_SKIPS"; fi
