"""What /proc and /sys say of processes and of the kernel; only reads files.

Network facts are read by way of the program's main process, whose network they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from proxy.client.report.archive import PartError

Part = tuple[str, Callable[[], bytes | str]]

OF_PROCESSES = ("status", "limits", "smaps_rollup", "stat", "schedstat", "cgroup", "io")
OF_THREADS = ("wchan", "stack", "comm", "stat")
OF_NETWORKS = ("netstat", "snmp", "snmp6", "sockstat", "sockstat6", "softnet_stat")
OF_KERNEL = ("version", "uptime", "loadavg", "meminfo", "stat", "pressure/cpu", "pressure/memory")
SETTINGS = (
    *("net/core/somaxconn", "net/core/netdev_max_backlog", "net/core/rmem_max"),
    *("net/core/wmem_max", "net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports"),
    *("net/ipv4/tcp_max_syn_backlog", "net/ipv4/tcp_syncookies", "net/ipv4/tcp_tw_reuse"),
    *("net/ipv4/tcp_fin_timeout", "net/ipv4/tcp_abort_on_overflow", "net/ipv4/tcp_mem"),
    *("net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem", "net/ipv4/tcp_fastopen", "net/ipv4/tcp_retries2"),
    *("net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "fs/file-nr"),
    *("fs/nr_open", "fs/pipe-user-pages-soft", "kernel/pid_max", "vm/overcommit_memory"),
)
OF_GROUPS = ("cpu.max", "cpu.stat", "memory.max", "memory.current", "memory.events", "pids.max")
LISTENING = "0A"  # in the column `st` of /proc/net/tcp


def processes_of(pid: int) -> list[int]:
    """A process and all that descend from it, the eldest first."""
    found = [pid]
    for each in found:
        for thread in _threads(each):
            with suppress(OSError):
                children = Path(f"/proc/{each}/task/{thread}/children").read_text()
                found += [int(child) for child in children.split()]
    return found


def _threads(pid: int) -> list[str]:
    with suppress(OSError):
        return sorted((each.name for each in Path(f"/proc/{pid}/task").iterdir()), key=int)
    return []


def title_of(pid: int) -> str:
    """What a process calls itself, as a part of a file's name."""
    with suppress(OSError):
        words = (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("ascii", "replace")
        )
        if words.startswith("millrace: "):
            name = words.removeprefix("millrace: ").strip()[:40]
            return "".join(each if each.isalnum() else "-" for each in name)
    return "main"


def process_parts(pid: int) -> Iterator[Part]:
    """One process."""
    name = f"processes/{pid}-{title_of(pid)}"
    for file in OF_PROCESSES:
        yield f"{name}/{file}", Path(f"/proc/{pid}/{file}").read_bytes
    yield f"{name}/descriptors.txt", lambda: _descriptors(pid)
    yield f"{name}/threads.txt", lambda: _thread_text(pid)


def _descriptors(pid: int) -> str:
    """How many there are of each kind, by what they lead to."""
    counted: dict[str, int] = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            kind = str(descriptor.readlink()).partition(":[")[0]
            counted[kind] = counted.get(kind, 0) + 1
    return "".join(f"{count} {kind}\n" for kind, count in sorted(counted.items()))


def _thread_text(pid: int) -> str:
    """Where each thread is in the kernel, as far as that may be read."""
    threads = _threads(pid)
    if not threads:
        raise PartError("it has ended")
    return "\n".join(
        f"{thread} {file}: {_read_or_reason(f'/proc/{pid}/task/{thread}/{file}')}"
        for thread in threads
        for file in OF_THREADS
    )


def _read_or_reason(path: str) -> str:
    try:
        return Path(path).read_text(errors="backslashreplace").rstrip()
    except OSError as error:
        return f"({error.strerror})"


def kernel_parts(pid: int | None) -> Iterator[Part]:
    """The kernel, the network of a process, and the groups that bound it."""
    network = Path("/proc/self/net" if pid is None else f"/proc/{pid}/net")
    for file in OF_KERNEL:
        yield f"kernel/{file.replace('/', '-')}", Path("/proc", file).read_bytes
    yield "kernel/settings.txt", lambda: _all_texts("/proc/sys", SETTINGS)
    for file in OF_NETWORKS:
        yield f"kernel/net/{file}", (network / file).read_bytes
    for file in ("tcp", "tcp6"):
        yield f"kernel/net/{file}-listening", partial(_listening, network / file)
    yield "kernel/groups.txt", lambda: _groups("self" if pid is None else str(pid))


def _all_texts(folder: str, names: Iterable[str]) -> str:
    """Files of a folder, a line each; what is not there says so."""
    return "".join(f"{name}: {_read_or_reason(f'{folder}/{name}')}\n" for name in names)


def _listening(path: Path) -> str:
    """The head, and what listens: `rx_queue` is the accept queue, `tx_queue` its limit."""
    head, *rows = path.read_text().splitlines()
    return "\n".join((head, *(row for row in rows if row.split()[3] == LISTENING))) + "\n"


def _groups(process: str) -> str:
    """Limits and counters of control groups, from the process's own up."""
    own = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    path = next((line.removeprefix("0::") for line in own if line.startswith("0::")), None)
    if path is None:
        raise PartError("no unified hierarchy of control groups")
    folder = Path("/sys/fs/cgroup") / path.lstrip("/")
    told = []
    while str(folder).startswith("/sys/fs/cgroup"):
        told.append(f"{folder}\n{_all_texts(str(folder), OF_GROUPS)}")
        folder = folder.parent
    return "\n".join(told)
