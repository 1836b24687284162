"""Sockets of frontends that an operator has closed: bound, but listening no more.

The order is in the segment, and the sockets follow it.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from proxy.config.model.sockets import SocketFamily
from proxy.runtime import ListeningSocket, Runtime
from shm.client_orders import OPEN, ClientOrdersReader, ClientOrdersWriter

PAUSABLE = (SocketFamily.IPV4, SocketFamily.IPV6)


def listens(listening: ListeningSocket) -> bool:
    """Whether clients can connect to it."""
    if listening.socket.fileno() < 0:  # let go of for good
        return False
    return bool(listening.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def let_go(listening: ListeningSocket) -> None:
    """Listen no more, where that frees something; clients in the queue are reset.

    Never twice: of a socket that does not listen, shutdown(2) marks the connections to come as
    ended by their clients (Linux, inet_shutdown).
    """
    if listening.bind.endpoint.family in PAUSABLE and listens(listening):
        with suppress(OSError):
            listening.socket.shutdown(socket.SHUT_RD)


def settle_closed(runtime: Runtime) -> None:
    """Let go of the sockets of all closed frontends.

    An order may have been cut short by a kill, and a reload that was called off has listened on all
    sockets.
    """
    orders = ClientOrdersReader(runtime.segment)
    for listening in runtime.listeners:
        if orders.frontend(listening.bind.frontend_index).state != OPEN:
            let_go(listening)


def listen_again(runtime: Runtime) -> None:
    """Listen on sockets that a former generation has closed by order since they were taken over.

    Its control changes nothing any more, that of this one waits at the gate. Raises OSError where
    another program listens there.
    """
    orders = ClientOrdersWriter(runtime.segment)
    closed = [
        listening
        for listening in runtime.listeners
        if listening.bind.endpoint.family in PAUSABLE and not listens(listening)
        if orders.frontend(listening.bind.frontend_index).state == OPEN
    ]
    for listening in closed:
        try:
            listening.socket.listen(listening.backlog)
        except OSError as error:
            where = f"{listening.bind.endpoint.host}:{listening.bind.endpoint.port}"
            raise OSError(error.errno, f"cannot listen again: {error.strerror}", where) from error
    if closed:
        orders.announce()  # relays have put aside what did not listen
        runtime.bells.ring_table()
