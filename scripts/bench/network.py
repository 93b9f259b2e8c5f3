"""A few machines on one switch: a network namespace each, with a rate and loss if wanted."""

import mmap
import os
import subprocess
import time

SUBNET = "10.78.0"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network:
    """Machines 1 to `count`; `rate` in Mbit/s in each direction, `loss` in percent of what arrives."""

    def __init__(self, count, rate=None, loss=0):
        self.name = f"tpbench{os.getpid()}"
        self.count = count
        self.rate = rate
        self.loss = loss
        self.ended = []

    def namespace(self, machine):
        return f"{self.name}-{machine}"

    def address(self, machine):
        return f"{SUBNET}.{machine}"

    def within(self, machine, words):
        return ["ip", "netns", "exec", self.namespace(machine), *words]

    def __enter__(self):
        switch = self.namespace("switch")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "name", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        self.filter_nothing(switch)
        for machine in range(1, self.count + 1):
            own = self.namespace(machine)
            port = f"port{machine}"
            ip("netns", "add", own)
            ip("link", "add", "eth0", "netns", own, "type", "veth", "peer", "name", port, "netns", switch)
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            ip("-n", own, "addr", "add", f"{self.address(machine)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", own, "link", "set", device, "up")
            if self.rate:
                for place, device in ((own, "eth0"), (switch, port)):
                    subprocess.run(
                        ["tc", "-n", place, "qdisc", "add", "dev", device, "root", "tbf"]
                        + ["rate", f"{self.rate}mbit", "burst", "128k", "latency", "50ms"],
                        check=True,
                    )
            if self.loss:
                # Nothing that the kernel has put together, so that each datagram or segment is lost by itself.
                for place, device in ((own, "eth0"), (switch, port)):
                    words = ["ip", "netns", "exec", place, "ethtool", "-K", device]
                    subprocess.run([*words, "tso", "off", "gso", "off", "gro", "off"], check=True)
                subprocess.run(
                    self.within(machine, ["iptables", "-A", "INPUT", "-i", "eth0", "-m", "statistic"])
                    + ["--mode", "random", "--probability", str(self.loss / 100), "-j", "DROP"],
                    check=True,
                )
        return self

    @staticmethod
    def filter_nothing(switch):
        """A switch does not hand each packet to the machine's packet filter, as a bridge of the kernel may be told to."""
        for table in ("iptables", "ip6tables", "arptables"):
            setting = f"net.bridge.bridge-nf-call-{table}"
            if os.path.exists("/proc/sys/" + setting.replace(".", "/")):
                subprocess.run(["ip", "netns", "exec", switch, "sysctl", "-qw", f"{setting}=0"], check=True)

    def __exit__(self, *_):
        for process in self.ended:
            if process.poll() is None:
                process.kill()
                process.wait()
        for place in [*range(1, self.count + 1), "switch"]:
            subprocess.run(["ip", "netns", "del", self.namespace(place)], stderr=subprocess.DEVNULL)

    def start(self, machine, words, log):
        """Starts a program on a machine; it is killed in the end."""
        with open(log, "ab") as output:
            process = subprocess.Popen(self.within(machine, words), stdout=output, stderr=output)
        self.ended.append(process)
        return process

    def sent(self, machine):
        """Bytes that a machine has sent, with all headers."""
        words = self.within(machine, ["cat", "/sys/class/net/eth0/statistics/tx_bytes"])
        return int(subprocess.run(words, check=True, capture_output=True).stdout)


def processor(process):
    """Seconds of a process and of the children that it waited for."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def peak(process):
    """Most resident memory of a process, in MB."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def wait(condition, what, bound=600.0):
    """Waits until a condition holds."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > bound:
            raise TimeoutError(what)
        time.sleep(0.005)


def warm(size):
    """Touches so many bytes of memory and gives them back. A virtual machine whose free memory went back to its host pays
    for each page that it takes anew, four times what writing it costs; who is measured right after somebody else would not."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    memory.close()
