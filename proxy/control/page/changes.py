"""What changed last, from the list of events that all processes write (`show events state`).

Texts of events name addresses and clients: they are shown where `stats show-legends` shows
addresses. Elsewhere the last change of a server is all that there is.
"""

from __future__ import annotations

from html import escape

from proxy.control.page.markup import TABLE_END, headed_table, row
from proxy.control.page.pictures import Mark
from proxy.control.page.subject import PageMoment, PageSubject

EVENTS_SHOWN = 12
COLUMNS = "<time|<what"


def changes(subject: PageSubject, moment: PageMoment) -> list[Mark]:
    """The last things that changed, oldest first, whatever they concern."""
    if not moment.page.show_legends:
        change = subject.faults.last_change
        return [Mark(change.at_ms, change.text)] if change.at_ms else []
    events = subject.report.runtime.events
    now_us = int(moment.unix_s * 1_000_000)
    found = map(events.event, range(max(events.last - EVENTS_SHOWN, 0) + 1, events.last + 1))
    return [
        Mark(moment.now_ms - (now_us - each.time_us) // 1_000, each.text)
        for each in found
        if each is not None
    ]


def changes_table(subject: PageSubject, moment: PageMoment) -> str:
    """The same as a table, newest first; nothing where texts are not shown."""
    marks = changes(subject, moment) if moment.page.show_legends else []
    if not marks:
        return ""
    rows = [
        row([("t", _time(moment, mark.at_ms)), ("w", escape(mark.text))])
        for mark in reversed(marks)
    ]
    head = headed_table(COLUMNS, "What changed", "show events state")
    return f"{head}{''.join(rows)}{TABLE_END}"


def _time(moment: PageMoment, at_ms: int) -> str:
    """With seconds: most of what belongs together happens within a minute."""
    return f"{moment.clock(at_ms)}:{int(moment.unix(at_ms) % 60):02d}"
