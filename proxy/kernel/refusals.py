"""Where the kernel refuses or delays work: full queues, ports, connection tracking, CPU quota.

Files of proc(5) and of cgroup v2, read when asked. What is not there (another kernel, a chroot, no
module) is left out: no function raises OSError.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


class Occupancy(NamedTuple):
    """How many there are, and how many there may be."""

    used: int
    limit: int


class Throttling(NamedTuple):
    """What a CPU quota (`cpu.max`) has cost the program's control group."""

    periods: int  # in which it had to wait
    seconds: float


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def extended_counters(text: str) -> dict[str, int]:
    """The counters `TcpExt` of /proc/net/netstat, by name."""
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith("TcpExt:")]
    if len(lines) != 2:  # names, values
        return {}
    return dict(zip(lines[0], map(int, lines[1]), strict=False))


def listen_counters() -> dict[str, int]:
    """`overflows` of accept queues and all `drops` of new clients, of this network namespace."""
    counted = extended_counters(_text(PROC / "net" / "netstat"))
    names = {"overflows": "ListenOverflows", "drops": "ListenDrops"}
    return {word: counted[name] for word, name in names.items() if name in counted}


def local_ports() -> int | None:
    """From how many ports one address can connect to one server (`ip_local_port_range`)."""
    words = _text(PROC / "sys/net/ipv4/ip_local_port_range").split()
    return int(words[1]) - int(words[0]) + 1 if len(words) == 2 else None


def tracked_connections() -> Occupancy | None:
    """Connections that nf_conntrack follows; None where it does not."""
    folder = PROC / "sys/net/netfilter"
    used, limit = _text(folder / "nf_conntrack_count"), _text(folder / "nf_conntrack_max")
    return Occupancy(int(used), int(limit)) if used and limit else None


def throttling() -> Throttling | None:
    """Of the control group that this process is in, by cgroup v2."""
    for line in _text(PROC / "self/cgroup").splitlines():
        if line.startswith("0::/"):
            text = _text(CGROUPS / line.removeprefix("0::/") / "cpu.stat")
            found = dict(pair for each in text.splitlines() if len(pair := each.split()) == 2)
            if "nr_throttled" in found:
                seconds = int(found.get("throttled_usec", 0)) / 1_000_000
                return Throttling(int(found["nr_throttled"]), seconds)
    return None


def descriptors(pid: int) -> Occupancy | None:
    """Open descriptors of a process, which Linux tells since 6.2, and its limit."""
    with suppress(OSError):
        used = (PROC / str(pid) / "fd").stat().st_size
        if used:
            return Occupancy(used, resource.prlimit(pid, resource.RLIMIT_NOFILE)[0])
    return None
