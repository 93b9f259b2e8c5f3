#!/usr/bin/env bash
# fuzz.sh [SECONDS]: runs each cargo-fuzz target that long (default 20) on the nightly toolchain.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
duration=${1:-20}

say() { printf 'fuzz: %s\n' "$*"; }

if [ ! -f fuzz/Cargo.toml ]; then exec scripts/skip.sh fuzz 'there are no fuzz targets yet'; fi
if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    say 'installing the nightly toolchain'
    rustup toolchain install nightly --profile minimal >/dev/null 2>&1 ||
        exec scripts/skip.sh fuzz 'the nightly toolchain cannot be installed'
fi
if ! command -v cargo-fuzz >/dev/null; then
    say 'installing cargo-fuzz'
    cargo install --quiet --locked cargo-fuzz
fi

targets=$(cargo +nightly fuzz list)
for target in $targets; do
    say "$target, $duration s"
    # The committed corpus is the start; what a run finds goes beside it, out of git.
    mkdir -p "target/fuzz-corpus/$target" "fuzz/corpus/$target"
    log=target/fuzz-corpus/$target.log
    if ! cargo +nightly fuzz run --target-dir target/fuzz "$target" "target/fuzz-corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$duration" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
        tail -40 "$log"
        say "$target FAILED; its input is in fuzz/artifacts/$target/ and the log in $log"
        exit 1
    fi
    grep -E 'number_of_executed_units|average_exec' "$log" | sed 's/^stat::/  /' || true
done
say "all targets: $(printf '%s' "$targets" | wc -w)"
