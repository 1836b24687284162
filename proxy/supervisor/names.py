"""Host names to addresses through libc, in a helper child with a deadline, names in parallel.

What has not been answered by the deadline counts as unresolved. libc reads hosts, resolv.conf and
nsswitch.conf as every other program on the host does.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from proxy.supervisor.helper import run_helper
from proxy.supervisor.limits import LIBC_LIMIT_MS, LIBC_THREADS
from resolverd.config import Family
from resolverd.dns.unusable import is_usable

ACCEPTED = {socket.AF_INET: Family.IPV4, socket.AF_INET6: Family.IPV6}


def resolve_names(
    names: Iterable[str], families: Collection[Family], limit_ms: int = LIBC_LIMIT_MS
) -> dict[str, str]:
    """The first address of an accepted family for each name that libc knows."""
    wanted = sorted(set(names))
    if not wanted:
        return {}

    def work(send: Callable[[bytes], None]) -> None:
        def ask(position: int) -> None:
            address = first_address(wanted[position], families)
            if address is not None:
                # Shorter than PIPE_BUF: lines of several threads never mix.
                send(f"{position} {address}\n".encode())

        with ThreadPoolExecutor(min(LIBC_THREADS, len(wanted))) as pool:
            list(pool.map(ask, range(len(wanted))))

    answer = run_helper(work, "millrace: libc names", limit_ms)
    lines = (line.split() for line in answer.decode().splitlines())
    return {wanted[int(position)]: address for position, address in lines}


def first_address(name: str, families: Collection[Family]) -> str | None:
    """Ask libc, blocking; None for a name without an address of these families."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    for family, _, _, _, address in found:
        if ACCEPTED.get(family) in families:
            parsed = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if is_usable(parsed.packed):
                return str(parsed)
    return None
