"""`disable|enable|shutdown frontend`: a frontend lets go of its ports, and takes them back.

    OPEN --disable--> PAUSED --shutdown--> SHUT, which a reload ends
      ^------enable------+

The order stands in the segment before anything is done, so that workers and control that start
later go by it. A paused socket stays bound and listens no more (shutdown(2)): another program with
SO_REUSEADDR may listen on the port, and `enable` fails as long as one does. Unix sockets and
descriptors of the parent go on listening: their clients wait in the queue.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.model.settings import Proxy
from proxy.control.command import Answer, Command, CommandError, Feedback, Level, Pause
from proxy.control.commands.clients.limits import find_frontend
from proxy.control.commands.in_force import InForce
from proxy.control.pausing import let_go, listens
from proxy.control.rows.report import Report
from proxy.runtime import ListeningSocket
from shm.client_orders import OPEN, PAUSED, SHUT, ClientOrdersWriter
from shm.log_level import LogLevel

SERVES_STATISTICS = "This frontend serves statistics: it cannot be disabled while running."
FINISHES = "The program finishes: its frontends take no clients any more."
CONFLICT = "Failed to resume frontend, check logs for precise cause (port conflict?)."


class Frontends:
    """The orders that close frontends; `refuse` raises CommandError where none may be written."""

    def __init__(
        self,
        report: Report,
        writer: ClientOrdersWriter,
        in_force: InForce,
        refuse: Callable[[], None],
    ) -> None:
        self.report = report
        self.runtime = report.runtime
        self.writer = writer
        self.in_force = in_force
        self.refuse = refuse
        self.sockets: dict[int, list[ListeningSocket]] = {}
        for listening in self.runtime.listeners:
            self.sockets.setdefault(listening.bind.frontend_index, []).append(listening)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        admin, where = Level.ADMIN, "<frontend>"
        text = {"disable": "let go of its ports", "enable": "take its ports back"}
        return [
            Command(("disable", "frontend"), where, text["disable"], admin, self.disable),
            Command(("enable", "frontend"), where, text["enable"], admin, self.enable),
            Command(("shutdown", "frontend"), where, "stop it until a reload", admin, self.stop),
        ]

    def find(self, words: list[str], *, closes: bool = True) -> tuple[Proxy, int]:
        """The frontend of an order, and where it stands; raises CommandError."""
        proxy = find_frontend(self.report, words)
        if closes and proxy.http is not None:
            raise CommandError(SERVES_STATISTICS)
        assert proxy.frontend_index is not None
        if any(listening.socket.fileno() < 0 for listening in self.sockets_of(proxy)):
            raise CommandError(FINISHES)
        return proxy, self.writer.frontend(proxy.frontend_index).state

    def order(self, proxy: Proxy, state: int) -> Pause:
        """Publish where a frontend stands; what to wait for."""
        assert proxy.frontend_index is not None
        self.refuse()
        order = self.writer.frontend(proxy.frontend_index)._replace(state=state)
        self.writer.order_frontend(proxy.frontend_index, order)
        self.runtime.bells.ring_table()
        return self.in_force

    def close(self, proxy: Proxy) -> bool:
        """Let go of the sockets, once relays go by the order.

        False where another one has opened the frontend meanwhile; raises CommandError where the
        sockets are a successor's by now, which goes by the files.
        """
        assert proxy.frontend_index is not None
        self.refuse()
        if self.writer.frontend(proxy.frontend_index).state == OPEN:
            return False
        for listening in self.sockets_of(proxy):
            let_go(listening)
        return True

    def sockets_of(self, proxy: Proxy) -> list[ListeningSocket]:
        """The sockets of a frontend."""
        assert proxy.frontend_index is not None
        return self.sockets.get(proxy.frontend_index, [])

    def disable(self, words: list[str], _level: Level) -> Answer:
        """`disable frontend <frontend>`."""
        proxy, state = self.find(words)
        if state == SHUT:
            told = "Frontend was previously shut down, cannot disable."
            yield Feedback(told, LogLevel.NOTICE)
        elif state == PAUSED:
            yield Feedback("All sockets are already disabled.", LogLevel.NOTICE)
        else:
            yield self.order(proxy, PAUSED)
            if self.close(proxy):
                self.runtime.log(LogLevel.WARNING, f"Paused {_title(proxy)}.")

    def enable(self, words: list[str], _level: Level) -> Answer:
        """`enable frontend <frontend>`."""
        proxy, state = self.find(words, closes=False)
        if state == SHUT:
            raise CommandError("Frontend was previously shut down, cannot enable.")
        if state == OPEN:
            yield Feedback("All sockets are already enabled.", LogLevel.NOTICE)
            return
        self.refuse()
        if not self.listen(self.sockets_of(proxy)):
            raise CommandError(CONFLICT)
        yield self.order(proxy, OPEN)
        self.runtime.log(LogLevel.WARNING, f"Resumed {_title(proxy)}.")

    def stop(self, words: list[str], _level: Level) -> Answer:
        """`shutdown frontend <frontend>`."""
        proxy, state = self.find(words)
        if state == SHUT:
            yield Feedback("Frontend was already shut down.", LogLevel.NOTICE)
            return
        yield self.order(proxy, SHUT)
        self.close(proxy)
        sessions = self.report.monitor.frontend_counters(proxy)["connections_total"]
        behind = 0
        if proxy.backend_index is not None:
            behind = self.report.monitor.backend_counters(proxy)["sessions_total"]
        self.runtime.log(
            LogLevel.WARNING,
            f"Proxy {proxy.name} stopped (cumulated conns: FE: {sessions}, BE: {behind}).",
        )

    def listen(self, sockets: list[ListeningSocket]) -> bool:
        """Listen on all of them, or on none, and say where that fails."""
        begun: list[ListeningSocket] = []
        for listening in sockets:
            if listens(listening):
                continue
            try:
                listening.socket.listen(listening.backlog)
            except OSError as error:
                for each in begun:
                    let_go(each)
                where = listening.bind.endpoint
                told = f"cannot listen on {where.host}:{where.port} again: {error.strerror}"
                self.runtime.log(LogLevel.ALERT, told)
                return False
            begun.append(listening)
        return True


def _title(proxy: Proxy) -> str:
    return f"{'frontend' if proxy.backend_index is None else 'proxy'} {proxy.name}"
