"""A dialect of a few words, driven by checks over real sockets: the seam carries what comes."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import threading

import pytest

from proxy.config.model.settings import ProxyHeader
from proxy.health.check import Connects, Plan, RunningCheck
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Dialect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)
from proxy.health.judgement import Outcome
from proxy.health.target import CheckTarget, Limits
from shm.check_status import CheckStatus
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.worker import Backend
from tests.support.servers import Handler, Server

LONG_MS = 60_000
QUIT = b"QUIT\r\n"


class Greeting:
    """Expects a line that begins with 220, sends QUIT, expects the end."""

    first = Connect(reset_on_close=False)
    place = ""

    def __init__(self, bytes_min: int = 1, farewell: bytes = QUIT) -> None:
        self.bytes_min = bytes_min
        self.farewell = farewell
        self.events: list[Event] = []
        self.line = b""

    def answer(self, event: Event) -> Answer:
        self.events.append(event)
        if event is Moment.CONNECTED:
            return Expect(self.bytes_min)
        if event is Moment.SENT:
            return Expect()
        if event is Moment.EXPIRED:
            return Result(CheckStatus.L7TOUT, 0, self.line.decode(errors="replace"))
        if isinstance(event, Ended):
            there = self.line.endswith(b"\n") and event.code == 0
            status = CheckStatus.L7OK if there else CheckStatus.L7RSP
            return Result(status, 220 if there else event.code, repr(self.line + event.data))
        assert isinstance(event, Received)
        if self.line.endswith(b"\n"):
            return Expect()
        self.line = (self.line + event.data)[:512]
        if not b"220 ".startswith(self.line[:4]):
            return Result(CheckStatus.L7STS, 0, repr(self.line[:9]))
        return Send(self.farewell) if self.line.endswith(b"\n") else Expect()


class Listener:
    """Never satisfied: it expects until time is up."""

    first = Connect(reset_on_close=False)
    place = ""

    def __init__(self, bytes_min: int = 1) -> None:
        self.bytes_min = bytes_min
        self.sizes: list[int] = []

    def answer(self, event: Event) -> Answer:
        if isinstance(event, Received):
            self.sizes.append(len(event.data))
        over = event is Moment.EXPIRED or isinstance(event, Ended)
        return Result(CheckStatus.L7TOUT) if over else Expect(self.bytes_min)


def begin(
    connects: Connects, server: Server, dialect: Dialect, limit_ms: int = LONG_MS
) -> RunningCheck:
    plan = Plan(CheckTarget(server.host, server.port), Limits(limit_ms))
    begun = connects.begin(7, plan, dialect)
    assert isinstance(begun, RunningCheck)
    return begun


def turn(connects: Connects) -> list[Outcome]:
    assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
    return [outcome for _, outcome in connects.ended(9)]


def outcome_with(handler: Handler, dialect: Dialect) -> Outcome:
    with contextlib.closing(Connects()) as connects, Server(handler) as server:
        begin(connects, server, dialect)
        while not (found := turn(connects)):
            assert len(connects) == 1
        assert (len(connects), connects.next_deadline_ms()) == (0, None)
    [outcome] = found
    return outcome


def test_a_greeting_and_a_farewell() -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        heard.append(connection.recv(99))

    dialect = Greeting()
    outcome = outcome_with(serve, dialect)
    assert (outcome.status, outcome.code, outcome.description) == (
        CheckStatus.L7OK,
        220,
        repr(b"220 ready\r\n"),
    )
    assert heard == [QUIT]
    assert dialect.events == [
        Moment.CONNECTED,
        Received(b"220 ready\r\n"),
        Moment.SENT,
        Ended(b"", 0),
    ]


@pytest.mark.parametrize(("bytes_min", "first"), [(1, b"2"), (4, b"220 ")])
def test_bytes_one_by_one_are_given_as_many_as_were_expected(bytes_min: int, first: bytes) -> None:
    """Each byte is sent when the check has taken the one before it from its socket."""
    dialect = Greeting(bytes_min)
    ends: list[socket.socket] = []
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        ends.append(connection)
        over.wait(PATIENCE_SECONDS)

    with contextlib.closing(Connects()) as connects, Server(serve) as server:
        begin(connects, server, dialect)
        wait_for(lambda: connects.ended(9) == [] and dialect.events and ends, 9, "connected")
        for byte in b"220 yes\r\n":
            ends[0].send(bytes([byte]))
            assert turn(connects) == []
        assert ends[0].recv(99) == QUIT
        ends[0].shutdown(socket.SHUT_WR)
        [outcome] = turn(connects)
        over.set()
    assert outcome.status is CheckStatus.L7OK
    given = [event.data for event in dialect.events if isinstance(event, Received)]
    assert given[0] == first
    assert given[1:] == [bytes([byte]) for byte in b"220 yes\r\n"[bytes_min:]]


@pytest.mark.parametrize("sent", [b"", b"22", b"220 un"])
def test_an_early_end_brings_what_was_not_given_yet(sent: bytes) -> None:
    dialect = Greeting(bytes_min=9)
    outcome = outcome_with(lambda connection: connection.sendall(sent), dialect)
    assert (outcome.status, outcome.code) == (CheckStatus.L7RSP, 0)
    assert dialect.events == [Moment.CONNECTED, Ended(sent, 0)]


def test_a_reset_is_an_end_with_its_errno() -> None:
    def reset(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        connection.recv(99)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    outcome = outcome_with(reset, Greeting())
    assert (outcome.status, outcome.code) == (CheckStatus.L7RSP, errno.ECONNRESET)


def test_garbage_is_judged_by_the_dialect() -> None:
    outcome = outcome_with(lambda connection: connection.sendall(b"\0\xff\xfe" * 9), Greeting())
    assert outcome.status is CheckStatus.L7STS


def test_a_deadline_in_the_middle_is_the_dialect_s_and_one_before_the_connect_is_not() -> None:
    ends: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220")
        ends.append(connection.recv(99))

    full = Backend().fill()
    with contextlib.closing(Connects()) as connects, Server(serve) as server:
        attempt = begin(connects, server, Greeting())
        full_target = CheckTarget(full.host, full.port)
        assert isinstance(
            connects.begin(8, Plan(full_target, Limits(2 * LONG_MS)), Greeting()), RunningCheck
        )
        dialect = attempt.dialect
        assert isinstance(dialect, Greeting)
        while not dialect.line:
            assert turn(connects) == []
        assert connects.expired(attempt.deadline_ms - 1, 9) == []
        [(late, outcome)] = connects.expired(attempt.deadline_ms, 9)
        assert (late, outcome.status, outcome.description) == (attempt, CheckStatus.L7TOUT, "220")
        wait_for(lambda: ends == [b""], 9, "the ordinary end of the connection")
        deadline_ms = connects.next_deadline_ms()
        assert deadline_ms is not None
        [(_, outcome)] = connects.expired(deadline_ms, 9)
        assert (outcome.status, outcome.code) == (CheckStatus.L4TOUT, 0)
    full.close()


def test_what_came_in_time_counts_though_it_is_heard_at_the_deadline() -> None:
    with contextlib.closing(Connects()) as connects, Server(lambda _: None) as server:
        attempt = begin(connects, server, CONNECT_ONLY)
        assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
        [(_, outcome)] = connects.expired(attempt.deadline_ms, 9)
        assert outcome.status is CheckStatus.L4OK
        attempt = begin(connects, server, Greeting())
        assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
        [(_, outcome)] = connects.expired(attempt.deadline_ms, 9)
        assert outcome.status is CheckStatus.L7TOUT  # connected, and no more
        assert len(connects) == 0


@pytest.mark.parametrize("bytes_min", [1, RECEIVED_MAX])
def test_a_server_that_never_ends_is_given_in_bounded_pieces_until_time_is_up(
    bytes_min: int,
) -> None:
    def pour(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"x" * 100_000)

    dialect = Listener(bytes_min)
    with contextlib.closing(Connects()) as connects, Server(pour) as server:
        attempt = begin(connects, server, dialect)
        while len(dialect.sizes) < 50:
            assert turn(connects) == []
        [(_, outcome)] = connects.expired(attempt.deadline_ms, 9)
    assert outcome.status is CheckStatus.L7TOUT
    assert max(dialect.sizes) == RECEIVED_MAX
    assert bytes_min == 1 or set(dialect.sizes) == {RECEIVED_MAX}


def test_what_a_dialect_has_no_room_for_waits_for_the_next_step() -> None:
    class Sips(Listener):
        """Takes three bytes at most, then two, and so on."""

        def answer(self, event: Event) -> Answer:
            answer = super().answer(event)
            if isinstance(answer, Result) or sum(self.sizes) == len(b"220 ready"):
                return Result(CheckStatus.L7OK)
            return Expect(1, 3 - len(self.sizes) % 2)

    dialect = Sips()
    outcome = outcome_with(lambda connection: connection.sendall(b"220 ready"), dialect)
    assert (outcome.status, dialect.sizes) == (CheckStatus.L7OK, [3, 2, 3, 1])


def test_what_the_kernel_does_not_take_at_once_is_sent_when_it_does() -> None:
    farewell = bytes(range(256)) * 80_000
    heard = bytearray()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        while len(heard) < len(farewell) and (data := connection.recv(1 << 20)):
            heard.extend(data)

    dialect = Greeting(farewell=farewell)
    assert outcome_with(serve, dialect).status is CheckStatus.L7OK
    assert heard == farewell
    assert dialect.events.count(Moment.SENT) == 1


def test_a_check_waits_without_turning() -> None:
    """No event is left over: a level that stays up would wake the loop for ever."""
    heard: list[bytes] = []
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        heard.append(connection.recv(99))
        over.wait(PATIENCE_SECONDS)

    dialect = Greeting()
    with contextlib.closing(Connects()) as connects, Server(serve) as server:
        begin(connects, server, dialect)
        while not heard:
            if select.select([connects], [], [], 0.01)[0]:
                assert connects.ended(9) == []
        assert select.select([connects], [], [], 0.1)[0] == []
        over.set()
        assert [outcome.status for outcome in turn(connects)] == [CheckStatus.L7OK]


def test_the_proxy_header_precedes_what_the_dialect_sends() -> None:
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        while not heard or not heard[-1].endswith(QUIT):
            heard.append(connection.recv(99))

    with contextlib.closing(Connects()) as connects, Server(serve) as server:
        target = CheckTarget(server.host, server.port)
        header = ProxyHeader.V2
        begun = connects.begin(1, Plan(target, Limits(LONG_MS), header=header), Greeting())
        assert isinstance(begun, RunningCheck)
        while not (found := turn(connects)):
            pass
    assert found[0].status is CheckStatus.L7OK
    assert b"".join(heard) == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0" + QUIT


@pytest.mark.parametrize(("reset", "end"), [(False, "end"), (True, "reset")])
def test_a_check_closes_as_its_dialect_says(reset: bool, end: str) -> None:
    seen: list[str] = []

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"no\r\n")
        try:
            seen.append("end" if connection.recv(9) == b"" else "bytes")
        except ConnectionResetError:
            seen.append("reset")

    dialect = Greeting()
    dialect.first = Connect(reset_on_close=reset)
    outcome_with(serve, dialect)
    wait_for(lambda: seen, 9, "the end")
    assert seen == [end]


def test_only_a_check_that_says_something_reaches_the_application() -> None:
    """The handshake's last ACK and the reset, which a later connection would overtake."""
    with contextlib.closing(Connects()) as connects, Server(lambda _: None) as server:
        for dialect, accepted in ((CONNECT_ONLY, 1), (Greeting(), 3)):
            begin(connects, server, dialect)
            while not turn(connects):
                pass
            with socket.create_connection(server.address) as after:
                assert after.recv(9) == b""
            assert server.accepted == accepted


def test_abandoned_exchanges_leave_nothing() -> None:
    with contextlib.closing(Connects()) as connects, Server(void) as server:
        attempt = begin(connects, server, Greeting())
        assert turn(connects) == []
        connects.abandon(attempt)
        assert (len(connects), connects.next_deadline_ms()) == (0, None)
        again = begin(connects, server, CONNECT_ONLY)  # on the same descriptor
        [outcome] = turn(connects)
        assert outcome.status is CheckStatus.L4OK
        assert again.socket.fileno() == -1


def void(connection: socket.socket) -> None:
    """Take what comes until the end."""
    while connection.recv(99):
        pass


def test_the_connect_only_dialect_passes_what_is_connected() -> None:
    assert CONNECT_ONLY.answer(Moment.CONNECTED) == Result(CheckStatus.L4OK, 0, "")
    assert CONNECT_ONLY.first == Connect(quick_ack=False, reset_on_close=True)
