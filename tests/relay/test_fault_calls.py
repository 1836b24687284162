"""Each call that the relay makes fails or comes short, at each N: nothing may idle or be lost.

The faults are such as the kernel may produce, and a session must not notice them: both ends of the
conversation get every byte and the other's end. Errors that end a connection for good (its peer
vanished, no socket left) may cut it short, but both ends must see an end, and the next conversation
must find the relay whole.
"""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS
from tests.support.relay.conversation import (
    BOTH_WAYS,
    DOWNLOAD,
    EXCHANGE,
    STALLED,
    Scenario,
)
from tests.support.relay.fault_relay import FaultyRelay, faulty_relay
from tests.support.relay.faults import Action, Kind, Shim
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

pytestmark = pytest.mark.slow

BYTES = (EXCHANGE, DOWNLOAD, BOTH_WAYS, STALLED)
BULK = (DOWNLOAD, BOTH_WAYS, STALLED)

UNNOTICED = [
    *((s, Kind.RECV, Action.SHORT_EDGE, 0, 1) for s in BYTES),
    *((s, Kind.RECV, Action.ERROR_EDGE, errno.EAGAIN, 0) for s in BYTES),
    *((s, Kind.RECV, Action.ERROR_EDGE, errno.EINTR, 0) for s in (EXCHANGE, DOWNLOAD)),
    *((s, Kind.SEND, Action.SHORT_EDGE, 0, 1) for s in BYTES),
    *((s, Kind.SEND, Action.ERROR_EDGE, errno.EAGAIN, 0) for s in BYTES),
    *((s, Kind.SPLICE_IN, Action.SHORT, 0, 100) for s in BULK),
    *((s, Kind.SPLICE_IN, Action.ZERO, 0, 0) for s in BULK),
    *((s, Kind.SPLICE_IN, Action.ERROR_EDGE, errno.EAGAIN, 0) for s in BULK),
    *((s, Kind.SPLICE_OUT, Action.SHORT_EDGE, 0, 1) for s in BULK),
    *((s, Kind.SPLICE_OUT, Action.ERROR_EDGE, errno.EAGAIN, 0) for s in BULK),
    *(
        (EXCHANGE, Kind.ACCEPT, Action.ERROR, error, 0)
        for error in (
            errno.EAGAIN,
            errno.EINTR,
            errno.ECONNABORTED,
            errno.EPROTO,
            errno.EPERM,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOBUFS,
            errno.ENOMEM,
        )
    ),
    *(
        (EXCHANGE, Kind.CONNECT, Action.ERROR, error, 0)
        for error in (
            errno.ECONNREFUSED,
            errno.EADDRNOTAVAIL,
            errno.ETIMEDOUT,
            errno.ENETUNREACH,
            errno.EAGAIN,
        )
    ),
    (EXCHANGE, Kind.CONNECT, Action.AT_ONCE, 0, 0),
    (DOWNLOAD, Kind.CONNECT, Action.AT_ONCE, 0, 0),
    *((s, Kind.EPOLL_WAIT, Action.ZERO, 0, 0) for s in (EXCHANGE, DOWNLOAD)),
    *((s, Kind.EPOLL_WAIT, Action.ERROR, errno.EINTR, 0) for s in (EXCHANGE, DOWNLOAD)),
    *((s, Kind.CLOSE, Action.ERROR_DONE, errno.EINTR, 0) for s in (EXCHANGE, DOWNLOAD)),
]

ENDING = [
    (EXCHANGE, Kind.SOCKET, Action.ERROR, errno.EMFILE, 0),
    (EXCHANGE, Kind.SOCKET, Action.ERROR, errno.ENOBUFS, 0),
    (EXCHANGE, Kind.EPOLL_ADD, Action.ERROR, errno.ENOMEM, 0),
    (EXCHANGE, Kind.EPOLL_ADD, Action.ERROR, errno.ENOSPC, 0),
    *((s, Kind.RECV, Action.ERROR, errno.ETIMEDOUT, 0) for s in (EXCHANGE, BOTH_WAYS)),
    *((s, Kind.SEND, Action.ERROR, errno.EPIPE, 0) for s in (EXCHANGE, BOTH_WAYS)),
    *((s, Kind.SEND, Action.ERROR, errno.EHOSTUNREACH, 0) for s in (EXCHANGE, STALLED)),
    *((s, Kind.SPLICE_IN, Action.ERROR, errno.ETIMEDOUT, 0) for s in BULK),
    *((s, Kind.SPLICE_OUT, Action.ERROR, errno.EPIPE, 0) for s in BULK),
]


def named(parameters: tuple[Scenario, Kind, Action, int, int]) -> str:
    scenario, kind, action, error, _ = parameters
    words = [scenario.name, kind.name, action.name, errno.errorcode.get(error, "")]
    return "-".join(word.lower().replace(" ", "_") for word in words if word)


@pytest.mark.parametrize("fault", UNNOTICED, ids=named)
def test_a_session_does_not_notice(
    faulty: FaultyRelay, fault: tuple[Scenario, Kind, Action, int, int]
) -> None:
    scenario, kind, action, error, length = fault
    fired = faulty.at_each_call(scenario, kind, action, error=error, length=length)
    assert fired > 0, "no such call was made"


@pytest.mark.parametrize("fault", ENDING, ids=named)
def test_a_session_that_must_end_ends_on_both_sides(
    faulty: FaultyRelay, fault: tuple[Scenario, Kind, Action, int, int]
) -> None:
    scenario, kind, action, error, length = fault
    fired = faulty.at_each_call(scenario, kind, action, error=error, length=length, may_be_cut=True)
    assert fired > 0, "no such call was made"


@pytest.mark.parametrize("scenario", BYTES, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("buffer_bytes", [0, 16_384])
def test_one_event_at_a_time_and_the_smallest_buffers_lose_nothing(
    faulty: FaultyRelay, scenario: Scenario, buffer_bytes: int
) -> None:
    faulty.shim.set(events_max=1, buffer_bytes=buffer_bytes)
    for _ in range(3):
        faulty.converse(scenario)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE])
def test_bulk_is_copied_until_there_is_a_pipe(tmp_path: Path, error: int) -> None:
    with faulty_relay(tmp_path) as fresh:  # a pipe is made once and pooled
        fresh.shim.arm(Kind.PIPE, 1, Action.ERROR, error)
        fresh.converse(DOWNLOAD)
        assert fresh.shim.disarm()
        fresh.converse(DOWNLOAD)
        assert fresh.relay.counters()["bytes_spliced"] > 0
        fresh.settle("after two downloads")
        fresh.check_whole()


@pytest.mark.parametrize("scenario", BULK, ids=lambda scenario: scenario.name)
def test_without_pipes_bulk_is_copied(faulty: FaultyRelay, scenario: Scenario) -> None:
    faulty.shim.set(pipe_error=errno.EMFILE)
    for _ in range(3):
        faulty.converse(scenario)


def test_pipes_that_the_kernel_keeps_small_are_tried_again_later(tmp_path: Path) -> None:
    with faulty_relay(tmp_path) as fresh:
        fresh.shim.set(pipe_size_error=errno.EPERM)
        for _ in range(3):
            fresh.converse(DOWNLOAD)
        assert fresh.relay.counters()["bytes_spliced"] == 0
        fresh.shim.set(pipe_size_error=0)
        for _ in range(100):
            fresh.converse(DOWNLOAD)
        assert fresh.relay.counters()["bytes_spliced"] > 0
        fresh.settle("after all downloads")
        fresh.check_whole()


@pytest.mark.parametrize("word", ["global_rate", "session_rate"])
def test_a_client_that_could_not_be_taken_is_not_counted_against_the_rate(
    tmp_path: Path, word: str
) -> None:
    shim = Shim(tmp_path)
    with Server(echo) as server:
        started = RelayUnderTest([server.address], environment=shim.environ, **{word: 1})
        with started as relay:
            shim.arm(Kind.EPOLL_ADD, 1, Action.ERROR, errno.ENOMEM)
            with relay.connect() as lost:
                lost.settimeout(PATIENCE_SECONDS)
                assert lost.recv(1) == b""
            with relay.connect() as client:
                client.sendall(b"here")
                assert receive_count(client, 4) == b"here"
            assert relay.counters()["maxconn_pauses"] == 0
    shim.close()
