"""Memory ends while a session begins to follow entries of stick tables: it holds none afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.support.config.loading import LISTEN, settings_of
from tests.support.relay.conversation import EXCHANGE
from tests.support.relay.fault_relay import FaultyRelay, faulty_relay
from tests.support.relay.faults import Action, Kind

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer's own allocator"
    ),
]

SETTINGS = settings_of(
    LISTEN
    + "".join(
        f"    {line}\n"
        for line in (
            "stick-table type ip size 20 store conn_cur,conn_cnt,sess_cnt,bytes_in_cnt",
            "tcp-request connection track-sc0 src",
            "tcp-request session track-sc1 dst",
            "tcp-request session set-var(sess.a) src,concat(x)",
            "tcp-request inspect-delay 600s",
            "tcp-request content track-sc2 src_port",
            "tcp-request content set-var(sess.b) req.payload(0,0)",
            "tcp-request content accept if { req.len ge 100 }",
            "server s 127.0.0.1:1",
        )
    )
)
FIELDS = {
    "rules": SETTINGS.proxies[0].rules,
    "lists": SETTINGS.lists,
    "tables": SETTINGS.tables,
    "variables": SETTINGS.variables,
}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyRelay]:
    with faulty_relay(tmp_path_factory.mktemp("tracking"), **FIELDS) as relay:
        yield relay


def test_without_memory_no_entry_stays_held(tracking: FaultyRelay) -> None:
    tracking.converse(EXCHANGE)
    tracking.check_whole()
    assert tracking.relay.tracked(), "nothing is followed"
    fired = tracking.at_each_call(
        EXCHANGE, Kind.MEMORY, Action.ERROR, error=errno.ENOMEM, may_be_cut=True
    )
    assert fired > 0, "no memory was asked for"
    tracking.check_whole()
    assert set(tracking.relay.tracked()) == {0}
