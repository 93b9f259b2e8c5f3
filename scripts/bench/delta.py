#!/usr/bin/env python3
"""What small changes of large files and moves of folders cost on the wire between three machines that
are network namespaces, for tinypeer and rsync. Bytes are those that each receiver's kernel counted,
headers and all. Needs root."""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from network import Network, peak, processor, wait

MACHINES = 3


def received(network, machine):
    words = network.within(machine, ["cat", "/sys/class/net/eth0/statistics/rx_bytes"])
    return int(subprocess.run(words, check=True, capture_output=True).stdout)


def write(path, size):
    with open(path, "wb") as file:
        for _ in range(size // 1_000_000):
            file.write(os.urandom(1_000_000))


def folder(path, files, size):
    """So many small files in 100 folders."""
    for number in range(files):
        parent = path / f"{number % 100:02}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"{number}.dat").write_bytes(os.urandom(size))


def overwrite(path):
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(1000))


def insert(path):
    fresh = path.with_name(".insert.tmp")
    with open(fresh, "wb") as file:
        file.write(b"!")
        file.write(path.read_bytes())
    fresh.rename(path)


def append(path):
    with open(path, "ab") as file:
        file.write(os.urandom(1_000_000))


CHANGES = [
    ("1 KB overwritten in the middle", lambda share: overwrite(share / "large.bin")),
    ("1 byte inserted at the start", lambda share: insert(share / "large.bin")),
    ("1 MB appended", lambda share: append(share / "large.bin")),
    ("file copied", lambda share: shutil.copy2(share / "large.bin", share / "copy.bin")),
    ("file moved", lambda share: (share / "large.bin").rename(share / "moved.bin")),
    ("folder moved", lambda share: (share / "dir").rename(share / "dir2")),
    ("folder copied", lambda share: subprocess.run(["cp", "-r", share / "dir2", share / "dir3"], check=True)),
]


def same(one, other):
    words = ["diff", "-rq", "--no-dereference", one, other]
    return subprocess.run(words, capture_output=True).returncode == 0


def listing(path):
    """Names, sizes and times, cheap enough to be looked at often."""
    found = {}
    for parent, _, names in os.walk(path):
        for name in names:
            try:
                stat = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                return None
            found[os.path.relpath(os.path.join(parent, name), path)] = (stat.st_size, stat.st_mtime_ns)
    return found


def tinypeer(network, base, program, fill):
    key = base / "key"
    subprocess.run([program, "keygen", key], check=True, stdout=subprocess.DEVNULL)
    machines = range(1, network.count + 1)
    shares = [base / str(machine) / "share" for machine in machines]
    fill(shares[0])
    processes = []
    for machine in machines:
        others = ",".join(network.address(other) for other in machines if other != machine)
        shares[machine - 1].mkdir(parents=True, exist_ok=True)
        words = [program, "--dir", base / str(machine), "--ip", others, "--key-file", key]
        processes.append(network.start(machine, words, base / f"{machine}.log"))

    def in_sync():
        status = lambda machine: [program, "status", "--dir", base / str(machine), "--wait", "1"]
        return all(subprocess.run(status(machine), capture_output=True).returncode == 0 for machine in machines)

    wait(in_sync, "peers in sync", 120)
    for name, change in CHANGES:
        used = sum(map(processor, processes))
        before = [received(network, machine) for machine in machines]
        begin = time.monotonic()
        change(shares[0])
        wanted = listing(shares[0])
        wait(lambda: all(listing(share) == wanted for share in shares[1:]), name, 120)
        wall = time.monotonic() - begin
        wait(in_sync, "peers in sync", 120)
        after = [received(network, machine) for machine in machines]
        if not all(same(shares[0], share) for share in shares[1:]):
            raise RuntimeError(f"{name}: folders differ")
        each = [after[place] - before[place] for place in range(1, network.count)]
        yield name, max(each), wall, sum(map(processor, processes)) - used
    print("peak memory, MB:", ", ".join(f"{peak(process):.1f}" for process in processes), flush=True)


def rsync(network, base, _program, fill):
    """A daemon at machine 1; the others pull one after the other. No option finds what was moved."""
    source = base / "source"
    fill(source)
    config = base / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[source]\npath = {source}\n")
    words = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--address={network.address(1)}"]
    network.start(1, words, base / "daemon.log")
    time.sleep(0.3)

    def pull(machine):
        words = ["rsync", "-a", "--delete", f"rsync://{network.address(1)}/source/", f"{base}/{machine}/"]
        subprocess.run(network.within(machine, words), check=True)

    machines = range(2, network.count + 1)
    for machine in machines:
        (base / str(machine)).mkdir()
        pull(machine)
    for name, change in CHANGES:
        before = [received(network, machine) for machine in machines]
        sent = [network.sent(machine) for machine in machines]
        time.sleep(1.1)  # so that the times differ in whole seconds
        change(source)
        begin = time.monotonic()
        for machine in machines:
            pull(machine)
        wall = time.monotonic() - begin
        each = [received(network, machine) - old for machine, old in zip(machines, before)]
        # What the receiver tells of its blocks goes the other way.
        back = [network.sent(machine) - old for machine, old in zip(machines, sent)]
        yield name, max(map(sum, zip(each, back))), wall, 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=100, help="MB of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="files of 4 KB in the folder")
    parser.add_argument("--rivals", default="tinypeer,rsync")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("delta: network namespaces need root; run it as root")
    program = pathlib.Path(arguments.program).resolve()

    def fill(share):
        share.mkdir(parents=True)
        write(share / "large.bin", arguments.large * 1_000_000)
        folder(share / "dir", arguments.files, 4096)

    results = {}
    for number in range(arguments.rounds):
        for rival in arguments.rivals.split(","):
            base = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-delta."))
            try:
                with Network(MACHINES) as network:
                    for name, each, wall, cpu in globals()[rival](network, base, program, fill):
                        print(f"{rival}: {name}: {each} bytes, {wall:.2f} s, processor {cpu:.2f} s", flush=True)
                        results.setdefault(name, {}).setdefault(rival, []).append((each, wall))
            except TimeoutError as error:
                print(f"{rival}: gave up: {error}", flush=True)
                for log in base.glob("*.log"):
                    print(f"{log.name}: {log.read_text(errors='replace')[-800:]}", flush=True)
            finally:
                shutil.rmtree(base, ignore_errors=True)
    print("\n| change | tool | bytes at a receiver | seconds |\n|---|---|---|---|")
    for name, rivals in results.items():
        for rival, runs in rivals.items():
            each, wall = (statistics.median(run[place] for run in runs) for place in (0, 1))
            print(f"| {name} | {rival} | {each:,.0f} | {wall:.2f} |")


if __name__ == "__main__":
    main()
