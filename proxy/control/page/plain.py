"""The first screen as text of 80 columns, for terminals: `curl -H 'Accept: text/plain'`."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator

from proxy.config.model.settings import Proxy
from proxy.control.commands.show_info import Info
from proxy.control.page import choosing
from proxy.control.page.frame import age_words
from proxy.control.page.markup import amount
from proxy.control.page.subject import PageMoment, PageSubject, counts_of, shown_proxies
from proxy.control.situation.faults import FaultKind
from proxy.control.situation.sentence import sentence
from proxy.control.situation.troubles import SHOWN_MAX, Urgency

COLUMNS = 80
BACKENDS_SHOWN_MAX = 20
MARKS = {Urgency.DOWN: "!!", Urgency.IMPAIRED: " !", Urgency.THREATENED: " ?"}


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Lines of at most COLUMNS columns, without what moves a terminal's cursor."""
    clean = "".join(each if each.isprintable() else "?" for each in text)
    lines = textwrap.wrap(clean, COLUMNS, initial_indent=first, subsequent_indent=rest)
    return "\n".join(lines) + "\n"


def plain(subject: PageSubject, moment: PageMoment) -> Iterator[str]:
    """The whole text."""
    shown = shown_proxies(subject, moment)
    found = subject.troubles.find(shown)
    yield wrapped(sentence(counts_of(subject, moment)))
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment.unix_s))
    yield f"{now}, {age_words(subject, moment)}\n\n"
    for each in found[:SHOWN_MAX]:
        trouble = subject.troubles.tell(each)
        since = f" (since {moment.clock(trouble.since_ms)})" if trouble.since_ms else ""
        mark = MARKS[trouble.severity]
        yield wrapped(f"{trouble.subject} {trouble.text}{since}", f"{mark} ", "   ")
        for link in trouble.chain:
            yield wrapped(link, "   <- ", "      ")
        yield wrapped(trouble.command, "   $ ", "     ")
    if len(found) > SHOWN_MAX:
        yield f"   and {len(found) - SHOWN_MAX} more\n"
    if not found:
        yield "Nothing is wrong.\n"
    yield _totals(subject)
    backends = subject.report.backends if shown is None else shown
    every = [proxy for proxy in backends if subject.report.servers.of(proxy)]
    yield from _backends(subject, moment, every)


def _totals(subject: PageSubject) -> str:
    values = Info(subject.report).values()
    said = (
        f"{values['CurrConns']} sessions, {values['ConnRate']} connections/s, "
        f"{amount(values['BytesOutRate'])}/s to clients, {100 - int(values['Idle_pct'])} % of the "
        "processor"
    )
    return f"\n{wrapped(said)}\n"


def _backends(subject: PageSubject, moment: PageMoment, every: list[Proxy]) -> Iterator[str]:
    """A line for each backend, trouble first; as many as a screen has."""
    yield f"{'BACKEND':<26} {'STATE':<5} {'UP/ALL':>9} {'OUT':>4} {'QUEUE':>6} "
    yield f"{'SESSIONS':>9} {'RATE':>7} {'ERRORS':>7}\n"
    waiting = subject.faults.loads.waiting()
    for proxy in choosing.backends(subject, moment.view, every)[:BACKENDS_SHOWN_MAX]:
        cells = subject.report.backend(proxy)
        faults = subject.faults.of(proxy).values()
        ordered = sum(fault.kind is FaultKind.ORDER for fault in faults)
        up = f"{cells['act']}/{len(subject.report.servers.of(proxy))}"
        queue = waiting.get(proxy.backend_index or 0, 0)
        yield (
            f"{_cut(proxy.name, 26):<26} {cells['status']:<5} {up:>9} {ordered:>4} {queue:>6} "
            f"{cells['scur']:>9} {cells['rate']:>7} {cells['econ']:>7}"
        )[:COLUMNS] + "\n"
    if len(every) > BACKENDS_SHOWN_MAX:
        yield f"and {len(every) - BACKENDS_SHOWN_MAX} more backends\n"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}~"
