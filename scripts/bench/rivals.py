"""One copy of a folder from machine 1 to all others, by each tool. Each function gives what was seen:
wall and processor seconds (all machines), peak resident memory of the largest process in MB, and how
many times the folder's size machine 1 sent."""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import time

from network import peak, processor, wait, warm


class Seen(dict):
    """Figures of one run by name."""


def receivers(network):
    return range(2, network.count + 1)


def stage(source, base):
    """A copy of the source on the same file system, so that it can appear at once; flushed."""
    staged = base / "staged"
    shutil.copytree(source.path, staged)
    subprocess.run(["sync"], check=True)
    return staged


def finish(network, processes, begin, before, sent, source):
    wall = time.monotonic() - begin
    return Seen(
        wall=wall,
        cpu=sum(map(processor, processes)) - before,
        memory=max(map(peak, processes)),
        copies=(network.sent(1) - sent) / source.size,
    )


def same(source, places):
    for place in places:
        subprocess.run(["diff", "-rq", source.path, place], check=True)


def start_tinypeer(network, base, program, options=()):
    """One on each machine, connected; the processes."""
    key = base / "key"
    subprocess.run([program, "keygen", key], check=True, stdout=subprocess.DEVNULL)
    processes = []
    for machine in range(1, network.count + 1):
        others = ",".join(network.address(other) for other in range(1, network.count + 1) if other != machine)
        (base / str(machine) / "share").mkdir(parents=True)
        words = [program, "--dir", base / str(machine), "--ip", others, "--key-file", key, "-q", *options]
        processes.append(network.start(machine, words, base / f"{machine}.log"))
    status = [program, "status", "--dir", base / "1", "--wait", "20"]
    wait(lambda: subprocess.run(status, capture_output=True).returncode == 0, "peers in sync", 60)
    return processes


def tinypeer(network, source, base, program, options=()):
    processes = start_tinypeer(network, base, program, options)
    staged = stage(source, base)
    before, sent = sum(map(processor, processes)), network.sent(1)
    warm(source.size * network.count)
    begin = time.monotonic()
    staged.rename(base / "1" / "share" / "source")
    places = [base / str(machine) / "share" / "source" for machine in receivers(network)]
    wait(lambda: all(source.is_in(place) for place in places), "all files")
    seen = finish(network, processes, begin, before, sent, source)
    same(source, places)
    return seen


def tinypeer_full(network, source, base, program):
    """Each file is flushed by itself."""
    return tinypeer(network, source, base, program, ["--durability", "full"])


def tinypeer_none(network, source, base, program):
    """What lands is not flushed."""
    return tinypeer(network, source, base, program, ["--durability", "none"])


def rsync_each(network, source, base, program):
    """The others pull one after the other."""
    return rsync(network, source, base, program, at_once=False)


def rsync(network, source, base, _program, options=("-a", "--whole-file"), at_once=True):
    """Machine 1 is a daemon, the others pull; as it comes: all at once, whole files, plain, not flushed."""
    config = base / "rsyncd.conf"
    config.write_text(f"use chroot = no\nuid = 0\ngid = 0\n[source]\npath = {source.path}\n")
    words = ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--address={network.address(1)}"]
    daemon = network.start(1, words, base / "daemon.log")
    subprocess.run(["sync"], check=True)
    time.sleep(0.3)
    sent, used = network.sent(1), resource.getrusage(resource.RUSAGE_CHILDREN)
    warm(source.size * network.count)
    begin = time.monotonic()
    pulls = []
    for machine in receivers(network):
        words = ["rsync", *options, f"rsync://{network.address(1)}/source/", base / str(machine) / "source/"]
        (base / str(machine)).mkdir()
        pulls.append(subprocess.Popen(network.within(machine, words)))
        if not at_once:
            pulls[-1].wait()
    if any([pull.wait() for pull in pulls]):
        raise RuntimeError("rsync failed")
    wall = time.monotonic() - begin
    time.sleep(0.2)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    clients = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    same(source, [base / str(machine) / "source" for machine in receivers(network)])
    return Seen(
        wall=wall,
        cpu=clients + processor(daemon),
        memory=peak(daemon),
        copies=(network.sent(1) - sent) / source.size,
    )


def rsync_fsync(network, source, base, program):
    """The same with each file flushed, as tinypeer does before it gives a file its name."""
    return rsync(network, source, base, program, ["-a", "--whole-file", "--fsync"])


SYNCTHING = """<configuration version="35">
{folders}{devices}<gui enabled="true"><address>127.0.0.1:8384</address><apikey>bench</apikey></gui>
<options><listenAddress>tcp://0.0.0.0:22000</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<startBrowser>false</startBrowser><urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<crashReportingEnabled>false</crashReportingEnabled></options></configuration>
"""


def start_syncthing(network, base, delay):
    """Processes that are connected; the watcher of each waits for so many seconds."""
    names, environment = {}, {**os.environ, "HOME": str(base)}
    for machine in range(1, network.count + 1):
        home = base / f"home{machine}"
        subprocess.run(["syncthing", "generate", f"--home={home}", "--no-default-folder"], check=True,
                       env=environment, capture_output=True)
        names[machine] = re.search(r'<device id="([^"]+)"', (home / "config.xml").read_text()).group(1)
    devices = "".join(f'<device id="{name}" compression="never"><address>tcp://{network.address(machine)}:22000'
                      f"</address></device>\n" for machine, name in names.items())
    members = "".join(f'<device id="{name}"></device>' for name in names.values())
    processes = []
    for machine in names:
        share = base / str(machine) / "share"
        (share / ".stfolder").mkdir(parents=True)
        folders = (f'<folder id="share" path="{share}" type="sendreceive" rescanIntervalS="3600" '
                   f'fsWatcherEnabled="true" fsWatcherDelayS="{delay}">{members}</folder>\n')
        home = base / f"home{machine}"
        (home / "config.xml").write_text(SYNCTHING.format(folders=folders, devices=devices))
        words = ["env", f"HOME={base}", "STMONITORED=yes", "syncthing", "serve", f"--home={home}", "--no-browser", "--no-restart"]
        processes.append(network.start(machine, words, base / f"{machine}.log"))

    def connected():
        words = ["curl", "-s", "-H", "X-API-Key: bench", "http://127.0.0.1:8384/rest/system/connections"]
        answer = subprocess.run(network.within(1, words), capture_output=True, text=True).stdout
        return answer.count('"connected": true') >= network.count - 1

    wait(connected, "syncthing connected", 90)
    return processes


def syncthing(network, source, base, _program):
    """As it comes, with the delay of its watcher set to a second, the least that its settings offer."""
    processes = start_syncthing(network, base, 1)
    time.sleep(3)
    staged = stage(source, base)
    before, sent = sum(map(processor, processes)), network.sent(1)
    warm(source.size * network.count)
    begin = time.monotonic()
    staged.rename(base / "1" / "share" / "source")
    places = [base / str(machine) / "share" / "source" for machine in receivers(network)]
    wait(lambda: all(source.is_in(place) for place in places), "all files by syncthing")
    seen = finish(network, processes, begin, before, sent, source)
    same(source, places)
    return seen


def iperf3(network, source, base, _program, congestion="cubic"):
    """No disk, no cipher: what TCP moves in 5 s, as the time for the folder's size."""
    server = network.start(2, ["iperf3", "-s", "-1"], base / "server.log")
    time.sleep(0.3)
    words = ["iperf3", "-c", network.address(2), "-t", "5", "-C", congestion, "-f", "m"]
    done = subprocess.run(network.within(1, words), capture_output=True, text=True, check=True)
    server.wait()
    rate = float(re.search(r"([\d.]+) Mbits/sec\s+receiver", done.stdout).group(1))
    return Seen(wall=source.size * 8 / 1e6 / rate, cpu=0.0, memory=0.0, copies=1.0)


def iperf3_bbr(network, source, base, program):
    return iperf3(network, source, base, program, "bbr")


class Source:
    """The folder to copy: one large file and many of 5 MB, none of which can be compressed."""

    def __init__(self, path, large, small, small_count):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True)
        self.names = {"large.bin": large} if large else {}
        self.names.update({f"{number:02}.bin": small for number in range(small_count)})
        for name, megabytes in self.names.items():
            with open(self.path / name, "wb") as file:
                for _ in range(megabytes):
                    file.write(os.urandom(1_000_000))
        self.size = sum(self.names.values()) * 1_000_000

    def is_in(self, place):
        """Whether all files are there, by name and size."""
        try:
            found = {entry.name: entry.stat().st_size for entry in os.scandir(place)}
        except FileNotFoundError:
            return False
        return all(found.get(name) == megabytes * 1_000_000 for name, megabytes in self.names.items())
