#!/usr/bin/env python3
"""What a source holds up whose disk is slow and whose memory has nothing of what is asked for: a large file that is in
its index comes to another machine, while lines are written at the source. Its disk reads so many MB/s (the blkio
controller of the first cgroups). Prints a table. Needs root."""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rivals
from network import Network, wait

BLKIO = pathlib.Path("/sys/fs/cgroup/blkio")
MEGABYTE = 1_000_000
RATES = (20, 100)
# Between two lines, and between two looks for one, in seconds.
PAUSE, LOOK = 0.1, 0.0005


def start(network, base, program, machine):
    (base / str(machine) / "share").mkdir(parents=True, exist_ok=True)
    words = [program, "--dir", base / str(machine), "--ip", network.address(3 - machine), "--key-file", base / "key", "-v"]
    return network.start(machine, words, base / f"{machine}.log")


def slow_down(process, rate, path):
    """Lets a process read no more than so many bytes in a second from the disk that has a file. The group to remove."""
    group = BLKIO / f"tinypeer-bench-{os.getpid()}"
    group.mkdir(exist_ok=True)
    device = os.stat(path).st_dev
    (group / "blkio.throttle.read_bps_device").write_text(f"{os.major(device)}:{os.minor(device)} {rate}")
    (group / "cgroup.procs").write_text(str(process.pid))
    return group


def indexed(base, program):
    """How many files the source has in its index."""
    told = subprocess.run([program, "status", "--dir", base / "1", "--json"], capture_output=True, text=True)
    found = re.search(r'"files":\s*(\d+)', told.stdout)
    return int(found.group(1)) if found else 0


def lines(base):
    """Writes lines until the file is there: seconds until each was on the other machine."""
    here, there, seen = base / "1" / "share" / "note", base / "2" / "share", []
    while not (there / "large").exists():
        time.sleep(PAUSE)
        text = f"line {len(seen)}\n".encode()
        begin = time.monotonic()
        here.write_bytes(text)
        while not ((there / "note").exists() and (there / "note").read_bytes() == text):
            if time.monotonic() - begin > 60:
                raise TimeoutError(f"line {len(seen)}")
            time.sleep(LOOK)
        seen.append(time.monotonic() - begin)
    return seen


def run(rate, size, program, work):
    """Seconds until the file is there, those that each line took, and the longest turn of the source in ms."""
    base, group = pathlib.Path(tempfile.mkdtemp(dir=work)), None
    try:
        with Network(2, 1000) as network:
            subprocess.run([program, "keygen", base / "key"], check=True, stdout=subprocess.DEVNULL)
            large = next(rivals.Source(base / "1" / "share", size, 0, 0).path.iterdir())
            large = large.rename(large.with_name("large"))
            source = start(network, base, program, 1)
            wait(lambda: indexed(base, program) == 1, "the index")
            subprocess.run(["sync"], check=True)
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("1")
            group = slow_down(source, rate * MEGABYTE, large)
            begin = time.monotonic()
            start(network, base, program, 2)
            downloads = base / "2" / "download"
            wait(lambda: downloads.is_dir() and any(downloads.iterdir()), "its begin")
            seen = lines(base)
            took = time.monotonic() - begin
            subprocess.run(["cmp", large, base / "2" / "share" / "large"], check=True)
            source.terminate()
            source.wait()
            longest = re.findall(r"turns of the loop: .*?the longest ([\d.]+) ms", (base / "1.log").read_text())
            return took, seen, float(longest[-1])
    finally:
        shutil.rmtree(base, ignore_errors=True)
        if group:
            group.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="what the disk takes to read the file")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("cold_source: network namespaces need root; run it as root")
    if not BLKIO.is_dir():
        sys.exit(f"cold_source: there is no {BLKIO}, which slows a disk down")
    program = pathlib.Path(arguments.program).resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-bench."))
    table = ["| the disk reads | until the file is there, s | lines: median, worst, ms | longest turn of the loop, ms |",
             "|---|---|---|---|"]
    try:
        for rate in RATES:
            runs = [run(rate, rate * arguments.seconds, program, work) for _ in range(arguments.rounds)]
            took = statistics.median(took for took, _, _ in runs)
            seen = [1000 * late for _, late, _ in runs for late in late]
            longest = max(longest for _, _, longest in runs)
            table.append(f"| {rate} MB/s | {took:.2f} | {statistics.median(seen):.0f}, {max(seen):.0f} | {longest:.0f} |")
            print(table[-1], flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n".join(table))


if __name__ == "__main__":
    main()
