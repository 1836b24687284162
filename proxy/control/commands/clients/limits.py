"""`set maxconn frontend|global` and `set rate-limit`: limits that relays go by from then on.

A limit is in force when the answer comes. Sessions that are open stay when there are more than a
lower limit allows. A reload goes by the files again.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.model.settings import Proxy
from proxy.control.caller import note_change
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.commands.in_force import InForce
from proxy.control.rows.report import Report
from shm.client_orders import ClientOrdersWriter, ProcessLimits
from shm.log_level import LogLevel

LIMIT_MAX = (1 << 31) - 1  # as the configuration takes it
RATES = {"connections": "connection_rate", "sessions": "session_rate"}
RATE_USAGE = """\
'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate"""
SERVED_BY_CONTROL = "This frontend serves statistics: it has no such limit while running."


def whole_number(words: list[str], expected: str) -> int:
    """The first word as a number of 0..LIMIT_MAX; raises CommandError."""
    text = "".join(words[:1])
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(words) > 1:
        raise CommandError(expected)
    if digits != text or len(digits.lstrip("0")) > len(str(LIMIT_MAX)) or int(text) > LIMIT_MAX:
        raise CommandError("Value out of range.")
    return int(text)


def find_frontend(report: Report, words: list[str]) -> Proxy:
    """The frontend of the first word, a name or `#id`; raises CommandError."""
    if not words:
        raise CommandError("A frontend name is expected.")
    found = report.directory.frontend(words[0])
    if found is None:
        raise CommandError("No such frontend.")
    return found


class ClientLimits:
    """The orders that change limits; `refuse` raises CommandError where none may be written."""

    def __init__(
        self,
        report: Report,
        writer: ClientOrdersWriter,
        in_force: InForce,
        refuse: Callable[[], None],
    ) -> None:
        self.report = report
        self.writer = writer
        self.in_force = in_force
        self.refuse = refuse

    def commands(self) -> list[Command]:
        """What this family answers to."""
        admin = Level.ADMIN
        return [
            Command(
                ("set", "maxconn", "frontend"),
                "<frontend> <value>",
                "change how many clients a frontend takes",
                admin,
                self.set_frontend,
            ),
            Command(
                ("set", "maxconn", "global"),
                "<value>",
                "change how many clients the process takes (0: as configured)",
                admin,
                self.set_global,
            ),
            Command(
                ("set", "rate-limit"),
                "connections|sessions global <value>",
                "change how many clients a second the process takes (0: any)",
                admin,
                self.set_rate,
            ),
        ]

    def set_frontend(self, words: list[str], _level: Level) -> Answer:
        """`set maxconn frontend <frontend> <value>`."""
        proxy = find_frontend(self.report, words)
        if not words[1:]:
            raise CommandError("Integer value expected.")
        value = whole_number(words[1:], "Integer value expected.")
        if proxy.http is not None:
            raise CommandError(SERVED_BY_CONTROL)
        assert proxy.frontend_index is not None
        former = self.writer.frontend(proxy.frontend_index)
        order = former._replace(maxconn=value)
        self.refuse()
        configured = proxy.maxconn or self.report.capacity.maxconn
        note_change("maxconn", configured if former.maxconn is None else former.maxconn, value)
        self.writer.order_frontend(proxy.frontend_index, order)
        return self.answer(f"maxconn of frontend {proxy.name} is {value}")

    def set_global(self, words: list[str], _level: Level) -> Answer:
        """`set maxconn global <value>`."""
        value = whole_number(words, "Expects an integer value.")
        if value > self.report.capacity.maxconn:
            raise CommandError("Value out of range.")
        former = self.writer.process()
        self.order(former._replace(maxconn=value or None))
        shown = value or self.report.capacity.maxconn
        note_change("maxconn", former.maxconn or self.report.capacity.maxconn, shown)
        return self.answer(f"maxconn of the process is {shown}")

    def set_rate(self, words: list[str], _level: Level) -> Answer:
        """`set rate-limit connections|sessions global <value>`."""
        kind = RATES.get("".join(words[:1]))
        if kind is None or words[1:2] != ["global"]:
            raise CommandError(RATE_USAGE)
        value = whole_number(words[2:], "Expects an integer value.")
        self.order(self.writer.process()._replace(**{kind: value}))
        return self.answer(f"rate limit of {words[0]} is {value} a second")

    def order(self, limits: ProcessLimits) -> None:
        """Publish limits of the process."""
        self.refuse()
        rates = self.report.process_limits(limits)
        wanted = [rate for rate in (rates.connection_rate, rates.session_rate) if rate]
        self.writer.order_process(limits, min(wanted, default=0))

    def answer(self, told: str) -> Answer:
        """Ring the relays and wait for them."""
        runtime = self.report.runtime
        runtime.log(LogLevel.NOTICE, f"{told} by 'stats socket command'")
        runtime.bells.ring_table()
        return [self.in_force]
