"""What a server may send under TLS, in whatever pieces: no exception, no end of memory or time."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.tls import TlsContext
from proxy.health import tls_stream
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Ended,
    Event,
    Expect,
    Moment,
    Received,
    Result,
    Send,
)
from proxy.health.exchange import TlsExchange
from proxy.health.tls_stream import FAILED, Encryption, TlsStream, matches
from proxy.tls import make_context
from shm.check_status import CheckStatus
from tests.support.certificates import Authority
from tests.support.generated import sample

QUESTION = b"question\r\n"
ROUNDS_MAX = 200


class Listens:
    """Asks, and wants to hear until the end."""

    first = Connect()
    place = ""

    def __init__(self) -> None:
        self.heard = b""
        self.ended: Ended | None = None

    def answer(self, event: Event) -> Answer:
        if event is Moment.SECURED:
            return Send(QUESTION)
        if isinstance(event, Received):
            assert 0 < len(event.data) <= RECEIVED_MAX
            self.heard += event.data
        if isinstance(event, Ended):
            self.heard += event.data
            self.ended = event
            return Result(CheckStatus.L7OK)
        return Result(CheckStatus.L7TOUT) if event is Moment.EXPIRED else Expect()


class Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    made = Authority(tmp_path_factory.mktemp("pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.issue("server", "server.test"))
    authorities = (made.folder / "ca.pem").read_bytes()
    return Contexts(server, make_context(TlsContext(True, authorities)))


class Conversation:
    """A check's side over a socket, and a server that the test plays with its bytes in hand."""

    def __init__(self, contexts: Contexts) -> None:
        self.near, self.far = socket.socketpair()
        for each in (self.near, self.far):
            each.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = contexts.server.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.stream = TlsStream(self.near, Encryption(contexts.client, "server.test"))
        self.dialect = Listens()
        self.exchange: TlsExchange | None = None
        self.result: Result | None = None

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()

    def step(self) -> None:
        """Something has come for the check, or may be sent."""
        if self.exchange is not None:
            answer = self.exchange.resume()
        elif self.stream.shake():
            if self.stream.failure:
                self.result = Result(CheckStatus.L6RSP, 0, self.stream.failure)
                return
            self.exchange = TlsExchange(self.stream, self.dialect)
            answer = self.exchange.begin(self.dialect.answer(Moment.SECURED))
        else:
            return
        assert not isinstance(answer, Connect)
        self.result = answer

    def serve(self, said: bytes) -> bytes:
        """What the server sends to what it has received by now; `said` once it is asked."""
        with suppress(OSError):
            self.incoming.write(self.far.recv(1 << 20))
        with suppress(ssl.SSLError):
            self.server.do_handshake()
            if self.server.read(1 << 16) == QUESTION:
                self.server.write(said)
                self.server.unwrap()
        return self.outgoing.read()


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_bytes_arrive_in_whatever_pieces(contexts: Contexts) -> None:
    for size in (1, 7, 100_000):
        with Conversation(contexts) as talk:
            talk.step()
            while talk.result is None:
                sent = talk.serve(b"answer" * 50)
                for piece in pieces(sent, size):
                    talk.far.sendall(piece)
                    if talk.result is None:
                        talk.step()
                talk.step()
            assert talk.dialect.heard == b"answer" * 50
            assert talk.dialect.ended == Ended(b"", 0)


def test_a_long_answer_is_given_in_bounded_parts(contexts: Contexts) -> None:
    said = bytes(range(256)) * 600
    with Conversation(contexts) as talk:
        talk.step()
        waiting = b""
        while talk.result is None:
            waiting += talk.serve(said)
            with suppress(BlockingIOError):
                waiting = waiting[talk.far.send(waiting[:20_000]) :] if waiting else b""
            talk.step()
        assert talk.dialect.heard == said


def test_a_hostile_server_ends_no_more_than_its_check(contexts: Contexts, seed: int) -> None:
    """Bytes of a true server, with some changed, left out, put in or repeated."""
    for number in range(sample(300, 10_000)):
        random = Random(seed + number)
        with Conversation(contexts) as talk:
            play(talk, random)
            assert talk.result is not None, number
            if talk.result.status is CheckStatus.L6RSP:
                assert talk.result.description == FAILED
            assert b"answer".startswith(talk.dialect.heard)  # nothing that the server did not say


def play(talk: Conversation, random: Random) -> None:
    talk.step()
    for _ in range(ROUNDS_MAX):
        if talk.result is not None:
            return
        sent = mutated(talk.serve(b"answer"), random)
        if not sent:
            talk.far.close()
        for piece in pieces(sent, random.randrange(1, 2_000)):
            with suppress(OSError):
                talk.far.sendall(piece)
            if talk.result is None:
                talk.step()
        if talk.result is None:
            talk.step()


def mutated(sent: bytes, random: Random) -> bytes:
    changed = bytearray(sent)
    for _ in range(random.randrange(4)):
        at, length = random.randrange(len(changed) + 1), random.randrange(50)
        kind = random.choice(("flip", "cut", "insert", "repeat", "end"))
        if kind == "flip" and at < len(changed):
            changed[at] ^= random.randrange(1, 256)
        elif kind == "cut":
            del changed[at : at + length]
        elif kind == "insert":
            changed[at:at] = random.randbytes(length)
        elif kind == "repeat":
            changed[at:at] = changed[at : at + length]
        elif kind == "end":
            del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize(
    ("pattern", "host", "same"),
    [
        ("ab*ba.test", "abba.test", True),
        ("ab*ba.test", "aba.test", False),
        ("*.test", "a.test", True),
        ("*", "test", False),
        ("*.test", "test", False),
        ("**.test", "a.test", False),
        ("a.*.test", "a.b.test", False),
        ("a.test", "a.test.", False),
        ("*.Test", "A.tEST", True),
        ("", "a.test", False),
        ("\N{KELVIN SIGN}.test", "k.test", False),
    ],
)
def test_names(pattern: str, host: str, same: bool) -> None:
    assert matches(pattern, host) is same


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_name_matches_itself_and_no_name_of_another_depth(pattern: str, host: str) -> None:
    assert matches(host, host)
    if matches(pattern, host):
        assert pattern.count(".") == host.count(".")


def test_what_a_server_does_not_read_is_bounded(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_stream, "UNSENT_MAX", 1_000)
    with Conversation(contexts) as talk:
        talk.step()
        while not talk.stream.shake():
            talk.far.sendall(talk.serve(b""))
        talk.far.sendall(talk.serve(b""))  # the handshake is done on both sides
        with suppress(BlockingIOError):
            while True:  # until the kernel takes no more
                talk.stream.send(bytes(RECEIVED_MAX))
        talk.server.write(b"asks")
        talk.far.sendall(talk.outgoing.read())
        with pytest.raises(OSError, match="SSL fatal error"):
            talk.stream.recv(100)
