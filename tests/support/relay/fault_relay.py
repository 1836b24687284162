"""A relay under the fault library, and the sweep: the same conversation with the fault at each N."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.config.model.settings import Timeouts
from tests.support.common import wait_for
from tests.support.relay.conversation import Conversation, Scenario
from tests.support.relay.faults import Action, Kind, Shim
from tests.support.relay.site import RelayUnderTest

CALLS_MAX = 400  # of one kind in one conversation
TIMEOUTS = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=2_000)
SETTLE_SECONDS = (
    5.0  # with PATIENCE_SECONDS far below TIMEOUTS: a session that is stuck is still found
)


class FaultyRelay:
    """One relay process, one listening server behind it (as two slots: retries find another)."""

    def __init__(self, relay: RelayUnderTest, listener: socket.socket, shim: Shim) -> None:
        self.relay, self.listener, self.shim = relay, listener, shim
        self.broken = False

    def converse(
        self,
        scenario: Scenario,
        peer: Callable[[Conversation], None] | None = None,
        may_be_cut: bool = False,
        note: str = "",
    ) -> None:
        """One conversation; fails with what went wrong."""
        talk = Conversation(scenario, self.relay.address[:2], self.listener, self.shim, peer)
        wrong = talk.run(may_be_cut)
        if wrong:
            self.broken = True
            pytest.fail(f"{note}: {wrong}; sessions ended {self.relay.terminations()}")

    def at_each_call(
        self,
        scenario: Scenario,
        kind: Kind,
        action: Action,
        *,
        error: int = 0,
        length: int = 1,
        peer: Callable[[Conversation], None] | None = None,
        may_be_cut: bool = False,
    ) -> int:
        """The conversation with the fault at call 1, 2, ... until no such call comes; how many.

        A conversation without even one is repeated, up to CALLS_MAX times: whether bytes come fast
        enough to be spliced, for one, is the scheduler's to say.
        """
        number = 1
        for _ in range(CALLS_MAX):
            self.shim.arm(kind, number, action, error, length)
            self.converse(scenario, peer, may_be_cut, f"{kind.name} {number}")
            self.shim.acknowledge()  # a call that is still to come goes on without a peer
            self.settle(f"{kind.name} {number}")
            if self.shim.disarm():
                number += 1
            elif number > 1:
                return number - 1
        assert number < CALLS_MAX, f"{CALLS_MAX} calls: does the conversation end?"
        return number - 1

    def settle(self, note: str) -> None:
        """The relay has closed the session on its side too."""
        try:
            wait_for(
                lambda: self.relay.counters()["sessions"] == 0,
                5,
                f"{note}: the session ends in the relay",
                step=0.0005,
            )
        except BaseException:
            self.broken = True
            raise

    def reset_shim(self) -> None:
        self.shim.disarm()
        self.shim.set(events_max=0, buffer_bytes=0, pipe_error=0, pipe_size_error=0)
        self.shim.set(connect_error=0, chance=0)

    def check_whole(self) -> None:
        """Nothing is held: no pipe, no buffer, no descriptor beyond those of pooled pipes.

        The relay counts the end of a session a moment after the client has seen it.
        """

        def held() -> dict[str, int]:
            counters = self.relay.counters()
            return {name: counters[name] for name in ("sessions", "pipes_used", "buffer_bytes")}

        wait_for(lambda: not any(held().values()), SETTLE_SECONDS, "nothing is held any more")
        assert self.relay.exit_status() is None


@contextmanager
def faulty_relay(folder: Path, **fields: Any) -> Iterator[FaultyRelay]:
    """Start one, with further fields of its section; stops with the block."""
    shim = Shim(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = listener.getsockname()[:2]
        started = RelayUnderTest(
            [server, server],
            timeouts=TIMEOUTS,
            redispatch=1,
            environment=shim.environ,
            **fields,
        )
        with started as relay:
            yield FaultyRelay(relay, listener, shim)
    shim.close()
