"""What all pages are made from: the program as control knows it, and the moment of a page."""

from __future__ import annotations

import time
from typing import NamedTuple

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Proxy
from proxy.control.commands.mail import Mail
from proxy.control.page.pictures import SPAN_MS, Frame, Mark
from proxy.control.page.view import View
from proxy.control.rows.report import Report
from proxy.control.situation.faults import SiteFaults
from proxy.control.situation.names import NameTroubles
from proxy.control.situation.sentence import Counts, clock
from proxy.control.situation.troubles import Troubles
from proxy.control.situation.ways import Ways
from proxy.runtime import now_ms
from shm.history import LoadHistory

DAY_MINUTES = 1_440


class PageSubject:
    """The program, and all that looks at it."""

    def __init__(
        self, report: Report, faults: SiteFaults, history: LoadHistory, mail: Mail
    ) -> None:
        self.report = report
        self.faults = faults
        self.history = history
        self.mail = mail
        self.troubles = Troubles(report, faults)
        self.names = NameTroubles(report)
        self.ways = Ways(report, faults)


class PageMoment(NamedTuple):
    """One page, as it is asked for: the same time for all that it shows."""

    page: StatsPage
    view: View
    metrics_path: str | None
    now_ms: int
    unix_s: float
    writes: bool = False  # the reader may give orders
    token: str = ""  # for these

    @classmethod
    def of(cls, page: StatsPage, view: View, metrics_path: str | None) -> PageMoment:
        """Now."""
        return cls(page, view, metrics_path, now_ms(), time.time())

    def unix(self, at_ms: int) -> float:
        """A moment of CLOCK_MONOTONIC as Unix seconds."""
        return self.unix_s - (self.now_ms - at_ms) / 1000

    def clock(self, at_ms: int) -> str:
        """The same as people say it."""
        return clock(self.unix(at_ms), self.unix_s)

    def at_ms(self) -> int | None:
        """The last moment at which it was as late as the reader asks for; None: nothing asked."""
        minutes = self.view.clock_minutes()
        if minutes is None:
            return None
        today = time.localtime(self.unix_s)
        ago = (today.tm_hour * 60 + today.tm_min - minutes) % DAY_MINUTES
        return self.now_ms - (ago * 60 + today.tm_sec) * 1000

    def frame(self, marks: list[Mark]) -> Frame:
        """The time of its pictures."""
        at_ms = self.at_ms()
        first = time.strftime("%H:%M", time.localtime(self.unix_s - SPAN_MS / 1000))
        last = time.strftime("%H:%M", time.localtime(self.unix_s))
        asked = "" if at_ms is None else self.view.at
        return Frame(self.now_ms, sorted(marks), at_ms, (first, asked, last))


def shown_proxies(subject: PageSubject, moment: PageMoment) -> tuple[Proxy, ...] | None:
    """The sections within `stats scope` and the reader's own; None: all."""
    scope, text = moment.page.scope, moment.view.scope
    if not scope and not text:
        return None
    return tuple(
        proxy
        for proxy in subject.report.proxies
        if (not scope or proxy.name in scope) and text in proxy.name
    )


def counts_of(subject: PageSubject, moment: PageMoment) -> Counts:
    """What the first sentence is about."""
    report = subject.report
    shown = shown_proxies(subject, moment)
    backends = report.backends if shown is None else shown
    services = [proxy for proxy in backends if report.servers.of(proxy)]
    availability = report.monitor.availability
    down = [proxy for proxy in services if not availability[proxy.name].up]
    since = min((availability[proxy.name].changed_ms for proxy in down), default=0)
    if shown is None:
        servers, wrong = len(report.servers), subject.faults.counts()[0]
    else:
        servers = sum(len(report.servers.of(proxy)) for proxy in services)
        wrong = sum(len(subject.faults.wrong(proxy)) for proxy in services)
    segment, change = report.runtime.segment, subject.faults.last_change
    return Counts(
        services=len(services),
        services_down=len(down),
        servers=servers,
        servers_wrong=wrong,
        down_since=moment.unix(since) if since else 0,
        generation=segment.reload_generation,
        began=segment.created_unix_s,
        changed=moment.unix(change.at_ms) if change.at_ms else 0,
        change=change.text,
        now=moment.unix_s,
        stopping=report.monitor.stopping(),
    )


def generation_mark(subject: PageSubject) -> Mark:
    """When this generation began."""
    segment = subject.report.runtime.segment
    number = segment.reload_generation
    return Mark(segment.created_ms, f"reload: generation {number}" if number > 1 else "start")
