#!/usr/bin/env python3
"""What compresses and what does not, from one machine to two others that are network namespaces: tinypeer with and
without encodings, against rsync -az. Prints a table of medians; compare the ratios. Needs root."""

import argparse
import bisect
import itertools
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import traceback

import rivals
from network import Network

# Name, kind of files, Mbit/s, rivals.
SCENARIOS = [
    ("text, 100 Mbit/s", "text", 100, ["tinypeer", "tinypeer_plain", "rsync_az", "rsync_az_in_turn"]),
    ("random bytes, 1 Gbit/s", "random", 1000, ["tinypeer", "tinypeer_plain"]),
    ("text, 1 Gbit/s", "text", 1000, ["tinypeer", "tinypeer_plain"]),
]
FILES = 20


def text(size, seed):
    """Words as often as in a language (Zipf): the n-th is used an n-th as often as the first."""
    rng = random.Random(seed)
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    frequent = list(itertools.accumulate(1 / (place + 1) for place in range(26)))

    def letter():
        return letters[bisect.bisect(frequent, rng.random() * frequent[-1])]

    words = ["".join(letter() for _ in range(rng.randint(1, 10))) for _ in range(20_000)]
    weights = list(itertools.accumulate(1 / (place + 1) for place in range(len(words))))
    lines, length = [], 0
    while length < size:
        line = " ".join(rng.choices(words, cum_weights=weights, k=12)) + "\n"
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


class Source(rivals.Source):
    """A folder of a few large files."""

    def __init__(self, path, kind, megabytes):
        super().__init__(path, 0, 0, 0)
        each = megabytes // FILES
        self.names = {f"{number:02}.{kind}": each for number in range(FILES)}
        for number, name in enumerate(self.names):
            size = each * 1_000_000
            (self.path / name).write_bytes(text(size, number) if kind == "text" else os.urandom(size))
        self.size = each * 1_000_000 * FILES


def tinypeer(network, source, base, program):
    return rivals.tinypeer(network, source, base, program)


def tinypeer_plain(network, source, base, program):
    plain = base / "plain"
    plain.write_text(f'#!/bin/sh\ncase "$1" in --dir) exec {program} "$@" --no-compress;; esac\nexec {program} "$@"\n')
    plain.chmod(0o755)
    return rivals.tinypeer(network, source, base, plain)


def rsync_az(network, source, base, program):
    return rivals.rsync(network, source, base, program, ["-az"])


def rsync_az_in_turn(network, source, base, program):
    return rivals.rsync(network, source, base, program, ["-az"], at_once=False)


def measure(rate, rival, source, program, work):
    base = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with Network(3, rate) as network:
            return globals()[rival](network, source, base, program)
    except Exception:
        traceback.print_exc()
        return None
    finally:
        shutil.rmtree(base, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root; run it as root")
    program = pathlib.Path(arguments.program).resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-bench."))
    sources = {}
    try:
        for name, kind, rate, among in SCENARIOS:
            if arguments.only not in name:
                continue
            if kind not in sources:
                sources[kind] = Source(work / kind, kind, arguments.megabytes)
            results = {rival: [] for rival in among if rival.startswith("tinypeer") or shutil.which("rsync")}
            for number in range(arguments.rounds):
                for rival, runs in results.items():
                    seen = measure(rate, rival, sources[kind], program, work)
                    if seen:
                        runs.append(seen)
                        figures = ", ".join(f"{field} {value:.2f}" for field, value in seen.items())
                        print(f"bench: {name}: round {number + 1}: {rival}: {figures}", flush=True)
            print(f"\n### {name}, two receivers, {arguments.megabytes} MB, medians of {arguments.rounds}\n")
            print("| | wall, s | processor, s | peak, MB | copies sent by the source |\n|---|---|---|---|---|")
            for rival, runs in results.items():
                if runs:
                    wall, cpu, memory, copies = (
                        statistics.median(run[field] for run in runs) for field in ("wall", "cpu", "memory", "copies"))
                    print(f"| {rival} | {wall:.2f} | {cpu:.2f} | {memory:.1f} | {copies:.2f} |")
            print(flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
