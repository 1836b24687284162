"""What `stats uri` serves: the page in all its forms, and orders to servers by `stats admin`.

An order comes as a form of the page itself: from a browser that says so (Origin), with a token
that this process made, where the condition of `stats admin` holds. Each answer to one is a
redirect, so that a reload of the page does not order again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

from proxy.config.model.http import StatsPage
from proxy.control.caller import CALLER
from proxy.control.command import CommandError, Flush, Level, Piece
from proxy.control.commands.set_server import SetServer
from proxy.control.commands.show_stat import Query, chosen_rows
from proxy.control.http.connection import Response, plain, refusal, streamed, whole
from proxy.control.http.request import Request
from proxy.control.page.forms import ACTIONS, Tokens, fields_of
from proxy.control.page.front import front
from proxy.control.page.plain import plain as plain_page
from proxy.control.page.style import STYLE, STYLE_WORD, icon
from proxy.control.page.subject import PageMoment, PageSubject
from proxy.control.page.things import Things
from proxy.control.page.view import View, parse
from proxy.control.rows.stat_format import Format, render
from proxy.control.rows.stat_rows import Row
from proxy.control.turns import Turns
from shm.log_level import LogLevel

TEXT, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PRIVATE = ("Cache-Control", "no-store")
PAGE_HEADERS = (
    PRIVATE,
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "same-origin"),  # with `no-referrer` browsers hide the origin of a form
    ("Vary", "Accept"),
)
NOSNIFF = ("X-Content-Type-Options", "nosniff")
ROW_FORMS = (
    ("csv", Format.CSV, TEXT),
    ("typed", Format.TYPED, TEXT),
    ("json", Format.JSON, "application/json"),
)
READING = ("GET", "HEAD")


class Pages:
    """Answers for one program; `orders` changes servers."""

    def __init__(self, subject: PageSubject, turns: Turns, orders: SetServer) -> None:
        self.subject = subject
        self.turns = turns
        self.orders = orders
        self.things = Things(subject)
        self.tokens = Tokens()

    async def answer(
        self, page: StatsPage, request: Request, metrics_path: str | None, *, writes: bool
    ) -> Response:
        """The response to a request below the page's uri; `writes`: its sender may order."""
        view = parse(page, request.uri)
        if request.method == "POST" and page.admin is not None:
            return await self.ordered(page, view, request, writes=writes)
        if request.method not in READING:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        found = self.file(page, view)
        if found is not None:
            return found
        moment = PageMoment.of(page, view, metrics_path)
        if writes:
            moment = moment._replace(writes=True, token=self.tokens.make(page.uri))
        return self.shown(moment, request)

    def file(self, page: StatsPage, view: View) -> Response | None:
        """The style sheet, the icon, or the rows of `show stat`; None: the page is meant."""
        if STYLE_WORD in view.words:
            cached = ("Cache-Control", "private, max-age=86400")  # its name has its digest
            return _file("text/css; charset=utf-8", STYLE, cached)
        drawn = next((word for word in view.words if word.startswith("icon-")), "")
        if drawn:
            return _file("image/svg+xml", _icon(drawn), PRIVATE)
        for word, form, content_type in ROW_FORMS:
            if word in view.words:
                rows = render(self.chosen_rows(page, view.words), form)
                return streamed(HTTPStatus.OK, content_type, self.turns.chunks(rows))
        return None

    def shown(self, moment: PageMoment, request: Request) -> Response:
        """The page itself, for people."""
        view = moment.view
        if "text" in view.words or _wants_text(request):
            text = self.turns.chunks(plain_page(self.subject, moment))
            return streamed(HTTPStatus.OK, TEXT, text, PAGE_HEADERS)
        pieces: Iterator[Piece] | None = front(self.subject, moment)
        if view.backend or view.server or view.name:
            pieces = self.things.page(moment)
        if pieces is None:
            return plain(HTTPStatus.NOT_FOUND, "There is no such backend, server or name.\n")
        again = (("Refresh", str(view.refresh)),) if view.refresh else ()
        content = self.turns.chunks(pieces)
        return streamed(HTTPStatus.OK, HTML, content, (*PAGE_HEADERS, *again))

    def chosen_rows(self, page: StatsPage, words: Collection[str]) -> Iterator[Row | None]:
        """The rows of every section that the page shows, but for those that the words hide.

        Addresses are shown only with `stats show-legends`, as in HAProxy.
        """
        report = self.subject.report
        shown = tuple(
            proxy for proxy in report.proxies if not page.scope or proxy.name in page.scope
        )
        query = Query(proxies=shown, no_maint="no-maint" in words, only_up="up" in words)
        return chosen_rows(report, query, reveal=page.show_legends)

    async def ordered(
        self, page: StatsPage, view: View, request: Request, *, writes: bool
    ) -> Response:
        """Obey a form, and lead back to the page, which says what came of it."""
        if not writes or not _same_origin(request):
            return refusal(HTTPStatus.FORBIDDEN)
        try:
            fields = fields_of(request.body)
        except ValueError:
            return refusal(HTTPStatus.BAD_REQUEST)
        if not self.tokens.holds(page.uri, "".join(fields.get("token", ()))):
            return _see(view, "stale")
        return _see(view, await self.obey(page, fields))

    async def obey(self, page: StatsPage, fields: dict[str, list[str]]) -> str:
        """Do what a form says to each server of it; how that ended, in a word."""
        action = "".join(fields.get("action", ()))
        table = self.subject.report.directory
        try:
            backend = table.backend("".join(fields.get("b", ())))
        except CommandError:
            return "unknown"
        if action not in ACTIONS or backend is None:
            return "unknown"
        if page.scope and backend.name not in page.scope:
            return "unknown"
        names = dict.fromkeys(fields.get("s", ()))  # each once
        servers = [table.server_named(backend, name) for name in names]
        if None in servers:
            return "unknown"
        for server in servers:
            assert server is not None
            try:
                await self._order(f"{backend.name}/{server.name}", action)
            except CommandError:
                return "replaced" if self.orders.replaced else "unknown"
        return "done" if servers else "none"

    async def _order(self, server: str, action: str) -> None:
        """One order, as the stats socket would take it; raises CommandError."""
        caller = CALLER.get()
        if caller is not None:
            caller.changes.clear()
        if action in ("dhlth", "ehlth"):
            switch = self.orders.checks_off if action == "dhlth" else self.orders.checks_on
            answer = switch([server], Level.ADMIN)
        else:
            answer = self.orders.set_server([server, "state", action], Level.ADMIN)
        async with self.turns.turn():
            pieces = list(answer)
        for piece in pieces:
            if not isinstance(piece, (str, Flush)):
                await piece.over()
        if caller is not None:
            events = self.subject.report.runtime.events
            told = caller.told(f"{action} {server}")
            events.write(time.time_ns() // 1_000, LogLevel.NOTICE, told)


def _icon(word: str) -> str:
    """The icon that a name says: icon-<down>-<weak>.svg."""
    down, _, weak = word.removeprefix("icon-").removesuffix(".svg").partition("-")
    number = int(down) if down.isascii() and down.isdecimal() and len(down) < 7 else 0
    return icon(number, weak=weak == "1")


def _file(content_type: str, text: str, cached: tuple[str, str]) -> Response:
    headers = (("Content-Type", content_type), cached, NOSNIFF)
    return whole(200, "OK", headers, text.encode())


def _wants_text(request: Request) -> bool:
    """Whether a client asks for text before markup; a browser names both, markup first."""
    kinds = [
        each.partition(";")[0].strip() for each in request.headers.get("accept", "").split(",")
    ]
    return "text/plain" in kinds and "text/html" not in kinds


def _same_origin(request: Request) -> bool:
    """Whether a browser says that the form was of this page; without a word of it, it was not."""
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()


async def _nothing() -> AsyncGenerator[bytes, None]:
    yield b""


def _see(view: View, told: str) -> Response:
    """Lead to a page that says how an order ended."""
    headers = (("Location", view._replace(told=told).target()), PRIVATE)
    see = HTTPStatus.SEE_OTHER
    return Response(see.value, see.phrase, headers, _nothing(), 0)
