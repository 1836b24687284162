"""Variables take no more memory than they may, and no session ends because there is none."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.config.loading import LISTEN, settings_of
from tests.support.footprint import anonymous_bytes
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


@pytest.mark.parametrize(("most", "lost"), [(VARIABLE_BYTES + 10, 0), (VARIABLE_BYTES + 9, 4)])
def test_what_is_replaced_or_unset_takes_no_room(most: int, lost: int) -> None:
    lines = (
        *["content set-var(txn.b) str(0123456789)"] * 3,
        "content unset-var(txn.b)",
        "content set-var(txn.c) str(9876543210)",
    )
    given = fields(*lines, limits=f"    tune.vars.txn-max-size {most}\n")
    with Server(echo) as server, RelayUnderTest([server.address], **given) as relay:
        with relay.connect() as client:
            client.settimeout(PATIENCE_SECONDS)
            client.sendall(b"hello")
            assert receive_count(client, 5) == b"hello"
        assert relay.counters()["variables_lost"] == lost


LONG = "x" * 8_000
SESSIONS = 300


@pytest.mark.slow
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps what was freed"
)
@pytest.mark.parametrize(
    ("lines", "heard"),
    [
        ([f"content set-var(txn.a) str({LONG})"] * 2, b"hello"),
        ([f"content set-var(txn.a) str({LONG})", "content set-var(txn.a) int(1)"], b"hello"),
        ([f"content set-var(txn.a) str({LONG})", "content unset-var(txn.a)"], b"hello"),
        ([f"connection set-var(sess.a) str({LONG})", "session set-var(sess.b) int(1)"], b"hello"),
        ([f"connection set-var(sess.a) str({LONG})", "connection reject"], b""),
        ([f"session set-var(sess.a) str({LONG})", "session reject"], b""),
        ([f"content set-var(txn.a) str({LONG})", "content reject"], b""),
    ],
    ids=["again", "number", "unset", "served", "connection", "session", "content"],
)
def test_texts_are_freed(lines: list[str], heard: bytes) -> None:
    def come(count: int) -> None:
        for _ in range(count):
            resets = nullcontext() if heard else suppress(ConnectionError)
            with resets, relay.connect() as client:
                client.settimeout(PATIENCE_SECONDS)
                client.sendall(b"hello")
                assert receive_count(client, len(heard) or 1) == heard

    with Server(echo) as server, RelayUnderTest([server.address], **fields(*lines)) as relay:
        come(20)
        before = anonymous_bytes(relay.pid())
        come(SESSIONS)
        wait_for(lambda: relay.counters()["sessions"] == 0, PATIENCE_SECONDS, "all have ended")
        assert anonymous_bytes(relay.pid()) - before < SESSIONS * len(LONG) // 4


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
