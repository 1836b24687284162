"""The loads of the process that tells and takes orders: a scrape of many servers, one order.

Owns their list, and the clients of both. What a program does besides counts as well: the CPU is
that of its whole tree, read in nanoseconds.
"""

from __future__ import annotations

import socket
import time
from statistics import median

from loadtest.asking import ANSWER_SECONDS, ask
from loadtest.cpu import tree_run_seconds
from loadtest.instance import Instance
from loadtest.load import Load, at_once
from loadtest.process import ProgramFailedError
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import Site
from loadtest.traffic import Sample

SETTLE_SECONDS = 1.0
READ_BYTES = 1 << 18
SCRAPES_PER_SECOND = 2  # of the length of a load
ORDERS_PER_SECOND = 20  # likewise
BETWEEN_ORDERS_SECONDS = 0.01
SCRAPED_SERVERS = 5_000
ORDERED_SERVERS = (10, 10_000)
SCRAPE = b"GET /metrics HTTP/1.0\r\nHost: load.test\r\n\r\n"
HEAD_END = b"\r\n\r\n"


def scrapes(instance: Instance, site: Site, seconds: int) -> Sample:
    """Scrapes of all metrics, one after the other; the first one is not measured."""
    _scrape(site)
    instance.settle(SETTLE_SECONDS)
    count = SCRAPES_PER_SECOND * seconds
    before = tree_run_seconds(instance.pid)
    taken = [_scrape(site) for _ in range(count)]
    used = tree_run_seconds(instance.pid) - before
    return {
        "cpu_ms": used / count * 1000,
        "first_byte_ms": median(first for first, _ in taken) * 1000,
        "mb": taken[-1][1] / 1e6,
        "units": count,
    }


def _scrape(site: Site) -> tuple[float, int]:
    """Seconds to the first byte behind the head, and bytes of the whole answer."""
    front = (site.probe.front.host, site.probe.front.port)
    with socket.create_connection(front, ANSWER_SECONDS) as client:
        began, first = time.monotonic(), 0.0
        client.sendall(SCRAPE)
        head, size = b"", 0
        while data := client.recv(READ_BYTES):
            size += len(data)
            if not first:
                head += data
                if head.partition(HEAD_END)[2]:
                    first = time.monotonic() - began
    if not head.startswith(b"HTTP/1.1 200 ") or not first:
        raise ProgramFailedError(f"no metrics: {head[:60]!r}")
    return first, size


def orders(instance: Instance, _site: Site, seconds: int) -> Sample:
    """One server goes into maintenance and comes back, by an order on a connection of its own.

    Millrace answers when the relays of all workers have seen it.
    """
    instance.settle(SETTLE_SECONDS)
    count = ORDERS_PER_SECOND * seconds // 2 * 2
    before = tree_run_seconds(instance.pid)
    taken = []
    for number in range(count):
        taken.append(_order(instance, ("maint", "ready")[number % 2]))
        instance.settle(BETWEEN_ORDERS_SECONDS)
    used = tree_run_seconds(instance.pid) - before
    taken.sort()
    return {
        "cpu_us": used / count * 1e6,
        "p50_us": taken[len(taken) // 2] * 1e6,
        "p99_us": taken[int(0.99 * len(taken))] * 1e6,
        "units": count,
    }


def _order(instance: Instance, state: str) -> float:
    """Seconds until the order is answered."""
    took, said = ask(instance, f"set server web/web2 state {state}")
    if said.strip():
        raise ProgramFailedError(f"an order was refused: {said[:80]!r}")
    return took


CONTROL_LOADS = (
    Load(
        "metrics5k",
        "metrics of 5,000 servers",
        at_once(scrapes),
        Setup(web_servers=SCRAPED_SERVERS, metrics=True),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    *(
        Load(
            f"orders{count}",
            f"orders at {count:,} servers",
            at_once(orders),
            Setup(workers=2, web_servers=count),
            programs=DNS_PROGRAMS,
            brief=False,
        )
        for count in ORDERED_SERVERS
    ),
)
