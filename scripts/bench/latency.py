#!/usr/bin/env python3
"""How soon a line that is added to a file of 100 bytes is on both other machines (network namespaces): while
nothing else goes on, and while a large file is on its way at 100 Mbit/s. Prints median, p95 and worst. Needs root."""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import rivals
from network import Network, processor

MACHINES = 3
# Shares of a machine's folder are looked at this often, in seconds.
LOOK = 0.0002


def tinypeer(network, base, program):
    return rivals.start_tinypeer(network, base, program)


def syncthing(network, base, _program):
    processes = rivals.start_syncthing(network, base, 0.1)
    time.sleep(3)
    return processes


def arrive(base, lines, pause, bound):
    """Seconds until each of some lines is on all other machines."""
    source = base / "1" / "share" / "lines.txt"
    others = [base / str(machine) / "share" / "lines.txt" for machine in range(2, MACHINES + 1)]
    text = source.read_bytes() if source.exists() else b""
    seen = []
    for number in range(lines):
        time.sleep(pause)
        # About 100 bytes: the file begins anew with each tenth line.
        text = (b"" if number % 10 == 0 else text) + f"line {number:5}\n".encode()
        begin = time.monotonic()
        source.write_bytes(text)
        missing = list(others)
        while missing:
            missing = [path for path in missing if not path.exists() or path.read_bytes() != text]
            if time.monotonic() - begin > bound:
                raise TimeoutError(f"line {number}")
            if missing:
                time.sleep(LOOK)
        seen.append(time.monotonic() - begin)
    return seen


def told(name, rival, seen):
    seen = sorted(value * 1000 for value in seen)
    p95 = seen[min(len(seen) - 1, round(0.95 * len(seen)))]
    return f"| {name} | {rival} | {statistics.median(seen):.1f} | {p95:.1f} | {seen[-1]:.1f} |"


def measure(rival, program, arguments, work):
    """The lines of the table for one program."""
    table = []
    base = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with Network(MACHINES) as network:
            processes = globals()[rival](network, base, program)
            arrive(base, 3, 0.5, 60)
            table.append(told("idle", rival, arrive(base, arguments.lines, arguments.pause, 60)))
            before, begin = sum(map(processor, processes)), time.monotonic()
            time.sleep(arguments.idle)
            used = (sum(map(processor, processes)) - before) / (time.monotonic() - begin) / MACHINES
            print(f"latency: {rival}: {used * 100:.2f} % of a processor for each when idle", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    if not arguments.large:
        return table
    base = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with Network(MACHINES, 100) as network:
            globals()[rival](network, base, program)
            arrive(base, 3, 0.5, 60)
            large = base / "1" / "large"
            with open(large, "wb") as file:
                for _ in range(arguments.large):
                    file.write(os.urandom(1_000_000))
            large.rename(base / "1" / "share" / "large")
            # It is hashed first, and then under way for a minute.
            time.sleep(4)
            seen = arrive(base, arguments.lines, arguments.pause, 60)
            landed = [(base / str(machine) / "share" / "large").exists() for machine in range(2, MACHINES + 1)]
            if any(landed):
                raise RuntimeError("the large file was there before the lines: make it larger")
            table.append(told(f"{arguments.large} MB under way at 100 Mbit/s", rival, seen))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two lines")
    parser.add_argument("--idle", type=float, default=10, help="seconds for which the idle processor time is measured")
    parser.add_argument("--large", type=int, default=650, help="MB of the large file; 0: only idle")
    parser.add_argument("--rivals", default="tinypeer,syncthing", help="which, by comma")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("latency: network namespaces need root; run it as root")
    program = pathlib.Path(arguments.program).resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-latency."))
    table = [f"A line on both others, milliseconds, of {arguments.lines}.\n", "| | | median | p95 | worst |", "|---|---|---|---|---|"]
    try:
        for rival in arguments.rivals.split(","):
            if rival != "tinypeer" and not shutil.which(rival):
                print(f"latency: skipped {rival}, which is not installed")
                continue
            table += measure(rival, program, arguments, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n".join(table))


if __name__ == "__main__":
    main()
