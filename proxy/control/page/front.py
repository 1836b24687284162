"""The first screen: the sentence, what is wrong, then totals, sections, names, processes.

Its size and cost do not grow with the table: trouble comes first, and the rest in pages. Each
piece is about a row, so that a page of any size holds nothing up (turns.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from proxy.config.model.settings import Proxy
from proxy.control.commands.show_info import Info
from proxy.control.page import choosing
from proxy.control.page.changes import changes, changes_table
from proxy.control.page.dns import names_table, nameservers_table
from proxy.control.page.frame import closing, opening
from proxy.control.page.markup import TABLE_END, age, amount, headed_table, table
from proxy.control.page.pictures import Curve, picture
from proxy.control.page.processes import old_generations, processes
from proxy.control.page.rows import (
    BACKEND_COLUMNS,
    FRONTEND_COLUMNS,
    SERVER_COLUMNS,
    backend_row,
    frontend_row,
    server_row,
)
from proxy.control.page.subject import (
    PageMoment,
    PageSubject,
    counts_of,
    generation_mark,
    shown_proxies,
)
from proxy.control.page.way import way
from proxy.control.situation.sentence import count
from proxy.control.situation.troubles import SHOWN_MAX, FoundProblems, Problem, TroubleKind
from shm.history import HistoryKind

BACKENDS_AT_ONCE = 15
FRONTENDS_AT_ONCE = 15
SERVERS_AT_ONCE = 40  # of all backends of one page: where there are more, their own pages have them
WAYS_MAX = 3  # of troubles that have their way drawn


def front(subject: PageSubject, moment: PageMoment) -> Iterator[str]:
    """The whole page."""
    shown = shown_proxies(subject, moment)
    found = subject.troubles.find(shown)
    yield ""  # of thousands of troubles that took as long as some rows
    yield opening(subject, moment, counts_of(subject, moment), len(found))
    yield from wrong(subject, moment, found)
    yield from totals(subject, moment)
    yield changes_table(subject, moment)
    yield from _frontends(subject, moment, subject.report.frontends if shown is None else shown)
    yield from _backends(subject, moment, subject.report.backends if shown is None else shown)
    yield from names_table(subject, moment)
    yield from nameservers_table(subject)
    yield from processes(subject)
    yield old_generations(subject)
    yield closing(moment)


def wrong(subject: PageSubject, moment: PageMoment, found: list[FoundProblems]) -> Iterator[str]:
    """What is wrong, worst first, a page of it at a time."""
    if not found:
        yield f'<p class="fine">Nothing is wrong.</p>\n{_quiet(subject)}'
        return
    yield f'<h2 id="wrong">What is wrong <small>{len(found):,}, worst first</small></h2>\n'
    yield '<ul class="troubles">\n'
    for number, each in enumerate(choosing.part(found, moment.view.page, SHOWN_MAX)):
        trouble = subject.troubles.tell(each)
        drawn = ""
        if each.kind is TroubleKind.BACKEND and number < WAYS_MAX:
            proxy = subject.report.servers.backends[each.number]
            drawn = way(subject.ways.to(proxy, subject.troubles.example(each)), moment.view)
        yield trouble_item(moment, trouble, drawn)
    yield f"</ul>\n{choosing.pager(moment.view, len(found), SHOWN_MAX)}{_quiet(subject)}"


def trouble_item(moment: PageMoment, trouble: Problem, drawn: str) -> str:
    """One thing that is wrong."""
    kind = "amber" if trouble.severity else "down"
    name = escape(trouble.subject)
    if trouble.kind is TroubleKind.BACKEND:
        link = moment.view.link(backend=trouble.subject)
        name = f'<a href="{link}">{name}</a>'
    elif trouble.kind is TroubleKind.NAME:
        name = f'<a href="{moment.view.link(name=trouble.subject)}">{name}</a>'
    since = ""
    if trouble.since_ms:
        lasting = age(moment.now_ms - trouble.since_ms)
        since = f"<span>since {moment.clock(trouble.since_ms)}, for {lasting}</span>"
    chain = "".join(f"<li>{escape(link)}</li>" for link in trouble.chain)
    shown = f'<ol class="chain">{chain}</ol>' if chain else ""
    said = f"<footer>{since}<code>{escape(trouble.command)}</code></footer>"
    return (
        f'<li class="trouble {kind}"><h3>{name} <span>{escape(trouble.text)}</span></h3>'
        f"{shown}{said}{drawn}</li>\n"
    )


def _quiet(subject: PageSubject) -> str:
    """What is out by order, and what waits for a record: not wrong."""
    _, ordered, free = subject.faults.counts()
    said = []
    if ordered:
        said.append(f"{count(ordered, 'server')} out by order (maintenance, drain, weight 0)")
    if free:
        said.append(f"{count(free, 'free slot')}, for which DNS has no record")
    return f'<p class="quiet">Not wrong: {"; ".join(said)}.</p>\n' if said else ""


def totals(subject: PageSubject, moment: PageMoment) -> Iterator[str]:
    """The figures of the whole program, each with its name in `show info`, and their picture."""
    values = Info(subject.report).values()
    tiles = (
        (f"{values['CurrConns']:,}", "open sessions", "CurrConns"),
        (f"{values['ConnRate']:,}", "connections/s", "ConnRate"),
        (f"{values['CumConns']:,}", "connections in all", "CumConns"),
        (f"{amount(values['BytesOutRate'])}/s", "to clients", "BytesOutRate"),
        (f"{100 - int(values['Idle_pct'])} %", "processor use", "Idle_pct"),
        (str(values["Uptime"]), "since the last reload", "Uptime"),
    )
    shown = "".join(
        f'<div class="tile"><b>{number}</b><span>{text}</span><code>{field}</code></div>'
        for number, text, field in tiles
    )
    yield "<h2>Totals <small><code>show info</code></small></h2>\n"
    yield f'<div class="tiles">{shown}</div>\n'
    frame = moment.frame([generation_mark(subject), *changes(subject, moment)])
    points = subject.history.points(HistoryKind.PROCESS, 0, moment.now_ms) or []
    sessions = [None if each is None else each[0] for each in points]
    rate = [None if each is None else each[1] for each in points]
    yield '<h2>The last 15 minutes</h2>\n<div class="pictures">'
    yield picture("Sessions", [Curve("sessions", sessions)], frame)
    yield picture("Connections per second", [Curve("connections/s", rate)], frame)
    yield "</div>\n"


def _frontends(subject: PageSubject, moment: PageMoment, shown: Sequence[Proxy]) -> Iterator[str]:
    """One row for each frontend, trouble first."""
    every = [proxy for proxy in shown if proxy.frontend_index is not None]
    ordered = choosing.frontends(subject, every)
    page = min(moment.view.page, max(1, -(-len(ordered) // FRONTENDS_AT_ONCE)))
    yield headed_table(FRONTEND_COLUMNS, "Frontends", "show stat -1 1 -1; show why frontend NAME")
    for proxy in choosing.part(ordered, page, FRONTENDS_AT_ONCE):
        yield frontend_row(subject, moment, proxy)
    yield TABLE_END + choosing.pager(moment.view, len(ordered), FRONTENDS_AT_ONCE)


def _backends(subject: PageSubject, moment: PageMoment, shown: Sequence[Proxy]) -> Iterator[str]:
    """One row for each backend; the servers of those that fit, the first ones in trouble."""
    every = [proxy for proxy in shown if proxy.backend_index is not None]
    ordered = choosing.backends(subject, moment.view, every)
    page = min(moment.view.page, max(1, -(-len(ordered) // BACKENDS_AT_ONCE)))
    part = choosing.part(ordered, page, BACKENDS_AT_ONCE)
    waiting = subject.faults.loads.waiting()
    command = "show stat -1 2 -1; show why NAME"
    yield headed_table(BACKEND_COLUMNS, "Backends", command, choosing.sorts(moment.view))
    for proxy in part:
        yield backend_row(subject, moment, proxy, waiting=waiting.get(proxy.backend_index or 0, 0))
    yield TABLE_END + choosing.pager(moment.view, len(ordered), BACKENDS_AT_ONCE)
    left = SERVERS_AT_ONCE
    for proxy in part:
        servers = len(subject.report.servers.of(proxy))
        if 0 < servers <= left:
            left -= servers
            yield from servers_of(subject, moment, proxy, SERVERS_AT_ONCE)


def servers_of(subject: PageSubject, moment: PageMoment, proxy: Proxy, size: int) -> Iterator[str]:
    """The servers of one backend, those in trouble first, its free slots folded."""
    ordered, free = choosing.servers(subject, moment.view, proxy)
    page = min(moment.view.page, max(1, -(-len(ordered) // size)))
    caption = escape(proxy.name)
    yield table(SERVER_COLUMNS, f"Servers of {caption}", f"show stat {proxy.name} 4 -1")
    for server in choosing.part(ordered, page, size):
        yield server_row(subject, moment, proxy, server)
    yield TABLE_END + choosing.pager(moment.view, len(ordered), size)
    if free:
        names = ", ".join(server.name for server in free[:50])
        more = f" and {len(free) - 50} more" if len(free) > 50 else ""
        word = "slot" if len(free) == 1 else "slots"
        yield (
            f"<details><summary>{len(free):,} free {word} of {caption}: DNS has no record for "
            f'them</summary><p class="quiet">{escape(names)}{more}</p></details>\n'
        )
