#!/usr/bin/env bash
# Installs what the tests need beyond Rust, a C compiler and Python, as far as that can be done. What
# cannot be installed is no error: the cases that need it are skipped and say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'prepare: %s\n' "$*"; }

if ! command -v cargo >/dev/null; then
    say 'there is no cargo: install Rust 1.95 or later (https://rustup.rs)' >&2
    exit 1
fi
for component in rustfmt clippy; do
    tool=$([ "$component" = rustfmt ] && echo cargo-fmt || echo cargo-clippy)
    if ! "$tool" --version >/dev/null 2>&1; then
        say "installing $component"
        rustup component add "$component" || { say "$component cannot be installed" >&2; exit 1; }
    fi
done

# program:package that has it
missing=()
for pair in ip:iproute2 tc:iproute2 iptables:iptables ethtool:ethtool cc:gcc nm:binutils; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing ${missing[*]}"
        install() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1; }
        install || { apt-get update -qq >/dev/null 2>&1 && install; } || say "could not install ${missing[*]}"
    else
        say "not root: ${missing[*]} cannot be installed"
    fi
fi
