#!/usr/bin/env bash
# Builds the static, stripped tinypeer into target/static/.
#
#   scripts/build-static.sh [TRIPLE]      TRIPLE defaults to x86_64-unknown-linux-musl
#
# Two ways, the first that works:
#   1. rustup has the target's standard library: an ordinary cargo build.
#   2. Debian's rustc-web with the sources of the standard library, which is then built along;
#      zig (PyPI "ziglang") is the C compiler and linker, cargo-zigbuild puts them together.
# As root on Debian the second one installs what it lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

triple=${1:-x86_64-unknown-linux-musl}
arch=${triple%%-*}
out=target/static/tinypeer-$arch
export CARGO_TARGET_DIR=$PWD/target/static-build
export CARGO_PROFILE_RELEASE_STRIP=symbols

say() { printf 'static: %s\n' "$*"; }
die() { printf 'static: %s\n' "$*" >&2; exit 1; }

case $triple in
    x86_64-unknown-linux-musl) machine='x86-64' ;;
    i686-unknown-linux-musl) machine='80386' ;;
    aarch64-unknown-linux-musl) machine='aarch64' ;;
    armv7-unknown-linux-musleabihf) machine='ARM' ;;
    *) die "unknown target $triple (x86_64-, i686-, aarch64-unknown-linux-musl, armv7-unknown-linux-musleabihf)" ;;
esac

# Nothing unwinds, so nothing needs the tables for it.
small='-C panic=abort -C force-unwind-tables=no'

with_rustup() {
    say "building for $triple with rustup's standard library"
    RUSTFLAGS=$small cargo build --release --package peer-mio --bin tinypeer --target "$triple"
}

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_debian_rust() {
    if [ -x /usr/bin/cargo ] && [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src" ]; then return; fi
    as_root || die "needs 'rustup target add $triple', or as root on Debian: apt-get install rustc-web cargo-web rust-web-src"
    say 'installing rustc-web cargo-web rust-web-src'
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rustc-web cargo-web rust-web-src >/dev/null 2>&1 ||
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            rustc-web cargo-web rust-web-src >/dev/null; }
}

install_zig() {
    python3 -m ziglang version >/dev/null 2>&1 && return
    say 'installing ziglang'
    python3 -m pip install --quiet --disable-pip-version-check ziglang ||
        python3 -m pip install --quiet --disable-pip-version-check --break-system-packages ziglang ||
        die "cannot install ziglang: python3 -m pip install ziglang"
}

install_zigbuild() {
    command -v cargo-zigbuild >/dev/null && return
    say 'installing cargo-zigbuild'
    # A tool of its own: not built into this project's target folder, nor with its settings.
    env -u CARGO_TARGET_DIR -u CARGO_PROFILE_RELEASE_STRIP cargo install --quiet --locked cargo-zigbuild
}

with_zig() {
    install_zigbuild
    install_zig
    # Named before /usr/bin comes first in PATH, or another python3 could hide the one with ziglang.
    CARGO_ZIGBUILD_PYTHON_PATH=$(command -v python3)
    export CARGO_ZIGBUILD_PYTHON_PATH
    zigbuild_folder=$(dirname "$(command -v cargo-zigbuild)")
    install_debian_rust
    say "building for $triple with $(/usr/bin/rustc --version), its library sources and zig $(python3 -m ziglang version)"
    # RUSTC_BOOTSTRAP: build-std is unstable. link-self-contained=no: musl's start files and libc
    # are zig's. static: without position independence the binary needs no relocation at start.
    # location-detail=none: a panic says what, not where; 69 KB (docs/performance.md, "Size of the binary").
    # No features of std: without symbols a backtrace says nothing, but its code is 90 KB.
    # What of it is not generic is small: it starts threads, formats, calls the system (33 KB).
    local std_small=()
    for package in core alloc std; do
        std_small+=(--config "profile.release.package.$package.opt-level=\"s\"")
    done
    env -u RUSTUP_TOOLCHAIN PATH="/usr/bin:$PATH:$zigbuild_folder" RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="$small -Z location-detail=none -C link-self-contained=no -C relocation-model=static" \
        /usr/bin/cargo zigbuild --release --package peer-mio --bin tinypeer \
        "${std_small[@]}" -Z build-std=std,panic_abort -Z build-std-features= --target "$triple"
}

if command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$triple"; then
    with_rustup
else
    with_zig
fi

mkdir -p target/static
cp -f "$CARGO_TARGET_DIR/$triple/release/tinypeer" "$out"

# A program interpreter or a needed library in the headers would mean: not static.
if readelf -lW "$out" | grep -q 'INTERP' || readelf -dW "$out" 2>/dev/null | grep -q NEEDED; then
    die "$out is not static: $(readelf -dW "$out" | grep NEEDED)"
fi
readelf -hW "$out" | grep -i 'machine:' | grep -qi "$machine" || die "$out is not for $triple"
if readelf -SW "$out" | grep -q '\.symtab'; then die "$out is not stripped"; fi
# What this machine can run, it also starts.
if [ "$arch" = "$(uname -m)" ]; then timeout 10 "$out" --help >/dev/null || die "$out does not start"; fi

size=$(stat -c %s "$out")
say "$out: static, stripped, $size bytes ($(awk "BEGIN { printf \"%.2f\", $size / 1e6 }") MB)"
# The budget of the x86_64 binary is 2.5 MB.
if [ "$arch" = x86_64 ] && [ "$size" -gt 2500000 ]; then die "$out is above its budget of 2,500,000 bytes"; fi
