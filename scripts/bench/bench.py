#!/usr/bin/env python3
"""650 MB, or many small files, between machines that are network namespaces: tinypeer against what else is
installed, in alternation. Prints a table of medians; figures of one machine: compare the ratios. Needs root."""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
import traceback

import rivals
from network import Network
from small_files import SmallFiles

# Name, receivers, Mbit/s, loss in percent, rivals; of small files also how many folders of 100, and bytes of each.
SCENARIOS = [
    ("one receiver", 1, None, 0, ["tinypeer", "rsync", "rsync_fsync", "iperf3"]),
    ("two receivers", 2, None, 0, ["tinypeer", "rsync", "rsync_fsync", "syncthing"]),
    ("two receivers, 1 Gbit/s", 2, 1000, 0, ["tinypeer", "rsync", "syncthing"]),
    ("seven receivers, 1 Gbit/s", 7, 1000, 0, ["tinypeer"]),
    ("one receiver, 1 Gbit/s", 1, 1000, 0, ["tinypeer", "rsync", "iperf3", "iperf3_bbr"]),
    ("one receiver, 1 Gbit/s, 1 % loss", 1, 1000, 1, ["tinypeer", "iperf3", "iperf3_bbr"]),
    ("one receiver, 1 Gbit/s, 5 % loss", 1, 1000, 5, ["tinypeer", "iperf3", "iperf3_bbr"]),
    ("10,000 small files, two receivers", 2, None, 0,
     ["tinypeer", "tinypeer_full", "tinypeer_none", "rsync_each", "syncthing"], (100, 4096)),
    ("10,000 small files, two receivers, 1 Gbit/s", 2, 1000, 0, ["tinypeer", "rsync_each", "syncthing"], (100, 4096)),
    ("10,000 small files, two receivers, 100 Mbit/s", 2, 100, 0, ["tinypeer", "rsync"], (100, 4096)),
    ("10,000 small files, seven receivers, 100 Mbit/s", 7, 100, 0, ["tinypeer", "rsync"], (100, 4096)),
    ("100,000 small files, two receivers", 2, None, 0, ["tinypeer", "rsync_each"], (1000, 1024)),
]


def is_wanted(name, only):
    return name == only[1:] if only.startswith("=") else only in name


def is_here(rival, program):
    """Whether a rival is installed."""
    return rival.startswith("tinypeer") and program or shutil.which(rival.split("_")[0])


def measure(scenario, rival, source, program, work):
    name, count, rate, loss = scenario[:4]
    base = pathlib.Path(tempfile.mkdtemp(dir=work))
    try:
        with Network(count + 1, rate, loss) as network:
            return getattr(rivals, rival)(network, source, base, program)
    except Exception:
        traceback.print_exc()
        for log in base.glob("*.log"):
            print(f"{log.name}: {log.read_text(errors='replace')[-500:]}", file=sys.stderr)
        return None
    finally:
        # Many small files stay until the end: ext4 without a journal searches all inodes that were freed in the last
        # minutes for each file that is made, and whoever comes next would pay for it.
        if len(scenario) == 5:
            shutil.rmtree(base, ignore_errors=True)


def table(scenario, results):
    """The lines of one scenario."""
    lines = [f"\n### {scenario[0]}\n", "| | wall, s | spread | processor, s | peak, MB | copies sent by the source |",
             "|---|---|---|---|---|---|"]
    own = results.get("tinypeer")
    for rival, runs in results.items():
        if not runs:
            lines.append(f"| {rival} | failed | | | | |")
            continue
        median = {field: statistics.median(run[field] for run in runs) for field in runs[0]}
        walls = sorted(run["wall"] for run in runs)
        ratio = ""
        if own and rival != "tinypeer":
            ratio = f" (tinypeer: {statistics.median(run['wall'] for run in own) / median['wall']:.2f} of it)"
        if rival.startswith("iperf3"):
            lines.append(f"| {rival} | {median['wall']:.2f}{ratio} | {walls[0]:.2f} to {walls[-1]:.2f} | | | |")
        else:
            lines.append(f"| {rival} | {median['wall']:.2f}{ratio} | {walls[0]:.2f} to {walls[-1]:.2f} "
                         f"| {median['cpu']:.2f} | {median['memory']:.1f} | {median['copies']:.2f} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/release/tinypeer", help="the tinypeer to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=400, help="MB of the large file")
    parser.add_argument("--small", type=int, default=5, help="MB of each of the 50 others")
    parser.add_argument("--only", default="", help="scenarios whose name contains this, or is =this")
    parser.add_argument("--rivals", default="", help="only these, by comma")
    parser.add_argument("--out", help="a file for the table")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces need root; run it as root")
    program = pathlib.Path(arguments.program).resolve()
    wanted = [scenario for scenario in SCENARIOS if is_wanted(scenario[0], arguments.only)]
    work = pathlib.Path(tempfile.mkdtemp(prefix="tinypeer-bench."))
    lines = [f"Medians of {arguments.rounds}; {os.cpu_count()} cores, Linux {platform.release()}, "
             f"{arguments.large} MB and 50 files of {arguments.small} MB."]
    try:
        sources = {}
        for scenario in wanted:
            small = scenario[5:]
            if small not in sources:
                path = work / f"source{len(sources)}"
                sources[small] = SmallFiles(path, *small[0]) if small else rivals.Source(
                    path, arguments.large, arguments.small, 50)
            source = sources[small]
            among = [rival for rival in scenario[4] if not arguments.rivals or rival in arguments.rivals.split(",")]
            for rival in [rival for rival in among if not is_here(rival, program)]:
                print(f"bench: {scenario[0]}: skipped {rival}, which is not installed")
            results = {rival: [] for rival in among if is_here(rival, program)}
            for number in range(arguments.rounds):
                for rival, runs in results.items():
                    seen = measure(scenario, rival, source, program, work)
                    if seen:
                        runs.append(seen)
                        figures = ", ".join(f"{name} {value:.2f}" for name, value in seen.items())
                        print(f"bench: {scenario[0]}: round {number + 1}: {rival}: {figures}", flush=True)
            lines += table(scenario, results)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        pathlib.Path(arguments.out).write_text(text)


if __name__ == "__main__":
    main()
