"""What a check is aimed at, where it comes from, and how long it may take.

Must not know how a check is made, nor the relay.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from proxy.config.model.settings import Check, Source
from shm.check_orders import AS_CONFIGURED, CheckOrder
from shm.states import ServerState

if TYPE_CHECKING:
    from proxy.health.share import CheckedServer

IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>
TRANSPARENT = {  # by family: level and name of the option to come from a foreign address
    int(socket.AF_INET): (socket.SOL_IP, socket.IP_TRANSPARENT),
    int(socket.AF_INET6): (socket.IPPROTO_IPV6, 75),  # <linux/in6.h>
}


class CheckTarget(NamedTuple):
    """Where a check connects to; `host` is numeric text, or the name of a Unix socket."""

    host: str | bytes
    port: int


class Limits(NamedTuple):
    """How long a check may take, milliseconds (manual: timeout check, inter).

    `connect` begins anew with each connection of a check. With `exchange` None it is for the
    connect and all that follows it; else what follows has a time of its own.
    """

    connect_ms: int
    exchange_ms: int | None = None


def aim(check: Check, order: CheckOrder) -> tuple[str | None, int]:
    """Address and port that are not the server's own; None and 0: they are.

    An order for the address is one for the port behind it in the line, too.
    """
    port = check.port if order.port is None else order.port
    if order.address is not None:
        return order.host, port or 0
    return check.address, port or check.address_port or 0


def target_of(
    server: CheckedServer, view: ServerState, order: CheckOrder = AS_CONFIGURED
) -> CheckTarget | None:
    """What the check of a server is aimed at; None while it must not be checked.

    A program is given the server's own address, whatever its line or an order says.
    """
    address, own_port = aim(server.check, order)
    if server.local is not None and (address is None or server.by_program):
        return None if view.maint else CheckTarget(server.local.local_name, 0)
    host = address or view.address
    port = own_port or view.port
    nowhere = server.checked and port == 0 and not (server.rules and server.rules.names_ports)
    if view.maint or host is None or nowhere:
        return None
    if server.by_program and view.address is not None:
        return CheckTarget(view.address, view.port)
    return CheckTarget(host, port)


def come_from(connection: socket.socket, source: Source) -> None:
    """Let a check come from where its server's sessions do, but from any port; raises OSError.

    There is no client whose address it could use.
    """
    if source.interface is not None:
        name = source.interface.encode() + b"\0"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
    if source.address is None or source.from_client:
        return
    if (socket.AF_INET6 if ":" in source.address else socket.AF_INET) != connection.family:
        return
    if source.foreign:
        level, name_number = TRANSPARENT[connection.family]
        connection.setsockopt(level, name_number, 1)
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((source.address, 0))
