#!/usr/bin/env bash
# bench.sh [MB]: one file of MB (default 650) and 50 of 100 KB from one machine to another, each a
# network namespace: tinypeer against a plain rsync daemon. Prints times, processor time of both
# sides, peak memory of the receiver, and the ratios. Figures of one machine: compare the ratios.
#
# ROUNDS=3 runs of each, in turn; the fastest counts. RATE=100mbit limits the link.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
megabytes=${1:-650}
rounds=${ROUNDS:-3}
program=${TINYPEER_BIN:-$PWD/target/release/tinypeer}

if [ "$(id -u)" != 0 ]; then
    echo 'bench: network namespaces need root; run it as root' >&2
    exit 1
fi
for tool in ip python3; do
    command -v "$tool" >/dev/null || { echo "bench: needs $tool" >&2; exit 1; }
done

name=tpbench-$$
work=$(mktemp -d "${TMPDIR:-/tmp}/tinypeer-bench.XXXXXX")
pids=()
cleanup() {
    for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill -9 "$pid" 2>/dev/null || true; done
    ip netns del "$name-1" 2>/dev/null || true
    ip netns del "$name-2" 2>/dev/null || true
    case $work in */tinypeer-bench.*) rm -rf -- "$work" ;; esac
}
trap cleanup EXIT

ip netns add "$name-1"
ip netns add "$name-2"
ip -n "$name-1" link add eth0 type veth peer name eth0 netns "$name-2"
for host in 1 2; do
    ip -n "$name-$host" addr add "10.78.0.$host/24" dev eth0
    ip -n "$name-$host" link set lo up
    ip -n "$name-$host" link set eth0 up
    if [ -n "${RATE:-}" ]; then
        tc -n "$name-$host" qdisc add dev eth0 root tbf rate "$RATE" burst 128k latency 50ms
    fi
done
within() { ip netns exec "$name-$1" "${@:2}"; }
# A function put into the background has a shell of its own as its process, which must become the
# program: else neither its memory nor a signal is the program's.
become_within() { exec ip netns exec "$name-$1" "${@:2}"; }

echo "bench: making $megabytes MB"
mkdir -p "$work/source/small"
head -c "${megabytes}000000" /dev/urandom >"$work/source/large.bin"
for number in $(seq 50); do head -c 100000 /dev/urandom >"$work/source/small/$number.bin"; done

# Processor seconds of a process and of the children it waited for.
cpu() {
    python3 - "$@" <<'PYTHON'
import os, sys
ticks = 0
for pid in sys.argv[1:]:
    try:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])
    except FileNotFoundError:
        pass
print(f"{ticks / os.sysconf('SC_CLK_TCK'):.2f}")
PYTHON
}
peak() { awk '/^VmHWM/ { printf "%.1f\n", $2 * 1024 / 1e6 }' "/proc/$1/status"; }
now() { date +%s.%N; }
seconds_between() { awk "BEGIN { printf \"%.2f\", $2 - $1 }"; }

# Each run prints: wall seconds, processor seconds, peak memory of the receiver in MB.
run_tinypeer() {
    local base=$work/tinypeer start end host
    rm -rf -- "$base"
    mkdir -p "$base/1/share" "$base/2/share"
    "$program" keygen "$base/key"
    local own=()
    for host in 1 2; do
        become_within "$host" "$program" --dir "$base/$host" --ip "10.78.0.$((3 - host))" --key-file "$base/key" -q \
            >"$base/$host.log" 2>&1 &
        own+=($!)
        pids+=($!)
    done
    start=$(now)
    until "$program" status --dir "$base/2" --wait 20 >/dev/null 2>&1; do
        if awk "BEGIN { exit !($(now) - $start > 20) }"; then tail -5 "$base"/*.log >&2; return 1; fi
        sleep 0.05
    done
    cp -a "$work/source" "$base/staged"
    sync
    local before
    before=$(cpu "${own[@]}")
    start=$(now)
    mv "$base/staged" "$base/1/share/source"
    until [ -e "$base/2/share/source/large.bin" ] && [ "$(ls "$base/2/share/source/small" 2>/dev/null | wc -l)" = 50 ]; do
        kill -0 "${own[0]}" && kill -0 "${own[1]}" || { tail -5 "$base"/*.log >&2; return 1; }
        if awk "BEGIN { exit !($(now) - $start > 600) }"; then echo 'bench: not within 600 s' >&2; return 1; fi
        sleep 0.01
    done
    end=$(now)
    printf '%s %s %s\n' "$(seconds_between "$start" "$end")" \
        "$(awk "BEGIN { print $(cpu "${own[@]}") - $before }")" "$(peak "${own[1]}")"
    kill "${own[@]}"
    wait "${own[@]}" || true
    cmp "$work/source/large.bin" "$base/2/share/source/large.bin" || return 1
    diff -r "$work/source/small" "$base/2/share/source/small" || return 1
}

# The receiver pulls from a daemon, as a peer does; no compression, whole files, as on a first copy.
run_rsync() {
    local base=$work/rsync start end
    rm -rf -- "$base"
    mkdir -p "$base/received"
    printf 'use chroot = no\nuid = 0\ngid = 0\n[source]\npath = %s\n' "$work/source" >"$base/rsyncd.conf"
    become_within 1 rsync --daemon --no-detach --config="$base/rsyncd.conf" --address=10.78.0.1 >"$base/log" 2>&1 &
    local daemon=$!
    pids+=("$daemon")
    sleep 0.3
    sync
    start=$(now)
    # The fields of `times` of a child: user and system seconds; maxrss in KB.
    local used
    used=$(within 2 python3 - "$base/received/" <<'PYTHON'
import resource, subprocess, sys
subprocess.run(["rsync", "-a", "--whole-file", "--fsync", "rsync://10.78.0.1/source/", sys.argv[1]], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)
PYTHON
    )
    end=$(now)
    sleep 0.2
    printf '%s %s %.1f\n' "$(seconds_between "$start" "$end")" \
        "$(awk "BEGIN { print $(cpu "$daemon") + ${used% *} }")" "${used#* }"
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    cmp "$work/source/large.bin" "$base/received/large.bin" || return 1
}

rivals=(tinypeer)
if command -v rsync >/dev/null; then rivals+=(rsync); else echo 'bench: no rsync here: tinypeer alone'; fi
if [ -n "${ONLY:-}" ]; then rivals=("$ONLY"); fi
for round in $(seq "$rounds"); do
    for rival in "${rivals[@]}"; do
        "run_$rival" >"$work/result"
        tee -a "$work/$rival.results" <"$work/result" | sed "s/^/bench: round $round: $rival: /"
    done
done

printf '\n%-10s %8s %8s %8s %14s\n' "$megabytes MB" 'wall s' 'MB/s' 'cpu s' 'receiver MB'
for rival in "${rivals[@]}"; do
    sort -n "$work/$rival.results" | head -1 | awk -v rival="$rival" -v size="$megabytes" \
        '{ printf "%-10s %8.2f %8.0f %8.2f %14.1f\n", rival, $1, (size + 5) / $1, $2, $3 }'
done
if [ ${#rivals[@]} = 2 ]; then
    paste -d' ' <(sort -n "$work/tinypeer.results" | head -1) <(sort -n "$work/rsync.results" | head -1) |
        awk '{ printf "%-10s %8.2f %8s %8.2f %14.2f\n", "ratio", $1 / $4, "", $2 / $5, $3 / $6 }'
fi
