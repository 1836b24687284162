"""A page for one thing: a backend, a server, or a name, with its way, pictures and causes."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from proxy.config.model.settings import Proxy, Server
from proxy.control.command import CommandError, Piece
from proxy.control.commands.why.show_why import ShowWhy
from proxy.control.page.changes import changes
from proxy.control.page.dns import NAME_COLUMNS, name_row
from proxy.control.page.forms import order_form
from proxy.control.page.frame import closing, opening
from proxy.control.page.front import servers_of, trouble_item
from proxy.control.page.markup import TABLE_END, table
from proxy.control.page.pictures import Curve, Mark, picture, timeline
from proxy.control.page.rows import BACKEND_COLUMNS, SERVER_COLUMNS, backend_row, server_row
from proxy.control.page.subject import PageMoment, PageSubject, counts_of, generation_mark
from proxy.control.page.way import way
from proxy.control.situation.troubles import TroubleKind
from resolverd.config import ResolutionSettings
from resolverd.dns.answer import Status
from shm.history import HistoryKind

SERVERS_AT_ONCE = 50
SERVERS_MARKED_MAX = 100  # servers whose last change is marked on the pictures of their backend
PICTURES_MISSING = {
    HistoryKind.BACKEND: "No pictures: the first backends of the files have them.",
    HistoryKind.SERVER: "No pictures yet: a server has them from its first change of state or "
    "address on, and of many servers those that changed last.",
}


class Things:
    """Finds what a view asks for, and writes its page."""

    def __init__(self, subject: PageSubject) -> None:
        self.subject = subject
        self.why = ShowWhy(subject.report, subject.mail)

    def page(self, moment: PageMoment) -> Iterator[Piece] | None:
        """The page of the thing that the view names; None for no such thing, or none shown."""
        view, report = moment.view, self.subject.report
        if view.name:
            found = self.subject.names.called(view.name.lower().rstrip("."))
            return self.name(moment, found) if found else None
        try:
            if view.server:
                proxy, server = report.directory.server(view.server)
                return self.server(moment, proxy, server) if _within(moment, proxy) else None
            backend = report.directory.backend(view.backend)
        except CommandError:
            return None
        if backend is None or not _within(moment, backend):
            return None
        return self.backend(moment, backend)

    def _opening(self, moment: PageMoment, place: str) -> str:
        found = self.subject.troubles.find(None)
        counts = counts_of(self.subject, moment)
        return opening(self.subject, moment, counts, len(found), place=place)

    def backend(self, moment: PageMoment, proxy: Proxy) -> Iterator[Piece]:
        """A backend: its trouble, its way, its pictures, its servers."""
        subject = self.subject
        assert proxy.backend_index is not None
        yield self._opening(moment, f"Backend {escape(proxy.name)}")
        found = [
            each
            for each in subject.troubles.find((proxy,))
            if each.kind is TroubleKind.BACKEND and each.number == proxy.backend_index
        ]
        for each in found:
            item = trouble_item(moment, subject.troubles.tell(each), "")
            yield f'<h2>What is wrong</h2>\n<ul class="troubles">{item}</ul>\n'
        yield f"<h2>The way</h2>\n{way(subject.ways.to(proxy), moment.view)}"
        frame_marks = [generation_mark(subject), *changes(subject, moment)]
        for server in subject.report.servers.of(proxy)[:SERVERS_MARKED_MAX]:
            fault = subject.faults.of(proxy).get(server.slot)
            if fault is not None:
                frame_marks.append(Mark(fault.since_ms, f"{server.name}: {fault.reason}"))
        yield from self._pictures(moment, HistoryKind.BACKEND, proxy.backend_index, frame_marks)
        waiting = subject.faults.loads.waiting().get(proxy.backend_index, 0)
        command = f"show stat {proxy.name} 2 -1; show why {proxy.name}"
        yield table(BACKEND_COLUMNS, "In all", command)
        yield backend_row(subject, moment, proxy, waiting=waiting) + TABLE_END
        if moment.writes:
            yield order_form(moment, proxy, subject.report.servers.of(proxy))
        yield from servers_of(subject, moment, proxy, SERVERS_AT_ONCE)
        yield closing(moment)

    def server(self, moment: PageMoment, proxy: Proxy, server: Server) -> Iterator[Piece]:
        """A server: its way, its pictures, and what `show why` says, which asks resolverd."""
        subject = self.subject
        title = f"{proxy.name}/{server.name}"
        yield self._opening(moment, f"Server {escape(title)}")
        yield f"<h2>The way</h2>\n{way(subject.ways.to(proxy, server), moment.view)}"
        marks = [generation_mark(subject)]
        observed = subject.report.observer.server(proxy, server)
        changed_ms = observed.standing.last_change_ms(subject.report.runtime.segment.created_ms)
        marks.append(Mark(changed_ms, f"{title}: last change"))
        if observed.slot.changed_ms:
            marks.append(Mark(observed.slot.changed_ms, f"address {observed.slot.address}"))
        yield from self._pictures(moment, HistoryKind.SERVER, server.slot, marks)
        yield table(SERVER_COLUMNS, "In numbers", f"show stat {proxy.name} 4 {server.id}")
        yield server_row(subject, moment, proxy, server) + TABLE_END
        if moment.writes:
            yield order_form(moment, proxy, (server,))
        if moment.page.show_legends:
            yield f"<h2>Why <small><code>show why {escape(title)}</code></small></h2>\n<pre>"
            for piece in self.why.lines(proxy, server):
                yield escape(piece) if isinstance(piece, str) else piece
            yield "</pre>\n"
        yield closing(moment)

    def name(self, moment: PageMoment, found: list[ResolutionSettings]) -> Iterator[Piece]:
        """A name: slots against records, how its runs ended, where its servers are."""
        subject, name = self.subject, found[0].name
        yield self._opening(moment, f"Name {escape(name)}")
        yield table(NAME_COLUMNS, "In numbers", f"show resolution {name}")
        for resolution in found:
            yield name_row(subject, moment, resolution)
        yield TABLE_END
        for resolution in found:
            yield from self._resolution(moment, resolution)
        yield closing(moment)

    def _resolution(self, moment: PageMoment, resolution: ResolutionSettings) -> Iterator[Piece]:
        """One resolution of a name: links, pictures, the servers that live on it."""
        subject, reveal = self.subject, moment.page.show_legends
        facts = subject.names.facts(resolution.index)
        if facts.fails:
            links = "".join(f"<li>{escape(each)}</li>" for each in facts.nameservers)
            yield f'<ul class="events">{links}</ul>\n'
        marks, lines = [generation_mark(subject)], []
        for fed in resolution.servers[:SERVERS_MARKED_MAX]:
            server = subject.report.servers.get(fed.slot)
            if server is None:
                continue
            slot = subject.report.observer.table.slot(fed.slot)
            title = f"{subject.report.servers.backends[server.backend_index].name}/{server.name}"
            where = f" {slot.address}" if slot.address and reveal else ""
            said = f"{title} has{where or ' an address' if slot.address else ' none'}"
            if slot.changed_ms:
                marks.append(Mark(slot.changed_ms, said))
                said += f", since {moment.clock(slot.changed_ms)}"
            link = moment.view.link(server=title, name="", backend="")
            lines.append(
                f'<li><a href="{link}">{escape(title)}</a>{escape(said[len(title) :])}</li>'
            )
        frame = moment.frame(marks)
        points = subject.history.points(HistoryKind.NAME, resolution.index, moment.now_ms) or []
        used = [None if each is None else each[0] for each in points]
        records = [None if each is None else each[1] for each in points]
        states = [None if each is None else each[2] for each in points]
        yield '<h2>The last 15 minutes</h2>\n<div class="pictures">'
        lines_drawn = [Curve("servers", used), Curve("records", records)]
        yield picture("Servers with an address against records", lines_drawn, frame)
        yield timeline("Answers, and changes of addresses", states, Status.VALID, frame)
        yield "</div>\n"
        if lines:
            yield f'<h2>Its servers</h2>\n<ul class="events">{"".join(lines)}</ul>\n'

    def _pictures(
        self, moment: PageMoment, kind: HistoryKind, index: int, marks: list[Mark]
    ) -> Iterator[str]:
        """Sessions, rate and queue."""
        points = self.subject.history.points(kind, index, moment.now_ms)
        yield "<h2>The last 15 minutes</h2>\n"
        if points is None:
            yield f'<p class="quiet">{PICTURES_MISSING[kind]}</p>\n'
            return
        frame = moment.frame(marks)
        yield '<div class="pictures">'
        for place, title in enumerate(("Sessions", "Sessions per second", "Queue")):
            values = [None if each is None else each[place] for each in points]
            yield picture(title, [Curve(title.lower(), values)], frame)
        yield "</div>\n"


def _within(moment: PageMoment, proxy: Proxy) -> bool:
    """Whether `stats scope` shows a section."""
    return not moment.page.scope or proxy.name in moment.page.scope
