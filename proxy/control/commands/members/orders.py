"""`add server` and `del server`: servers that come and go while the program runs.

As in HAProxy an added server begins in maintenance, its checks suspended, and only one in
maintenance, without sessions, can be deleted: an added one, or one of the files. Everything that
makes a server a member is written before the change that says so (shm/members.pxd); answers come
when all workers go by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.members.line import AddedLine, accepted_words, read_line
from proxy.control.commands.members.needed import refuse_needed
from proxy.control.commands.members.renaming import TAKEN, Renaming
from proxy.control.commands.members.slots import Slots
from proxy.control.commands.set_server import SetServer
from proxy.control.rows.observation import MAINT_MASK, Observed
from proxy.control.rows.report import Report
from proxy.members.static import static_state
from proxy.members.table_changes import ServerMembers, encode_member
from proxy.runtime import now_ms
from shm.check_orders import AS_CONFIGURED
from shm.log_level import LogLevel
from shm.members import LINE_BYTES_MAX
from shm.states import AdminState

ADDED = "New server registered."
DELETED = "Server deleted."
STATIC = "Backend must use a dynamic load balancing to support dynamic servers."
NOT_IN_MAINTENANCE = "Only servers in maintenance mode can be deleted."
CONNECTED = "Server still has connections attached to it, cannot remove it."


class MemberOrders:
    """Commands of administrators."""

    def __init__(self, report: Report, orders: SetServer, members: ServerMembers) -> None:
        """`members` keep the table of `report`, and have brought it up to date."""
        self._report = report
        self._orders = orders
        self._members = members
        runtime = report.runtime
        self.slots = Slots(runtime.segment, runtime.bells, report.servers.backends)
        orders.rename = Renaming(report, orders, self).rename
        self.follow()  # a predecessor may have left a change without its announcement

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("add", "server"),
                "<bk>/<srv> <addr> [opts]",
                "add a server to a backend, in maintenance at first",
                Level.ADMIN,
                self.add,
            ),
            Command(
                ("add", "server", "help"),
                "",
                "list the words that 'add server' takes",
                Level.ADMIN,
                lambda _words, _level: [f"{word}\n" for word in accepted_words()],
            ),
            Command(
                ("del", "server"),
                "<bk>/<srv>",
                "delete a server that is in maintenance",
                Level.ADMIN,
                self.delete,
            ),
        ]

    def add(self, words: list[str], _level: Level) -> Iterator[Piece]:
        """`add server <backend>/<server> <words of a server line>`."""
        proxy, name = self._place(words)
        assert proxy.backend_index is not None
        line = read_line(proxy, name, words[1:], self._report.settings.resolverd)
        if self.slots.free(proxy.backend_index) is None:
            yield from self.slots.room(proxy.backend_index)
            self._place(words)  # another order may have come in between
        server, change = self._publish(line)
        runtime = self._report.runtime
        runtime.log(LogLevel.NOTICE, f"server {proxy.name}/{server.name}: {ADDED}")
        applied = self.slots.applied(server.slot, change)
        yield applied
        yield f"{ADDED}\n{applied.told()}"

    def _place(self, words: list[str]) -> tuple[Proxy, str]:
        """The backend and the name of a new server; raises CommandError."""
        backend, separator, name = "".join(words[:1]).partition("/")
        if not (backend and separator and name):
            raise CommandError("Require 'backend/server'.")
        directory = self._report.directory
        proxy = directory.backend(backend)
        if proxy is None:
            raise CommandError("No such backend.")
        if proxy.weights_fixed:
            raise CommandError(STATIC)
        if directory.server_named(proxy, name) is not None:
            raise CommandError(TAKEN)
        return proxy, name

    def _publish(self, line: AddedLine) -> tuple[Server, int]:
        """Make the server a member; it, and the change. Raises CommandError."""
        proxy = line.proxy
        assert proxy.backend_index is not None
        self._orders.refuse_if_replaced()
        number = self._number(line)
        slot = self.slots.free(proxy.backend_index)
        if slot is None:
            raise CommandError(
                f"No slot is free for another server of backend {proxy.name}: it has "
                f"{proxy.spare_slots} spare ones; write more into 'spare-servers' of the global "
                "section and reload."
            )
        writer = self.slots.writer
        row = self.slots.name_row(proxy.backend_index, slot)
        server = line.server(slot, number, writer.following, row)
        encoded = encode_member(server)
        if len(encoded) > LINE_BYTES_MAX:
            raise CommandError(f"The line of server {server.name} is too long.")
        self.slots.address(server)
        self._orders.names.publish(slot, "", now_ms())
        self._orders.writer.publish(
            slot, AdminState(int(line.administration), -1, None, 0, 0, now_ms())
        )
        self._report.runtime.check_orders.publish(slot, AS_CONFIGURED)
        self._report.monitor.forget(slot)
        change = writer.add(slot, encoded, static_state(server))
        self.slots.taken(proxy.backend_index, slot)
        self.follow()
        self.slots.ring(slot)
        return server, change

    def _number(self, line: AddedLine) -> int:
        """The id that the line gives, or the lowest that is free; raises CommandError."""
        directory, proxy = self._report.directory, line.proxy
        number = line.draft.options.id
        if number is None:
            number = 1
            while directory.server_numbered(proxy, number) is not None:
                number += 1
            return number
        owner = directory.server_numbered(proxy, number)
        if owner is not None:
            where = f"at {owner.origin.file}:{owner.origin.line} ('server {owner.name}')"
            if owner.added:
                where = f"by 'server {owner.name}', which was added at run time"
            raise CommandError(f"'id' : custom id {number} already used {where}.")
        return number

    def refuse(self) -> None:
        """Raise CommandError where another process writes by now."""
        self._orders.refuse_if_replaced()

    def follow(self) -> None:
        """Go by the change, as workers do."""
        changes = self._members.catch_up()
        for proxy in changes.unnamed:
            self._report.directory.unnamed(proxy)
            self._report.monitor.availability.pop(proxy.name, None)
        for proxy in changes.named:
            self._report.monitor.named(proxy)
            self._report.directory.named(proxy)
        for server in changes.removed:
            self._report.directory.removed(server)
        for server in changes.added:
            self._report.directory.added(server)
        for former, server in changes.renamed:
            self._report.directory.removed(former)
            self._report.directory.added(server)

    def removable(self, name: str) -> str:
        """Why a server cannot be deleted yet, empty: it can be. Raises CommandError: never."""
        return self._not_yet(self._orders.observed([name]))

    def _not_yet(self, observed: Observed) -> str:
        """The same of a server that there is."""
        if not observed.server.added:
            refuse_needed(observed.proxy, observed.server, self._report)
        if not observed.admin.flags & MAINT_MASK:
            raise CommandError(NOT_IN_MAINTENANCE)
        return "" if self.slots.writer.quiet(observed.server.slot) else CONNECTED

    def delete(self, words: list[str], _level: Level) -> Answer:
        """`del server <backend>/<server>`."""
        observed = self._orders.observed(words)
        proxy, server = observed.proxy, observed.server
        assert proxy.backend_index is not None
        if reason := self._not_yet(observed):
            raise CommandError(reason)
        self._orders.refuse_if_replaced()
        applied = self.slots.delete(proxy.backend_index, server.slot)
        self.follow()
        self._report.runtime.log(LogLevel.NOTICE, f"server {proxy.name}/{server.name}: {DELETED}")
        yield applied
        yield from self.slots.recycle_in_time(proxy.backend_index)
        yield f"{DELETED}\n{applied.told()}"
