"""The commands that change a server: set server, set weight, enable, disable; and get weight.

The only writer of admin records: each change is published whole, then everybody who reads the
slot is rung: relays and main threads of all workers, and resolverd.
"""

from __future__ import annotations

from proxy.control.admin_changes import Change, change_address, change_state, change_weight
from proxy.control.command import Answer, Command, CommandError, Level, find_server
from proxy.control.observation import FDRAIN, MAINT_MASK, Observed
from proxy.control.report import Report
from proxy.runtime import now_ms, ring
from shm.slots import AdminTableWriter

NOTICE = 5  # syslog
USAGE = "usage: set server <backend>/<server> addr | state | weight"


def described(before: Observed, flags: int) -> str:
    """The log line of an administrative change, in HAProxy's words."""
    who = f"{'Backup ' if before.server.backup else ''}Server {before.proxy.name}/"
    who += before.server.name
    was_maint = bool(before.admin.flags & MAINT_MASK)
    if flags & MAINT_MASK:
        return f"{who} is going DOWN for maintenance."
    if was_maint and before.resolution_maint:
        return f"{who} is leaving forced maintenance but remains in maintenance."
    if flags & FDRAIN:
        return f"{who} enters drain state."
    cause = "forced maintenance" if was_maint else "forced drain"
    return f"{who} is UP/READY (leaving {cause})."


class SetServer:
    """The family of commands that change servers. Takes the writer of admin records."""

    def __init__(self, report: Report, writer: AdminTableWriter) -> None:
        self.report = report
        self.writer = writer

    def commands(self) -> list[Command]:
        """What this family answers to."""
        admin = Level.ADMIN
        return [
            Command(("disable", "server"), "<bk>/<srv>", "take a server out", admin, self.disable),
            Command(("enable", "server"), "<bk>/<srv>", "put a server back", admin, self.enable),
            Command(
                ("get", "weight"),
                "<bk>/<srv>",
                "a server's current and initial weight",
                Level.USER,
                self.get_weight,
            ),
            Command(
                ("set", "server"),
                "<bk>/<srv> [opts]",
                "change a server's state, weight or address",
                admin,
                self.set_server,
            ),
            Command(
                ("set", "weight"), "<bk>/<srv> <w>[%]", "change a weight", admin, self.set_weight
            ),
        ]

    def observed(self, words: list[str]) -> Observed:
        """The server that the first word names; raises CommandError."""
        proxy, server = find_server(self.report.settings, words[0] if words else "")
        return self.report.observer.server(proxy, server)

    def publish(self, observed: Observed, change: Change) -> Answer:
        """Publish a change, ring its readers, and answer."""
        if change.record is not None:
            bells = self.report.runtime.bells
            self.writer.publish(observed.server.slot, change.record)
            bells.ring_table()
            ring((bells.resolverd,))
            self.log(observed, change)
        return [f"{change.answer}\n"] if change.answer else []

    def log(self, observed: Observed, change: Change) -> None:
        """Say what changed, once it is published."""
        log = self.report.runtime.log
        if change.record is not None and change.record.flags != observed.admin.flags:
            log(NOTICE, described(observed, change.record.flags))
        elif change.answer:
            log(NOTICE, f"{observed.proxy.name}/{observed.server.name}: {change.answer}")

    def set_state(self, words: list[str], state: str) -> Answer:
        """Bring a server into a state."""
        observed = self.observed(words)
        return self.publish(observed, change_state(observed.admin, state, now_ms()))

    def disable(self, words: list[str], _level: Level) -> Answer:
        """`disable server b/s`."""
        return self.set_state(words, "maint")

    def enable(self, words: list[str], _level: Level) -> Answer:
        """`enable server b/s`."""
        return self.set_state(words, "ready")

    def set_weight(self, words: list[str], _level: Level) -> Answer:
        """`set weight b/s <w>[%]`."""
        observed = self.observed(words)
        return self.publish(observed, change_weight(observed, "".join(words[1:2])))

    def get_weight(self, words: list[str], _level: Level) -> Answer:
        """`get weight b/s`."""
        observed = self.observed(words)
        return [f"{observed.weight} (initial {observed.server.weight})\n"]

    def set_server(self, words: list[str], level: Level) -> Answer:
        """`set server b/s addr|state|weight ...`."""
        observed = self.observed(words)
        what, rest = words[1:2], words[2:]
        if what == ["state"]:
            return self.set_state(words, "".join(rest[:1]))
        if what == ["weight"]:
            return self.set_weight([words[0], *rest], level)
        if what == ["addr"]:
            return self.publish(observed, change_address(observed, rest))
        if what == ["fqdn"] and observed.server.fqdn is None:
            raise CommandError(
                "set server <b>/<s> fqdn failed because no resolution is configured."
            )
        raise CommandError(USAGE)
