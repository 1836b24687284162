"""The time of a new address from the nameserver's reply to every worker.

Owns a scripted nameserver for one name, whose address changes with each answer, and the clock. The
time begins right before the sendto() of the reply and ends when this process reads that every
worker's relay has acted on the changed table (`generation_seen` in its process record, which the
relay stores before it accepts another connection). The name has one address, or an SRV answer of
many records whose targets all move at once; the time ends with the last of them. After that a
connection through the proxy must arrive at the new address, which shows that it was this change.

The figure is a little larger than a client would measure: this process reads the words in turn,
about once in a microsecond, and the reply's time in the kernel is included. While it reads it is
pinned to the cores of the load: on the core of the proxy it would keep the workers waiting.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loadtest.instance import Instance
from loadtest.process import ProgramFailedError
from loadtest.programs import Setup
from loadtest.resolving import await_names, show_resolvers
from loadtest.shared_words import SharedWords, shared_words
from loadtest.site import ProxiedService, Site

QUERY_SECONDS = 5.0
STEP_SECONDS = 30.0  # for a busy machine
CHANGE_SECONDS = 30.0  # for a busy machine; measured times are far below
QUERY_MAX = 512
HEADER_BYTES = 12
QUESTION_FIELDS_BYTES = 5  # the root label, type and class
ABOUT_IPV6 = b"\0\x1c\0\1"  # AAAA, IN
ASKED = b"\xc0\x0c"  # the name of the question
A_HEAD = b"\0\1\0\1\0\0\0\0\0\4"  # A, IN, TTL 0, four bytes
SRV_HEAD = b"\0\x21\0\1\0\0\0\0"  # SRV, IN, TTL 0


class ScriptedNameserver:
    """Answers each question with one address."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self._socket.settimeout(QUERY_SECONDS)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fileno()

    def question(self) -> tuple[bytes, tuple[str, int]]:
        """The next query up to the end of its question, and its source; raises TimeoutError.

        After silence a name is asked for both families: those about IPv6 are left unanswered.
        """
        while True:
            query, client = self._socket.recvfrom(QUERY_MAX)
            asked = query[: query.index(b"\0", HEADER_BYTES) + QUESTION_FIELDS_BYTES]
            if not asked.endswith(ABOUT_IPV6):
                return asked, client

    def drop_questions(self) -> None:
        """Drop what has been asked so far: questions of runs that may have ended."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(QUERY_MAX)
        self._socket.settimeout(QUERY_SECONDS)

    def answer(self, reply: bytes, client: tuple[str, int]) -> None:
        """Send the reply to that source."""
        self._socket.sendto(reply, client)


@contextmanager
def scripted_nameserver(site: Site) -> Iterator[ScriptedNameserver]:
    """Listen on the probe's nameserver address while the block lasts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((site.probe_nameserver.host, site.probe_nameserver.port))
        yield ScriptedNameserver(bound)


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Run this process on these cores while the block lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def address_of(change: int) -> bytes:
    """An address on loopback, another one for each change."""
    return bytes((127, 121, change >> 8 & 0xFF, change & 0xFF))


def reply_of(query: bytes, address: bytes, records: int, port: int) -> bytes:
    """The reply with this address: one A record, or `records` SRV records with a target each."""
    if not records:
        return _head(query, 1, 0) + ASKED + A_HEAD + address
    targets = [bytes([len(name)]) + name + b"\0" for name in map(b"h%d".__mod__, range(records))]
    place = b"\0\1\0\1" + port.to_bytes(2, "big")  # priority, weight, port
    services = [
        ASKED + SRV_HEAD + (len(place) + len(target)).to_bytes(2, "big") + place + target
        for target in targets
    ]
    additional = [target + A_HEAD + address for target in targets]
    return b"".join([_head(query, records, records), *services, *additional])


def _head(query: bytes, answers: int, additional: int) -> bytes:
    counts = b"\0\1" + answers.to_bytes(2, "big") + b"\0\0" + additional.to_bytes(2, "big")
    return query[:2] + b"\x85\x80" + counts + query[HEADER_BYTES:]


def answer_anew(
    instance: Instance, site: Site, setup: Setup, nameserver: ScriptedNameserver
) -> dict[str, float]:
    """Change the address `setup.changes` times while the other names are resolved; the delays."""
    await_names(instance, setup.names)
    delays_us = []
    wildcard = ("0.0.0.0", site.probe.servers[0].port)
    before, began = show_resolvers(instance.stats_socket), time.monotonic()
    with (
        pinned(site.load_cores),
        socket.create_server(wildcard) as arrivals,
        shared_words(instance.pid) as words,
    ):
        arrivals.settimeout(STEP_SECONDS)
        nameserver.drop_questions()
        for change in range(setup.changes):
            address = address_of(change)
            delays_us.append(_change(nameserver, words, setup, address, wildcard[1]) / 1000)
            _arrives(site.probe, arrivals, socket.inet_ntoa(address))
    taken = time.monotonic() - began
    runs = show_resolvers(instance.stats_socket)["valid"] - before["valid"]
    delays_us.sort()
    return {
        "p50_us": delays_us[len(delays_us) // 2],
        "p99_us": delays_us[len(delays_us) * 99 // 100],
        "max_us": delays_us[-1],
        "changes": len(delays_us),
        "runs_per_s": runs / taken,
    }


def _change(
    nameserver: ScriptedNameserver, words: SharedWords, setup: Setup, address: bytes, port: int
) -> int:
    """Answer one question; returns the nanoseconds until every worker has acted on it."""
    try:
        query, client = nameserver.question()
    except OSError as error:
        raise ProgramFailedError(f"the name that changes is not asked for: {error}") from error
    reply = reply_of(query, address, setup.records, port)
    wanted = words.table_generation() + max(1, setup.records)
    deadline_ns = time.monotonic_ns() + int(CHANGE_SECONDS * 1e9)
    began_ns = time.monotonic_ns()
    nameserver.answer(reply, client)
    while True:
        seen = words.seen_by_all()
        now_ns = time.monotonic_ns()
        if seen >= wanted:
            return now_ns - began_ns
        if now_ns > deadline_ns:
            raise ProgramFailedError("a worker has not seen the new address")


def _arrives(probe: ProxiedService, arrivals: socket.socket, address: str) -> None:
    """Fail unless a connection through the proxy reaches this address."""
    front = (probe.front.host, probe.front.port)
    try:
        with socket.create_connection(front, STEP_SECONDS), arrivals.accept()[0] as arrived:
            reached = arrived.getsockname()[0]
    except OSError as error:
        raise ProgramFailedError(f"no connection to the new address: {error}") from error
    if reached != address:
        raise ProgramFailedError(f"a connection came to {reached}, not to {address}")
