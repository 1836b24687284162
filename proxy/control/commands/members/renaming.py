"""`set server <backend>/<server> name <name>`: a server gets another name while the program runs.

As in HAProxy 3.5 it is in maintenance, and no line of the files calls it by the name that it has.
All that counts for it goes on: sessions, counters, orders, entries of stick tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.control.caller import note_change
from proxy.control.command import CommandError, Piece
from proxy.control.commands.members.needed import refuse_named
from proxy.control.commands.set_server import SetServer
from proxy.control.rows.observation import MAINT_MASK, Observed
from proxy.control.rows.report import Report
from shm.log_level import LogLevel
from shm.members import LATER_NAME_BYTES_MAX

if TYPE_CHECKING:
    from proxy.control.commands.members.orders import MemberOrders

RENAMED = "Server renamed."
NO_NAME = "'set server <backend>/<server> name' expects a name."
NOT_IN_MAINTENANCE = "Only servers in maintenance mode can be renamed."
TAKEN = "Already exists a server with the same name in backend."


class Renaming:
    """The command."""

    def __init__(self, report: Report, orders: SetServer, members: MemberOrders) -> None:
        """`members` keep the table of `report`."""
        self._report = report
        self._orders = orders
        self._members = members

    def rename(self, observed: Observed, name: str) -> Iterator[Piece]:
        """Give the server this name; the answer comes when all workers go by it.

        Raises CommandError.
        """
        proxy, server = observed.proxy, observed.server
        refuse_unfit(name)
        if not observed.admin.flags & MAINT_MASK:
            raise CommandError(NOT_IN_MAINTENANCE)
        refuse_named(proxy, server, self._report)
        if name == server.name:
            yield f"{RENAMED}\n"
            return
        if self._report.directory.server_named(proxy, name) is not None:
            raise CommandError(TAKEN)
        self._orders.refuse_if_replaced()
        slots = self._members.slots
        change = slots.writer.rename(server.slot, name.encode())
        self._members.follow()
        slots.ring(server.slot)
        note_change("renamed", server.name, name)
        told = f"server {proxy.name}/{server.name}: renamed to {name}."
        self._report.runtime.log(LogLevel.NOTICE, told)
        applied = slots.applied(server.slot, change)
        yield applied
        yield f"{RENAMED}\n{applied.told()}"


def refuse_unfit(name: str) -> None:
    """Raise CommandError for a name that no server line could have."""
    if not name:
        raise CommandError(NO_NAME)
    try:
        check_label(name, "server")
    except ConfigError as error:
        raise CommandError(f"{error}.") from error
    if len(name) > LATER_NAME_BYTES_MAX:
        raise CommandError(
            f"A name has at most {LATER_NAME_BYTES_MAX} characters here, not {len(name)}."
        )
