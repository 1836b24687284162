"""A real nameserver over UDP, and TCP where asked for, whose answers a test scripts while it runs.

Owns its sockets and one thread. Each name and type has an `Answer` that may be changed at any time;
what has no answer of its own is NXDOMAIN, or NODATA where the name exists with another type. Every
query is logged with its time. Knows no client: Millrace, HAProxy and dig are the same.

    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", records("127.0.1.1", "127.0.1.2"))
        ... f"nameserver ns1 {nameserver.address}" ...
        nameserver.set("app.test", "*", NX)
        nameserver.wait_queries(2, "app.test", "A")

Over TCP the answers are those of UDP, whole, unless a test scripts others (`over="tcp"`). With
`truncates` it treats replies over UDP as real nameservers do: too large ones are cut, TC set.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.common import free_port, wait_for, widen

Forge = Callable[[dns.message.Message], list[bytes]]  # a query -> the datagrams that answer it

ANY_TYPE = "*"
SO_TIMESTAMPNS = 35  # there too: each datagram comes with the time of its arrival
TIMESPEC = struct.Struct("@2l")
WAITING_BYTES_MAX = 8_000_000  # some 10,000 questions, while the nameserver's thread has no turn


@dataclass(frozen=True)
class Answer:
    """What one name and type gets; `delay_s` holds the reply back, `forge` replaces it whole."""

    records: tuple[str, ...] = ()  # record data in zone file form; the type is the question's
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    aliases: tuple[str, ...] = ()  # CNAME chain from the asked name to the owner of the records
    additional: tuple[str, ...] = ()  # whole records: "host1.test. 0 IN A 127.0.0.1"
    truncated: bool = False
    silent: bool = False
    delay_s: float = 0.0
    ttl: int = 0
    forge: Forge | None = field(default=None, compare=False)


def records(*data: str, delay_s: float = 0.0, aliases: tuple[str, ...] = ()) -> Answer:
    """A valid answer with these records, e.g. `records("127.0.1.1")`."""
    return Answer(records=data, delay_s=delay_s, aliases=aliases)


def services(*records_of: str, **hosts: str) -> Answer:
    """SRV records, "weight port target" each, and additional addresses, `host1_test="127.0.0.1"`.

    A fourth word in front is the priority, else 0. Several addresses of one host are parted by
    blanks.
    """
    return Answer(
        records=tuple(
            f"{text}." if len(text.split()) == 4 else f"0 {text}." for text in records_of
        ),
        additional=tuple(
            f"{host.replace('_', '.')}. 0 IN {'AAAA' if ':' in address else 'A'} {address}"
            for host, addresses in hosts.items()
            for address in addresses.split()
        ),
    )


def delayed(answer: Answer, delay_s: float) -> Answer:
    """The same answer, later."""
    return replace(answer, delay_s=delay_s)


def forged(forge: Forge) -> Answer:
    """Whatever datagrams `forge` makes of the query, none included."""
    return Answer(forge=forge)


NX = Answer(rcode=dns.rcode.NXDOMAIN)
REFUSED = Answer(rcode=dns.rcode.REFUSED)
SERVFAIL = Answer(rcode=dns.rcode.SERVFAIL)
NODATA = Answer()
SILENT = Answer(silent=True)
TRUNCATED = Answer(truncated=True)


@dataclass(frozen=True)
class Query:
    """One query as it arrived: `at` (time.monotonic()) in the kernel, however late it is read."""

    at: float
    name: str  # lower case, without the trailing dot
    rtype: str  # "A", "AAAA", "SRV"
    id: int
    source: tuple[str, int]
    payload: int | None  # EDNS UDP size, None without an OPT record
    recursion_desired: bool
    over: str = "udp"


@dataclass(eq=False)
class Connection:
    """One TCP connection; what it says may come in pieces."""

    socket: socket.socket
    source: tuple[str, int]
    incoming: bytearray = field(default_factory=bytearray)


Sender = Callable[[bytes], object]


def _plain(name: str | dns.name.Name) -> str:
    return str(name).rstrip(".").lower()


class ScriptedNameserver:
    """A nameserver on `address` (any 127.x.y.z or ::1); port 0 takes a free one."""

    def __init__(
        self,
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        tcp: bool = False,
        truncates: bool = False,
    ) -> None:
        port = port or free_port()
        try:
            self._socket, self._listener = self._bind(address, port, tcp)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: {address}:{port}") from error
        self._truncates = truncates
        self.host = address
        self.port: int = self._socket.getsockname()[1]
        self.connections: list[Connection] = []  # all that were ever accepted
        self._lock = threading.Lock()
        self._zone: dict[tuple[str, str], Answer] = {}
        self._zone_over_tcp: dict[tuple[str, str], Answer] = {}
        self._queries: list[Query] = []
        self._forgotten = 0.0  # what came before this is not told
        self._held: list[tuple[float, int, bytes, Sender]] = []  # heap: due, order, reply, to
        self._order = 0
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="nameserver", daemon=True)

    def __enter__(self) -> ScriptedNameserver:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; from now on the port is closed (a query gets ECONNREFUSED)."""
        self._waker.send(b"x")
        self._thread.join()
        for each in (self._socket, self._listener, self._wake, self._waker):
            if each is not None:
                each.close()
        self.hang_up()

    @staticmethod
    def _bind(address: str, port: int, tcp: bool) -> tuple[socket.socket, socket.socket | None]:
        """The same port for both."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ExitStack() as opened:
            datagrams = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            datagrams.bind((address, port))
            datagrams.setblocking(False)
            datagrams.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            widen(datagrams, WAITING_BYTES_MAX)
            listener = None
            if tcp:
                listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                listener.listen()
                listener.setblocking(False)
            opened.pop_all()
            return datagrams, listener

    @property
    def address(self) -> str:
        """`host:port` as a `nameserver` line takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def queries(self) -> list[Query]:
        """All queries so far, oldest first (a copy)."""
        with self._lock:
            return [query for query in self._queries if query.at > self._forgotten]

    def asked(self, name: str | None = None, rtype: str | None = None) -> list[Query]:
        """The queries for this name and type; None means any."""
        return [
            query
            for query in self.queries
            if (name is None or query.name == _plain(name))
            and (rtype is None or query.rtype == rtype)
        ]

    def wait_queries(
        self, count: int, name: str | None = None, rtype: str | None = None, seconds: float = 10.0
    ) -> list[Query]:
        """Wait until at least `count` such queries have come; fails the test otherwise."""
        return wait_for(
            lambda: asked if len(asked := self.asked(name, rtype)) >= count else [],
            seconds,
            f"{count} queries for {name or 'any name'} {rtype or ''} at {self.address}",
        )

    def set(
        self, name: str, rtype: str, answer: Answer | list[str] | str, over: str = "udp"
    ) -> None:
        """Script one name and type ("*": every type); plain strings are record data."""
        if isinstance(answer, str):
            answer = records(answer)
        elif isinstance(answer, list):
            answer = records(*answer)
        with self._lock:
            zone = self._zone if over == "udp" else self._zone_over_tcp
            if rtype == ANY_TYPE:
                for key in [key for key in zone if key[0] == _plain(name)]:
                    del zone[key]
            zone[_plain(name), rtype] = answer

    def forget(self) -> None:
        """Empty the log of queries, and of those that have come and wait to be read."""
        with self._lock:
            self._forgotten = time.monotonic()
            self._queries.clear()

    def hang_up(self) -> None:
        """Shut all connections down, in the middle of whatever they are."""
        for connection in self.connections:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            while True:
                timeout = self._held[0][0] - time.monotonic() if self._held else None
                for key, _ in selector.select(timeout if timeout is None else max(0.0, timeout)):
                    if key.fileobj is self._wake:
                        for connection in self.connections:
                            connection.socket.close()
                        return
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.data is not None:
                        self._read(selector, key.data)
                    else:
                        self._receive()
                while self._held and self._held[0][0] <= time.monotonic():
                    _, _, reply, send = heapq.heappop(self._held)
                    with suppress(OSError):  # the client may be gone
                        send(reply)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        assert self._listener is not None
        accepted, source = self._listener.accept()
        connection = Connection(accepted, source[:2])
        self.connections.append(connection)
        selector.register(accepted, selectors.EVENT_READ, connection)

    def _read(self, selector: selectors.BaseSelector, connection: Connection) -> None:
        try:
            received = connection.socket.recv(65536)
        except OSError:
            received = b""
        if not received:
            selector.unregister(connection.socket)
            connection.socket.close()
        connection.incoming += received

        def send(reply: bytes) -> None:
            connection.socket.sendall(len(reply).to_bytes(2, "big") + reply)

        while len(connection.incoming) >= 2:
            end = 2 + int.from_bytes(connection.incoming[:2], "big")
            if len(connection.incoming) < end:
                return
            wire = bytes(connection.incoming[2:end])
            del connection.incoming[:end]
            self._take(wire, connection.source, send, "tcp", time.monotonic())

    def _receive(self) -> None:
        try:
            wire, told, _, source = self._socket.recvmsg(65535, socket.CMSG_SPACE(TIMESPEC.size))
        except OSError:
            return  # an ICMP error of an earlier reply
        seconds, nanoseconds = TIMESPEC.unpack(told[0][2])
        at = time.monotonic() - time.time() + seconds + nanoseconds / 1e9
        self._take(wire, source, lambda reply: self._socket.sendto(reply, source), "udp", at)

    def _take(
        self, wire: bytes, source: tuple[str, int], send: Sender, over: str, at: float
    ) -> None:
        try:
            message = dns.message.from_wire(wire)
            name, rtype = message.question[0].name, message.question[0].rdtype
        except (dns.exception.DNSException, IndexError):
            return  # no DNS query: no answer
        now = time.monotonic()
        type_text = dns.rdatatype.to_text(rtype)
        with self._lock:
            self._queries.append(
                Query(
                    at=at,
                    name=_plain(name),
                    rtype=type_text,
                    id=message.id,
                    source=source[:2],
                    payload=message.payload if message.edns >= 0 else None,
                    recursion_desired=bool(message.flags & dns.flags.RD),
                    over=over,
                )
            )
            answer = self._find(_plain(name), type_text, over)
        if answer.silent:
            return
        replies = answer.forge(message) if answer.forge else [self._build(message, answer, over)]
        for reply in replies:
            self._order += 1
            heapq.heappush(self._held, (now + answer.delay_s, self._order, reply, send))

    def _build(self, query: dns.message.Message, answer: Answer, over: str) -> bytes:
        wire = build_reply(query, answer)
        size = max(512, query.payload)
        if over == "tcp" or not self._truncates or len(wire) <= size:
            return wire
        return build_reply(query, replace(answer, records=(), additional=(), truncated=True))

    def _find(self, name: str, rtype: str, over: str) -> Answer:
        if over == "tcp":
            for key in ((name, rtype), (name, ANY_TYPE)):
                if key in self._zone_over_tcp:
                    return self._zone_over_tcp[key]
            return replace(self._find(name, rtype, "udp"), truncated=False)
        for key in ((name, rtype), (name, ANY_TYPE)):
            if key in self._zone:
                return self._zone[key]
        return NODATA if any(known == name for known, _ in self._zone) else NX


def build_reply(query: dns.message.Message, answer: Answer) -> bytes:
    """The wire form of `answer` to `query`, whole whatever its size."""
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(answer.rcode)
    response.flags |= dns.flags.AA
    if answer.truncated:
        response.flags |= dns.flags.TC
    owner, rtype = query.question[0].name, query.question[0].rdtype
    for alias in answer.aliases:
        target = dns.name.from_text(alias)
        response.answer.append(
            dns.rrset.from_text(owner, answer.ttl, "IN", "CNAME", target.to_text())
        )
        owner = target
    if answer.records:
        type_text = dns.rdatatype.to_text(rtype)
        response.answer.append(
            dns.rrset.from_text(owner, answer.ttl, "IN", type_text, *answer.records)
        )
    for line in answer.additional:
        name, ttl, rclass, kind, data = line.split(None, 4)
        response.additional.append(dns.rrset.from_text(name, int(ttl), rclass, kind, data))
    return response.to_wire(max_size=65535)
