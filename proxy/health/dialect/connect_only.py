"""The check that says nothing: a server that accepts connections is well.

As HAProxy does for a check that sends nothing, quick acknowledgements are off, so the handshake's
last ACK is never sent, and the close is a reset: the server's application is not woken up.
"""

from __future__ import annotations

from proxy.health.dialect.seam import Answer, Connect, Event, Moment, Result
from shm.check_status import CheckStatus

CONNECTED = Result(CheckStatus.L4OK)
SECURED = Result(CheckStatus.L6OK)
TLS = Moment.SECURED  # a member of an enumeration is looked up more slowly than all this is done


class ConnectOnly:
    """Its first event is its last."""

    first = Connect(quick_ack=False)
    place = ""

    def answer(self, event: Event) -> Answer:
        """Passed."""
        return SECURED if event is TLS else CONNECTED


CONNECT_ONLY = ConnectOnly()
