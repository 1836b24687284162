"""Variables take no more memory than they may, and no session ends because there is none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.config.loading import LISTEN, settings_of
from tests.support.relay.conversation import EXCHANGE
from tests.support.relay.fault_relay import faulty_relay
from tests.support.relay.faults import Action, Kind
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_count

VARIABLE_BYTES = 80  # that each counts for beside its text: HAProxy's figure


def fields(*lines: str, limits: str = "") -> dict[str, Any]:
    """Of a section with these lines; `limits` are lines of the global section."""
    rules = "".join(f"    tcp-request {line}\n" for line in lines)
    settings = settings_of(f"global\n{limits}" + LISTEN + rules + "    server a 127.0.0.1:1\n")
    return {
        "rules": settings.proxies[0].rules,
        "lists": settings.lists,
        "variables": settings.variables,
        "variable_bytes": settings.globals.variable_bytes,
    }


@pytest.mark.slow
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer's own allocator"
)
def test_a_session_goes_on_without_memory_for_its_variables(tmp_path: Path) -> None:
    lines = (
        "connection set-var(sess.a) src",
        "session set-var(sess.b) str(text)",
        "content set-var(txn.c) str(other)",
        "content set-var-fmt(txn.d) %[src]:%[src_port]",
        "content capture src len 9",
    )
    with faulty_relay(tmp_path, **fields(*lines)) as relay:
        relay.converse(EXCHANGE)
        relay.settle("without a fault")
        assert relay.relay.counters()["variables_lost"] == 0
        fired = relay.at_each_call(
            EXCHANGE, Kind.MEMORY, Action.ERROR, error=errno.ENOMEM, may_be_cut=True
        )
        assert fired >= 5, "the room, and a text for each of four"
        assert 5 <= relay.relay.counters()["variables_lost"] <= fired
        relay.check_whole()


@pytest.mark.parametrize(
    ("limits", "lost"),
    [
        ("tune.vars.txn-max-size 1k", 0),
        (f"tune.vars.txn-max-size {2 * VARIABLE_BYTES + 4}", 0),
        (f"tune.vars.txn-max-size {2 * VARIABLE_BYTES + 3}", 1),
        (f"tune.vars.txn-max-size {VARIABLE_BYTES}", 1),
        (f"tune.vars.txn-max-size {VARIABLE_BYTES - 1}", 2),
        (f"tune.vars.sess-max-size {3 * VARIABLE_BYTES + 4}", 0),
        (f"tune.vars.sess-max-size {3 * VARIABLE_BYTES}", 1),
        (f"tune.vars.reqres-max-size {VARIABLE_BYTES - 1}", 0),
        (f"tune.vars.global-max-size {3 * VARIABLE_BYTES}", 1),
        (f"tune.vars.global-max-size 1k\n    tune.vars.proc-max-size {VARIABLE_BYTES}", 2),
    ],
)
def test_each_limit_holds_and_what_it_keeps_out_is_counted(limits: str, lost: int) -> None:
    lines = (
        "connection set-var(sess.a) int(1)",
        "content set-var(txn.b) int(2)",
        "content set-var(txn.c) str(four)",
    )
    given = fields(*lines, limits=f"    {limits}\n")
    with Server(echo) as server, RelayUnderTest([server.address], **given) as relay:
        for session in range(1, 4):  # what a session took is given back
            with relay.connect() as client:
                client.settimeout(PATIENCE_SECONDS)
                client.sendall(b"hello")
                assert receive_count(client, 5) == b"hello"
            wait_for(lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "it ends")
            assert relay.counters()["variables_lost"] == lost * session


def test_all_sessions_together_have_a_limit() -> None:
    given = fields(
        "content set-var(txn.a) int(1)",
        limits=f"    tune.vars.global-max-size {3 * VARIABLE_BYTES}\n",
    )
    with Server(echo) as server, RelayUnderTest([server.address], **given) as relay:
        clients = [relay.connect() for _ in range(5)]
        for client in clients:
            client.settimeout(PATIENCE_SECONDS)
            client.sendall(b"hello")
            assert receive_count(client, 5) == b"hello"
        assert relay.counters()["variables_lost"] == 2
        for client in clients:
            client.close()
