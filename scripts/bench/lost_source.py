#!/usr/bin/env python3
"""What it costs that one of two sources is killed (kill -9) in the middle of a transfer: 650 MB on machines 1 and 2
come to machine 3, without a kill and with one, in alternation. Prints medians and how long nothing came at the longest,
looked at every 10 ms. Needs root."""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rivals
from network import Network, wait, warm

RATES = [("1 Gbit/s", 1000), ("unlimited", None)]
LOOK = 0.01


def start(network, base, program, machine):
    others = ",".join(network.address(other) for other in (1, 2, 3) if other != machine)
    (base / str(machine) / "share").mkdir(parents=True)
    words = [program, "--dir", base / str(machine), "--ip", others, "--key-file", base / "key", "-q"]
    return network.start(machine, words, base / f"{machine}.log")


def came(network):
    """Bytes that machine 3 has received, with all headers."""
    words = network.within(3, ["cat", "/sys/class/net/eth0/statistics/rx_bytes"])
    return int(subprocess.run(words, check=True, capture_output=True).stdout)


def run(rate, kill, source, program, work):
    """Seconds until all is on machine 3, and the longest time in which nothing came after the kill, or after the middle."""
    base = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with Network(3, rate) as network:
            subprocess.run([program, "keygen", base / "key"], check=True, stdout=subprocess.DEVNULL)
            start(network, base, program, 1)
            second = start(network, base, program, 2)
            rivals.stage(source, base).rename(base / "1" / "share" / "source")
            wait(lambda: source.is_in(base / "2" / "share" / "source"), "the second source")
            subprocess.run(["sync"], check=True)
            warm(source.size)
            begin = time.monotonic()
            start(network, base, program, 3)
            wait(lambda: came(network) > source.size / 2, "half of it")
            if kill:
                second.kill()
            longest, last, seen = 0.0, time.monotonic(), came(network)
            while not source.is_in(base / "3" / "share" / "source"):
                time.sleep(LOOK)
                now, bytes_now = time.monotonic(), came(network)
                # A few datagrams are heartbeats.
                if bytes_now > seen + 100_000:
                    last, seen = now, bytes_now
                longest = max(longest, now - last)
            took = time.monotonic() - begin
            rivals.same(source, [base / "3" / "share" / "source"])
            return took, longest
    finally:
        shutil.rmtree(base, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lost_source: network namespaces need root; run it as root")
    program = pathlib.Path(arguments.program).resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-bench."))
    table = ["| | both stay, s | one is killed, s | lost, s | longest pause, s |", "|---|---|---|---|---|"]
    try:
        source = rivals.Source(work / "source", 400, 5, 50)
        for name, rate in RATES:
            runs = {False: [], True: []}
            for _ in range(arguments.rounds):
                for kill, seen in runs.items():
                    seen.append(run(rate, kill, source, program, work))
                    print(f"lost_source: {name}: {'killed' if kill else 'both stay'}: {seen[-1][0]:.2f} s, "
                          f"longest pause {seen[-1][1]:.2f}", flush=True)
            stay, killed = (statistics.median(took for took, _ in runs[kill]) for kill in (False, True))
            pause = max(longest for _, longest in runs[True])
            table.append(f"| {name} | {stay:.2f} | {killed:.2f} | {killed - stay:.2f} | {pause:.2f} |")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n".join(table))


if __name__ == "__main__":
    main()
