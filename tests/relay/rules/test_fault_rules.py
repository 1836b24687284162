"""Each call that the relay makes fails or comes short while rules wait for bytes of both sides."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.support.config.loading import LISTEN, settings_of
from tests.support.relay.conversation import DOWNLOAD, EXCHANGE, Scenario
from tests.support.relay.fault_relay import FaultyRelay, faulty_relay
from tests.support.relay.faults import Action, Kind

pytestmark = pytest.mark.slow

SETTINGS = settings_of(
    LISTEN
    + "".join(
        f"    {line}\n"
        for line in (
            "tcp-request inspect-delay 600s",
            "tcp-request content accept if { req.len ge 100 }",
            "tcp-request content reject",
            "tcp-response inspect-delay 600s",
            "tcp-response content accept if { res.len ge 20 }",
            "tcp-response content reject",
            "server s 127.0.0.1:1",
        )
    )
)
FIELDS = {"rules": SETTINGS.proxies[0].rules, "lists": SETTINGS.lists}
BYTES = (EXCHANGE, DOWNLOAD)  # in which the client finishes last: else rules wait no more
UNNOTICED = [
    *((s, Kind.RECV, Action.SHORT_EDGE, 0) for s in BYTES),
    *((s, Kind.RECV, Action.ERROR_EDGE, errno.EAGAIN) for s in BYTES),
    (EXCHANGE, Kind.RECV, Action.ERROR_EDGE, errno.EINTR),
    (EXCHANGE, Kind.SEND, Action.SHORT_EDGE, 0),
    (EXCHANGE, Kind.CONNECT, Action.ERROR, errno.ECONNREFUSED),
    (EXCHANGE, Kind.EPOLL_WAIT, Action.ZERO, 0),
]
ENDING = [
    (EXCHANGE, Kind.RECV, Action.ERROR, errno.ETIMEDOUT),
    (EXCHANGE, Kind.SEND, Action.ERROR, errno.EPIPE),
    (EXCHANGE, Kind.SOCKET, Action.ERROR, errno.EMFILE),
    (EXCHANGE, Kind.EPOLL_ADD, Action.ERROR, errno.ENOMEM),
    pytest.param(
        (EXCHANGE, Kind.MEMORY, Action.ERROR, errno.ENOMEM),
        marks=pytest.mark.skipif(
            "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer's own allocator"
        ),
    ),
]


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRelay]:
    with faulty_relay(tmp_path_factory.mktemp("ruled"), **FIELDS) as relay:
        yield relay
        relay.check_whole()


@pytest.fixture(autouse=True)
def calm(ruled: FaultyRelay) -> Iterator[None]:
    yield
    ruled.reset_shim()


@pytest.mark.parametrize("fault", UNNOTICED, ids=str)
def test_rules_decide_as_without_the_fault(
    ruled: FaultyRelay, fault: tuple[Scenario, Kind, Action, int]
) -> None:
    scenario, kind, action, error = fault
    fired = ruled.at_each_call(scenario, kind, action, error=error)
    assert fired > 0, "no such call was made"


@pytest.mark.parametrize("fault", ENDING, ids=str)
def test_a_session_that_must_end_holds_nothing(
    ruled: FaultyRelay, fault: tuple[Scenario, Kind, Action, int]
) -> None:
    scenario, kind, action, error = fault
    fired = ruled.at_each_call(scenario, kind, action, error=error, may_be_cut=True)
    assert fired > 0, "no such call was made"
    ruled.check_whole()
