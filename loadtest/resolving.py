"""The loads that resolve many names: CPU per wall time and per run, and the rates.

Owns the counters and the times of their reading. A program's are those of its stats socket (`show
resolvers`), the nameservers have their own; so a rate below the configured one shows twice. The
resolving process is Millrace's resolverd, or the root of a program without such a process.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path

from loadtest.cpu import private_bytes, process_tree, run_seconds, tree_pss_bytes, tree_run_seconds
from loadtest.fleet import Fleet
from loadtest.instance import Instance
from loadtest.process import ProgramFailedError
from loadtest.programs import Setup
from loadtest.site import NAMES_SECTION

READY_SECONDS = 60.0
STEADY_RUNS = 3  # of each name before it is measured: the first changes servers, the second nothing
POLL_SECONDS = 0.2
SOCKET_SECONDS = 5.0
RESOLVER_TITLE = b"millrace: resolverd"


def show_resolvers(stats_socket: Path) -> dict[str, int]:
    """The counters of the section's nameservers, summed, by name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stats:
        stats.settimeout(SOCKET_SECONDS)
        try:
            stats.connect(str(stats_socket))
            stats.sendall(f"show resolvers {NAMES_SECTION}\n".encode())
            text = b"".join(iter(lambda: stats.recv(65_536), b"")).decode()
        except OSError as error:
            raise ProgramFailedError(f"stats socket: {error}") from error
    return read_counters(text)


def read_counters(text: str) -> dict[str, int]:
    """The counters in the answer to `show resolvers`, summed over the nameservers of a section."""
    counters: dict[str, int] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition(":")
        if separator and value.strip().isdigit():
            counters[name] = counters.get(name, 0) + int(value)
    return counters


def resolver_pid(root: int) -> int:
    """The resolving process of the tree, by its title; else the root."""
    for stat in process_tree(root):
        with suppress(OSError):  # a process that has ended since it was listed
            if Path(f"/proc/{stat.pid}/cmdline").read_bytes().startswith(RESOLVER_TITLE):
                return stat.pid
    return root


def await_names(instance: Instance, runs: int) -> None:
    """Wait for so many valid runs; raises ProgramFailedError after a minute."""
    deadline = time.monotonic() + READY_SECONDS
    while show_resolvers(instance.stats_socket).get("valid", 0) < runs:
        if time.monotonic() > deadline:
            raise ProgramFailedError("not all names were resolved within a minute")
        instance.settle(POLL_SECONDS)


def resolve_names(instance: Instance, setup: Setup, fleet: Fleet) -> dict[str, float]:
    """The figures of `setup.periods` periods in which all names are resolved."""
    await_names(instance, STEADY_RUNS * (setup.names - setup.absent))
    resolver = resolver_pid(instance.pid)
    before = show_resolvers(instance.stats_socket)
    questions, began = fleet.questions(), time.monotonic()
    cpu, tree_cpu = run_seconds(resolver), tree_run_seconds(instance.pid)
    instance.settle(setup.periods * setup.resolve_ms / 1000)
    cpu, tree_cpu = run_seconds(resolver) - cpu, tree_run_seconds(instance.pid) - tree_cpu
    taken = time.monotonic() - began
    questions = fleet.questions() - questions
    after = show_resolvers(instance.stats_socket)
    counted = {name: after[name] - before.get(name, 0) for name in after}
    if counted["valid"] == 0:
        raise ProgramFailedError("no name was resolved again")
    return {
        "cpu_percent": cpu / taken * 100,
        "tree_cpu_percent": tree_cpu / taken * 100,
        "cpu_us_per_run": cpu / counted["valid"] * 1e6,
        "runs_per_s": counted["valid"] / taken,
        "questions_per_s": questions / taken,
        "sent_per_s": counted["sent"] / taken,
        "timeouts": counted["timeout"],
        "resolver_mb": private_bytes(resolver) / 1e6,
        "tree_mb": tree_pss_bytes(instance.pid) / 1e6,
        "cpu_seconds": cpu,
        "units": counted["valid"],
    }
