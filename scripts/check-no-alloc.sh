#!/usr/bin/env bash
# Builds tests/no-alloc-probe and checks that nothing of std or of an allocator is in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR=$PWD/target/no-alloc-probe
# The same versions as tinypeer is built from.
cp Cargo.lock tests/no-alloc-probe/Cargo.lock
# The link itself is the first half of the proof: a dependency on std fails with E0152 (two panic
# handlers), one on alloc with "no global memory allocator".
cargo build --quiet --release --manifest-path tests/no-alloc-probe/Cargo.toml
probe=$CARGO_TARGET_DIR/release/no-alloc-probe

say() { printf 'no-alloc: %s\n' "$*"; }
failed=0

# The second half: symbols, in case something allocates by calling libc.
symbols=$(nm "$probe" | sed 's/^ *[0-9a-f]* *//')
[ -n "$symbols" ] || { say 'the probe has no symbols to look at'; exit 1; }
for pattern in '__rust_alloc|__rust_realloc|__rustc.*alloc|__rdl_|__rg_' \
    ' (malloc|calloc|realloc|posix_memalign|aligned_alloc|free)(@|$)' \
    '_ZN(3std|5alloc)[0-9]|_RN.*C[a-zA-Z0-9_]*(3std|5alloc)'; do
    found=$(printf '%s\n' "$symbols" | grep -E "$pattern" || true)
    if [ -n "$found" ]; then
        say "not allowed in proto-core:"
        printf '%s\n' "$found" | head -5
        failed=1
    fi
done

# libc alone (and the loader) may be needed.
needed=$(readelf -dW "$probe" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^libc\.\|^ld-linux' || true)
if [ -n "$needed" ]; then
    say "libraries beyond libc: $needed"
    failed=1
fi

# It also runs: exit code 0 says that the calls gave what they should.
"$probe" || { say "the probe ended with $?"; failed=1; }
[ "$failed" = 0 ] && say "proto-core links and runs without std and without an allocator ($(stat -c %s "$probe") bytes)"
exit "$failed"
