#!/usr/bin/env bash
# guests.sh: the static binary on three small virtual machines, as it is used: copied over with a key
# and started. Guest 1 gets a folder; all three must end up with the same files. Then it gets a second
# one, guest 3 loses power in the middle of it, is started again and must catch up. Ends with 1 if
# anything differs.
#
# VM_TOOLS names the folder with `vm.py`, which boots the guests (default ../shared/vm; without it this
# is skipped). Guests may be emulated and slow: the times are for information, the bounds are wide.
# TINYPEER_BIN=path tries another static binary than the one it builds. MEM=96: MB of memory of each.
# PATIENCE=300: seconds that one step may take.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=${VM_TOOLS:-../shared/vm}
memory=${MEM:-96}
patience=${PATIENCE:-300}
place=/home/tc/workplace
# Each folder: one file of 10 MB and 40 of 256 KB.
files_in_folder=41

skip() { scripts/skip.sh guests "$1"; exit 0; }
[ -f "$tools/vm.py" ] || skip "VM_TOOLS names no folder with vm.py"
command -v python3 >/dev/null || skip 'needs python3'
[ "$(id -u)" = 0 ] || skip 'virtual machines and their network need root'
program=${TINYPEER_BIN:-}
[ -n "$program" ] || { scripts/build-static.sh; program=target/static/tinypeer-x86_64; }

vm() { python3 "$tools/vm.py" "$@"; }
guest() { vm exec "$1" --timeout $((patience + 30)) "cd $place && $2"; }
say() { printf 'guests: %s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    for number in 1 2 3; do
        printf -- '--- guest %s\n' "$number" >&2
        guest "$number" './tinypeer status; tail -n 15 log' >&2 || true
    done
    exit 1
}

if vm status >/dev/null 2>&1; then
    echo "guests: somebody else's guests are up; '$tools/vm.py down' ends them" >&2
    exit 1
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/tinypeer-guests.XXXXXX")
bring_down() {
    vm down || true
    case $work in */tinypeer-guests.*) rm -rf -- "$work" ;; esac
}
trap bring_down EXIT
trap 'exit 1' INT TERM HUP

rows=()
# timed WHAT COMMAND...: does it and keeps its time for the table.
timed() {
    local what=$1 begin=${EPOCHREALTIME/./} micros
    shift
    say "$what"
    "$@"
    micros=$((${EPOCHREALTIME/./} - begin))
    rows+=("$(printf '%-58s %8d.%d s' "$what" $((micros / 1000000)) $((micros / 100000 % 10)))")
}

boot() {
    # The setup of the tool names what it downloads and how long it took: only of interest when it fails.
    vm up 3 --mem "$memory" >"$work/up" 2>&1 || { cat "$work/up" >&2; fail 'the guests do not boot'; }
}

boot_again() { vm start 3 >"$work/up" 2>&1 || { cat "$work/up" >&2; fail 'guest 3 does not boot again'; }; }

install() {
    "$program" keygen "$work/key"
    for number in 1 2 3; do
        guest "$number" 'mkdir -p .tinypeer'
        vm put "$number" "$program" "$place/tinypeer"
        vm put "$number" "$work/key" "$place/.tinypeer/key"
        # A power cut must not take them away.
        guest "$number" sync
    done
}

start_peer() {
    local others
    others=$(for other in 1 2 3; do [ "$other" = "$1" ] || printf '10.97.0.%s\n' "$other"; done | paste -sd,)
    guest "$1" "./tinypeer --ip $others >>log 2>&1 &"
}

start_peers() { for number in 1 2 3; do start_peer "$number"; done; }

# make_folder NAME: straight into guest 1's share, while its tinypeer looks on.
make_folder() {
    guest 1 "mkdir -p share/$1/deep/deeper && cd share/$1 && dd if=/dev/urandom of=large bs=100k count=100 2>/dev/null &&
        for number in \$(seq 40); do
            case \$((number % 4)) in 0) folder=deep/deeper ;; 1) folder=deep ;; *) folder=. ;; esac
            dd if=/dev/urandom of=\$folder/small\$number bs=256k count=1 2>/dev/null || exit 1
        done" || fail "no folder could be made"
}

# Whether guest $1 says that all is in sync, with $2 files. A guest that has not heard of a change yet
# is in sync too: the number tells.
settled() {
    guest "$1" "./tinypeer status --json --wait $3" >"$work/status" && grep -q "\"files\":$2," "$work/status"
}

# wait_for FILES: until all three are in sync and have so many.
wait_for() {
    local end=$((SECONDS + patience))
    for number in 1 2 3; do
        until settled "$number" "$1" 30; do
            [ "$SECONDS" -lt "$end" ] || fail "guest $number has not all $1 files in sync after $patience s"
        done
    done
}

# What is in share/ of a guest, one line for each file (with its checksum) and folder.
listing() { guest "$1" 'cd share && { find . -type d; find . -type f -exec sha256sum {} +; } | sort -k 2'; }

# compare FILES: the three folders must be the same, and have so many files.
compare() {
    for number in 1 2 3; do listing "$number" >"$work/list$number" || fail "share/ of guest $number cannot be read"; done
    [ "$(grep -c '^[0-9a-f]\{64\} ' "$work/list1")" = "$1" ] || fail "guest 1 has not $1 files"
    for number in 2 3; do
        diff "$work/list1" "$work/list$number" >"$work/diff" ||
            { head -n 20 "$work/diff" >&2; fail "guest $number differs from guest 1"; }
    done
}

# Bytes of datagrams that guest 3 got since its tinypeer was started.
received() {
    guest 3 './tinypeer status --json' | grep -o '"bytes_received":[0-9]*' | cut -d: -f2 | awk '{ sum += $1 } END { print sum + 0 }'
}

cut_in_the_middle() {
    local before now end=$((SECONDS + patience))
    before=$(received)
    # So that there is a middle: 2.5 MB/s into guest 3.
    vm host tc qdisc add dev vm-tap3 root tbf rate 20mbit burst 32k latency 50ms ||
        say 'the way to guest 3 cannot be made slow'
    make_folder second
    until now=$(($(received) - before)) && [ "$now" -ge 6000000 ]; do
        [ "$SECONDS" -lt "$end" ] || fail 'the second folder does not come to guest 3'
    done
    vm kill 3
    cut_after=$now
    vm host tc qdisc del dev vm-tap3 root 2>/dev/null || true
    [ "$now" -lt 20000000 ] || fail "the power cut came too late: $now bytes had come"
}

# What a power cut leaves in share/ are whole files: lines that guest 1 has too.
check_after_cut() {
    listing 1 >"$work/list1"
    listing 3 >"$work/list3"
    grep -vxFf "$work/list1" "$work/list3" >"$work/diff" || return 0
    head -n 20 "$work/diff" >&2
    fail 'the power cut left something in share/ of guest 3 that guest 1 has not'
}

timed "three guests of $memory MB boot" boot
timed 'the binary and the key are copied over' install
timed 'tinypeer is started on each, all are connected' eval 'start_peers; wait_for 0'
timed '20 MB are written into share/ of guest 1' make_folder first
timed 'from then until all are in sync' wait_for "$files_in_folder"
timed 'checksums of all files on all guests are equal' compare "$files_in_folder"
timed '20 MB more; guest 3 loses power in the middle' cut_in_the_middle
timed 'guest 3 boots again' boot_again
timed 'what it has in share/ is whole' check_after_cut
timed 'tinypeer is started on it, until all are in sync' eval "start_peer 3; wait_for $((2 * files_in_folder))"
timed 'checksums of all files on all guests are equal' compare $((2 * files_in_folder))
after=$(received)

printf '\n%s\n\n' "binary: $(stat -c %s "$program") bytes"
printf '%-10s %14s %14s\n' guest 'VmRSS' 'VmHWM'
for number in 1 2 3; do
    vm mem "$number" tinypeer | sed -n 's/.*vmhwm=\([0-9]*\).*vmrss=\([0-9]*\).*/\2 \1/p' |
        { read -r resident peak && printf '%-10s %11d KB %11d KB\n' "$number" "$resident" "$peak"; }
done
printf '\n'
printf '%s\n' "${rows[@]}"
printf '\nguest 3 got %d KB of the second folder before the power cut and %d KB after it\n' \
    $((cut_after / 1000)) $((after / 1000))
say 'all three have the same files'
