"""`show rules [<section>]`: how often each rule acted, over all workers.

A line a rule: its section, where it stands, the sum, what each worker has counted, what was carried
over from before the reload, and the rule itself. Of rules about requests control alone counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.http import RequestRule
from proxy.config.model.rules import Rule
from proxy.config.model.settings import Proxy
from proxy.control.command import Answer, Command, Level
from proxy.control.rows.report import Report

HEADER = "# section file:line hits workers carried rule\n"


class ShowRules:
    """The command that lists rules."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "rules"),
                "[<section>]",
                "how often each rule of connections acted",
                Level.USER,
                self.show,
            )
        ]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show rules [<section>]`; a section by name or number."""
        directory = self.report.directory
        chosen = directory.proxies_called(words[0]) if words else directory.proxies
        return self.lines(chosen)

    def lines(self, chosen: tuple[Proxy, ...]) -> Iterator[str]:
        """Header and rows."""
        yield HEADER
        for proxy in chosen:
            for stage in proxy.rules.stages.values() if proxy.rules else ():
                for rule in stage:
                    yield self.row(proxy, rule)
            for answering in proxy.http.rules if proxy.http else ():
                yield self.answered(proxy, answering)

    def answered(self, proxy: Proxy, rule: RequestRule) -> str:
        """One rule of a section that answers itself, which no worker sees."""
        services = self.report.monitor.services
        service = services.get(-1 if proxy.frontend_index is None else proxy.frontend_index)
        hits = service.hits(rule) if service is not None else 0
        return f"{proxy.name} {rule.origin.file}:{rule.origin.line} {hits} - 0 {rule.text}\n"

    def row(self, proxy: Proxy, rule: Rule) -> str:
        """One rule."""
        monitor = self.report.monitor
        rows = range(monitor.counters.rows())
        *workers, carried = (monitor.hits(rule.number, row) for row in rows)
        return (
            f"{proxy.name} {rule.origin.file}:{rule.origin.line} {sum(workers) + carried} "
            f"{','.join(map(str, workers))} {carried} {rule.text}\n"
        )
