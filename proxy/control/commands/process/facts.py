"""What the process was started with: environment, messages of the start, its own stats sockets.

Answers in HAProxy's forms (management manual 9.3). Reads what the generation has inherited; asks
nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from proxy.config.model.sockets import Endpoint, SocketFamily
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.rows.report import Report
from proxy.log import MONTHS

NOT_FOUND = "Variable not found"
EVENT_TYPES = ("request", "response")


def moment(unix_s: float) -> str:
    """A time as HAProxy's logs have it: `29/Nov/2026:21:44:07.094`, local."""
    now = time.localtime(unix_s)
    clock, month = time.strftime("%H:%M:%S", now), MONTHS[now.tm_mon - 1]
    return f"{now.tm_mday:02}/{month}/{now.tm_year}:{clock}.{int(unix_s % 1 * 1_000):03}"


def socket_text(endpoint: Endpoint) -> str:
    """A stats socket as `show cli sockets` names it."""
    if endpoint.family is SocketFamily.IPV4:
        return f"ipv4@{endpoint.host}:{endpoint.port}"
    if endpoint.family is SocketFamily.IPV6:
        return f"ipv6@[{endpoint.host}]:{endpoint.port}"
    return f"{endpoint.family.value}@{endpoint.host}"


class ProcessFacts:
    """Commands that say what the process is made of."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.runtime = report.runtime

    def commands(self) -> list[Command]:
        """What this family answers to."""
        user, operator = Level.USER, Level.OPERATOR
        return [
            Command(
                ("show", "activity"), "", "what each worker has done", user, self.show_activity
            ),
            Command(("show", "cli", "sockets"), "", "stats sockets", user, self.show_sockets),
            Command(
                ("show", "env"),
                "[<name>]",
                "environment variables",
                operator,
                self.show_environment,
            ),
            Command(
                ("show", "errors"),
                "[<px>] [request|response]",
                "bytes of invalid messages: none are kept",
                operator,
                self.show_errors,
            ),
            Command(
                ("show", "startup-logs"),
                "",
                "what was said of the configuration in force",
                operator,
                self.show_startup,
            ),
        ]

    def show_environment(self, words: list[str], _level: Level) -> Answer:
        """`show env [<name>]`: the program's own, as they are behind the last line of the files."""
        pairs = (pair.decode(errors="surrogateescape") for pair in self.runtime.environment)
        lines = [f"{pair}\n" for pair in pairs]
        if not words:
            return lines
        found = [line for line in lines if line.startswith(f"{words[0]}=")]
        if not found:
            raise CommandError(NOT_FOUND)
        return found

    def show_errors(self, words: list[str], _level: Level) -> Answer:
        """`show errors [<iid>|<proxy>] [request|response]`: no content of messages is kept."""
        if words and words[0] not in EVENT_TYPES and words[0] != "-1":
            self.report.directory.proxies_called(words[0])
        return [f"Total events captured on [{moment(time.time())}] : 0\n"]

    def show_sockets(self, _words: list[str], _level: Level) -> Iterator[str]:
        """`show cli sockets`."""
        yield "# socket lvl processes\n"
        for line in self.runtime.settings.globals.stats_sockets:
            yield f"{socket_text(line.endpoint)} {line.level} all\n"

    def show_startup(self, _words: list[str], _level: Level) -> Answer:
        """`show startup-logs`: of the start, or of the last reload that succeeded."""
        return [f"{line}\n" for line in self.runtime.startup_logs] or ["\n"]

    def show_activity(self, _words: list[str], _level: Level) -> Iterator[str]:
        """`show activity`: those of HAProxy's lines that mean something here, by worker."""
        workers = range(self.runtime.workers)
        rows = [self.report.monitor.counters.worker(worker) for worker in workers]
        yield f"thread_id: 1 (1..{len(rows)})\n"
        yield f"date_now: {time.time():.6f}\n"
        lines = {
            "loops": [row["epoll_turns"] for row in rows],
            "pool_fail": [row["accept_pauses"] for row in rows],
            "accepted": [row["accepts"] for row in rows],
        }
        for name, counts in lines.items():
            yield f"{name}: {sum(counts)} [ {' '.join(map(str, counts))} ]\n"
