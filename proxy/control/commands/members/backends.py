"""`add backend`, `del backend`, `publish backend`, `unpublish backend`.

An added backend is a spare one of a named `defaults` section (proxy/config/spare_backends.py) that
gets a name. As in HAProxy 3.4 nothing leads to it until it is published, and only one that is not,
without servers and sessions, can be deleted. To be published or not is an order for every backend:
rules and a default that lead to one which is not are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Proxy
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.control.command import Answer, Command, CommandError, Level, Piece
from proxy.control.commands.members.applied import Applied
from proxy.control.commands.members.orders import MemberOrders
from proxy.control.rows.report import Report
from proxy.members.table_changes import spare_backends
from shm.log_level import LogLevel
from shm.members import NAME_BYTES_MAX, MemberReader, MemberState

ADDED = "New backend registered."
DELETED = "Backend deleted."
PUBLISHED = "Backend published."
UNPUBLISHED = "Backend unpublished."
USAGE = "'add backend' expects <name> from <defaults> [mode tcp]."
OF_THE_FILES = "Only backends that were added at run time can be deleted."
IS_PUBLISHED = "Backend is published: 'unpublish backend' comes first."
HAS_SERVERS = "Backend still has servers attached to it, cannot remove it."
CONNECTED = "Backend still has connections attached to it, cannot remove it."
LISTENS = "A 'listen' section serves clients of its own: 'disable frontend' keeps them out."


class BackendOrders:
    """Commands about whole backends."""

    def __init__(self, report: Report, members: MemberOrders) -> None:
        self.report = report
        self._members = members
        self._writer = members.slots.writer
        self._reader = MemberReader(report.runtime.segment)
        self._slots = {  # by backend, where its name stands
            backend: slot for slot, backend in spare_backends(report.servers.backends).items()
        }

    def commands(self) -> list[Command]:
        """What this family answers to."""
        admin, operator, where = Level.ADMIN, Level.OPERATOR, "<backend>"
        return [
            Command(
                ("add", "backend"),
                "<bk> from <defaults> [mode tcp]",
                "add a backend, to which nothing leads at first",
                admin,
                self.add,
            ),
            Command(
                ("del", "backend"),
                where,
                "delete one that was added, and is not published",
                admin,
                self.delete,
            ),
            Command(
                ("publish", "backend"), where, "let rules lead to a backend", operator, self.publish
            ),
            Command(
                ("unpublish", "backend"),
                where,
                "pass over the rules that lead to a backend",
                operator,
                self.unpublish,
            ),
        ]

    def add(self, words: list[str], _level: Level) -> Iterator[Piece]:
        """`add backend <name> from <defaults> [mode tcp]`."""
        name, defaults = self._asked(words)
        spare = self._spare_of(defaults)
        if self._free(spare) is None:
            yield from self._recycle(spare)
            self._asked(words)  # another order may have come in between
        backend = self._free(spare)
        if backend is None:
            raise CommandError(
                f"All {len(spare)} spare backends of defaults section {defaults} have a name; "
                "write more into 'spare-backends' of the global section and reload."
            )
        self._members.refuse()
        self._writer.publish(backend, False)
        change = self._writer.name_backend(backend, name.encode())
        self._members.follow()
        self._members.slots.ring(self._slots[backend])
        self.report.runtime.log(LogLevel.NOTICE, f"backend {name}: {ADDED}")
        yield from self._answer(self._applied(change), ADDED)

    def _asked(self, words: list[str]) -> tuple[str, str]:
        """The name of a new backend, and of its `defaults`; raises CommandError."""
        if len(words) < 3 or words[1] != "from" or words[3:] not in ([], ["mode", "tcp"]):
            raise CommandError(USAGE)
        name = words[0]
        try:
            check_label(name, "backend")
        except ConfigError as error:
            raise CommandError(str(error)) from error
        if len(name.encode()) > NAME_BYTES_MAX:
            raise CommandError(f"The name of a backend has at most {NAME_BYTES_MAX} bytes.")
        if self.report.directory.is_taken(name):
            raise CommandError("Already exists a section with the same name.")
        return name, words[2]

    def _spare_of(self, defaults: str) -> list[int]:
        """The backends that are made of a `defaults` section; raises CommandError for none."""
        report = self.report
        table = report.servers.backends
        found = [
            backend
            for backend in self._slots
            if defaults in (table[backend].spare_of, table[backend].added_from)
        ]
        if not found:
            raise CommandError(
                f"No backend can be added from '{defaults}': that takes a 'defaults' section with "
                "this name, in mode tcp, without rules and checks that say be_name, with a dynamic "
                "load balancing, and "
                "'spare-backends' of the global section above 0."
            )
        return found

    def _free(self, backends: list[int]) -> int | None:
        """One that has no name, and may have one; None: there is none."""
        ready = (MemberState.AS_FILE, MemberState.FREE)
        return next((each for each in backends if self._state(each) in ready), None)

    def _state(self, backend: int) -> int:
        return self._reader.read(self._slots[backend]).state

    def _recycle(self, backends: list[int]) -> Iterator[Piece]:
        """Bring those that were deleted to where they may have a name again; waits for workers."""
        for backend in backends:
            slot = self._slots[backend]
            member = self._reader.read(slot)
            if member.state != MemberState.DELETED:
                continue
            gone = self._applied(member.change, in_relays=True)  # no session is on its way there
            yield gone
            deserted = not gone.now() and self._writer.backend_quiet(backend)
            if deserted and self._reader.read(slot) == member:
                self._writer.empty(slot)
                self._members.slots.ring(slot)
        for backend in backends:
            member = self._reader.read(self._slots[backend])
            if member.state == MemberState.EMPTIED:
                forgotten = self._applied(member.change, by_living=True)
                yield forgotten
                if not forgotten.now() and self._state(backend) == MemberState.EMPTIED:
                    self._writer.free_backend(backend)

    def _applied(self, change: int, *, in_relays: bool = False, by_living: bool = False) -> Applied:
        segment = self.report.runtime.segment
        return Applied(segment, change, resolved=False, in_relays=in_relays, by_living=by_living)

    def _answer(self, applied: Applied, text: str) -> Iterator[Piece]:
        yield applied
        yield f"{text}\n{applied.told()}"

    def delete(self, words: list[str], _level: Level) -> Answer:
        """`del backend <backend>`."""
        proxy = self._find(words)
        assert proxy.backend_index is not None
        if reason := self._not_yet(proxy):
            raise CommandError(reason)
        self._members.refuse()
        slot = self._slots[proxy.backend_index]
        change = self._writer.delete(slot)
        self._members.follow()
        self._members.slots.ring(slot)
        self.report.runtime.log(LogLevel.NOTICE, f"backend {proxy.name}: {DELETED}")
        yield from self._answer(self._applied(change), DELETED)

    def removable(self, name: str) -> str:
        """Why a backend cannot be deleted yet, empty: it can be. Raises CommandError: never."""
        return self._not_yet(self._find([name]))

    def _not_yet(self, proxy: Proxy) -> str:
        assert proxy.backend_index is not None
        if not proxy.added_from:
            raise CommandError(OF_THE_FILES)
        if self.report.is_published(proxy):
            raise CommandError(IS_PUBLISHED)
        if self.report.servers.of(proxy):
            raise CommandError(HAS_SERVERS)
        return "" if self._writer.backend_quiet(proxy.backend_index) else CONNECTED

    def publish(self, words: list[str], _level: Level) -> Answer:
        """`publish backend <backend>`."""
        return self._order(words, published=True)

    def unpublish(self, words: list[str], _level: Level) -> Answer:
        """`unpublish backend <backend>`."""
        return self._order(words, published=False)

    def _order(self, words: list[str], *, published: bool) -> Answer:
        proxy = self._find(words)
        assert proxy.backend_index is not None
        if proxy.frontend_index is not None:
            raise CommandError(LISTENS)
        self._members.refuse()
        self._writer.publish(proxy.backend_index, published)
        text = PUBLISHED if published else UNPUBLISHED
        self.report.runtime.log(LogLevel.NOTICE, f"backend {proxy.name}: {text}")
        yield f"{text}\n"

    def _find(self, words: list[str]) -> Proxy:
        if len(words) != 1:
            raise CommandError("Require a backend.")
        proxy = self.report.directory.backend(words[0])
        if proxy is None:
            raise CommandError("No such backend.")
        return proxy
