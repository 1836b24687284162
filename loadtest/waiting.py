"""Clients of whom rules wait for: half say nothing, half send a ClientHello a byte at a time.

Owns these clients, which are processes of their own: a process has no descriptors for all of them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from loadtest.cpu import tree_private_bytes, tree_run_seconds
from loadtest.instance import Instance
from loadtest.knocking import client_hello
from loadtest.load import Load, Prepare, Run
from loadtest.process import ProgramFailedError
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import DESCRIPTORS_MAX, HostPort, Site
from loadtest.traffic import Sample

EACH_MAX = DESCRIPTORS_MAX * 2 // 3  # clients of a process
ROUNDS_PER_SECOND = 4  # bytes of a slow client
CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 120.0
SETTLE_SECONDS = 1.0
RULES = (
    "tcp-request inspect-delay 10m",
    "tcp-request content accept if { req.payload(0,4) -m str 'GET ' }",
    "tcp-request content accept if { req.ssl_hello_type 1 }",
    "tcp-request content reject",
)
BOTH = 7_500  # clients of one process, whose limit HAProxy's two descriptors a session reach
MANY, MANY_WORKERS = 40_000, 6


def crowd(count: int) -> Prepare:
    """So many clients, half of them silent."""

    @contextmanager
    def prepare(site: Site, _setup: Setup) -> Iterator[Run]:
        with contextlib.ExitStack() as stack:
            groups = [stack.enter_context(_clients(site, n)) for n in range(-(-count // EACH_MAX))]
            sizes = [count * (n + 1) // len(groups) - count * n // len(groups)
                     for n in range(len(groups))]  # fmt: skip

            def run(instance: Instance, _site: Site, seconds: int) -> Sample:
                return _measure(instance, list(zip(groups, sizes, strict=True)), seconds)

            yield run

    return prepare


def _measure(instance: Instance, groups: list[tuple[Connection, int]], seconds: int) -> Sample:
    instance.settle(SETTLE_SECONDS)
    before = tree_private_bytes(instance.pid)
    _ask(groups)
    instance.settle(SETTLE_SECONDS)
    rounds = seconds * ROUNDS_PER_SECOND
    used = tree_run_seconds(instance.pid)
    sent = _ask([(group, rounds) for group, _ in groups])
    instance.settle(SETTLE_SECONDS)
    used = tree_run_seconds(instance.pid) - used
    after = tree_private_bytes(instance.pid)
    if ended := _ask([(group, 0) for group, _ in groups]):
        raise ProgramFailedError(f"{ended} clients were ended while their rules waited")
    return {
        "bytes_per_client": (after - before) / sum(count for _, count in groups),
        "cpu_us": used / sent * 1e6,
        "units": sent,
    }


def _ask(orders: list[tuple[Connection, int]]) -> int:
    """Give each group its order, and add their answers up."""
    for group, number in orders:
        group.send(number)
    total = 0
    for group, _ in orders:
        answer = group.recv() if group.poll(ANSWER_SECONDS) else "no answer"
        if not isinstance(answer, int):
            raise ProgramFailedError(f"waiting clients: {answer}")
        total += answer
    return total


@contextmanager
def _clients(site: Site, number: int) -> Iterator[Connection]:
    """A process of clients while the block lasts."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    source = site.web.front.host.replace("127.100.", f"127.{140 + number}.", 1)
    process = context.Process(
        target=_be_clients, args=(theirs, site.web.front, source, site.load_cores), daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()


def _be_clients(orders: Connection, front: HostPort, source: str, cores: frozenset[int]) -> None:
    """Obey three orders: connect so many; let half send so many bytes each; say who is ended."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, cores)
    with contextlib.ExitStack() as stack, contextlib.suppress(EOFError):
        try:
            clients = [stack.enter_context(_connected(front, source)) for _ in range(orders.recv())]
            orders.send(len(clients))
            orders.send(_send_bytes(orders, clients[::2], orders.recv()))
            orders.recv()
            orders.send(sum(map(_is_ended, clients)))
        except OSError as error:
            orders.send(str(error))


def _connected(front: HostPort, source: str) -> socket.socket:
    client = socket.create_connection((front.host, front.port), CONNECT_SECONDS, (source, 0))
    client.setblocking(False)
    return client


def _send_bytes(orders: Connection, clients: list[socket.socket], rounds: int) -> int:
    hello = client_hello("waits.load.test")
    rounds = min(rounds, len(hello) - 1)  # the last byte ends the wait
    began = time.monotonic()
    for number in range(rounds):
        for client in clients:
            client.send(hello[number : number + 1])
        due = began + (number + 1) / ROUNDS_PER_SECOND
        orders.poll(max(0.0, due - time.monotonic()))  # also ends when the harness does
    return rounds * len(clients)


def _is_ended(client: socket.socket) -> bool:
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


WAITING_LOADS = (
    Load(
        "waiting",
        f"{BOTH:,} clients of whom rules wait for",
        crowd(BOTH),
        Setup(rules=RULES),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load(
        "waiting40k",
        f"{MANY:,} such clients",
        crowd(MANY),
        Setup(workers=MANY_WORKERS, rules=RULES, of_all_workers=True),
        programs=("millrace",),
        brief=False,
    ),
)
