"""The check that says nothing: a server that accepts connections is well.

As HAProxy does for a check that sends nothing, quick acknowledgements are off, so the handshake's
last ACK is never sent, and the close is a reset: the server's application is not woken up.
"""

from __future__ import annotations

from proxy.health.dialect.seam import Answer, Connect, Event, Moment, Result
from shm.check_status import CheckStatus

PASSED = Result(CheckStatus.L4OK)


class ConnectOnly:
    """Its first event, CONNECTED, is its last."""

    first = Connect(quick_ack=False)
    place = ""

    def answer(self, event: Event) -> Answer:
        """Passed."""
        assert event is Moment.CONNECTED, event
        return PASSED


CONNECT_ONLY = ConnectOnly()
