"""What the statistics sections answer: metrics, the dashboard, and its `;csv` and `;json` forms.

At most SCRAPES_MAX scrapes are kept at a time, shared by all requests for the same
(metrics/snapshots.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from http import HTTPStatus

from proxy.config.model.settings import Proxy
from proxy.control.http.connection import Response, one_part, plain, refusal
from proxy.control.http.dashboard import Dashboard
from proxy.control.http.request import Request
from proxy.control.limits import SCRAPES_MAX
from proxy.control.metrics.families import Exposition, choose, render
from proxy.control.metrics.own import OwnMetrics
from proxy.control.metrics.scrape import Scrape, ScrapeError, Selection, parse_query
from proxy.control.metrics.snapshots import Snapshots
from proxy.control.places import Client
from proxy.control.rows.report import Report
from proxy.control.rows.stat_format import Format
from proxy.control.rows.stat_format import render as render_rows
from proxy.control.rows.stat_rows import Row
from proxy.control.turns import Turns

READY_PAGE = "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"
DASHBOARD_HEADERS = (("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),)


class HttpServices:
    """Answers the requests of all statistics sections."""

    def __init__(self, report: Report, turns: Turns) -> None:
        self.report = report
        self.turns = turns
        self.own = OwnMetrics(report)
        self.dashboard = Dashboard(report)
        self.snapshots = Snapshots(
            SCRAPES_MAX, turns, lambda selection: Scrape(self.report, selection)
        )

    async def answer(self, proxy: Proxy, request: Request, client: Client) -> Response:
        """The response of one section to one request: nothing but what its lines say."""
        target = f"{request.path}?{request.query}" if request.query else request.path
        if target == proxy.monitor_uri:
            return Response(HTTPStatus.OK, "text/html", one_part(READY_PAGE))
        paths = proxy.metrics_paths
        if paths is not None and (not paths or request.path in paths):
            return self.metrics(request, client)
        base = proxy.stats_uri
        if base is not None and target.startswith(base):
            return self.statistics(proxy, target[len(base) :])
        return refusal(HTTPStatus.NOT_FOUND)

    def metrics(self, request: Request, client: Client) -> Response:
        """Metrics, as `?scope=...` and the like want them."""
        try:
            selection = parse_query(request.query)
        except ScrapeError as error:
            return plain(HTTPStatus.BAD_REQUEST, f"{error}\n")
        exposition = choose(request.headers.get("accept", ""))
        parts = self.scrape(selection, exposition, client)
        return Response(HTTPStatus.OK, exposition.content_type, parts)

    async def scrape(
        self, selection: Selection, exposition: Exposition, client: Client
    ) -> AsyncGenerator[bytes, None]:
        """The text of one scrape; a failure is counted and ends the response early."""
        self.own.scrapes += 1
        try:
            async with self.snapshots.read(selection, client) as scrape:
                parts = self.parts(scrape, selection, exposition)
                async for part in self.turns.parts(parts):
                    yield part
        except Exception:
            self.own.failures += 1
            raise
        yield exposition.end

    def parts(
        self, scrape: Scrape, selection: Selection, exposition: Exposition
    ) -> Iterator[bytes]:
        """The text of all families that were asked for."""
        for family in scrape.families():
            yield from render(family, exposition)
        if "millrace" in selection.scopes:
            for own in self.own.families():
                if selection.wants(own.name):
                    yield from render(own, exposition)

    def statistics(self, proxy: Proxy, rest: str) -> Response:
        """The dashboard, or the rows as `;csv` or `;json`.

        Addresses are shown only with `stats show-legends`, as in HAProxy.
        """
        words, reveal = rest.split(";"), proxy.stats_show_legends
        for word, form, content_type in (
            ("csv", Format.CSV, "text/plain; charset=utf-8"),
            ("json", Format.JSON, "application/json"),
        ):
            if word in words:
                rows = render_rows(self.all_rows(reveal=reveal), form)
                return Response(HTTPStatus.OK, content_type, self.turns.chunks(rows))
        page = self.dashboard.page(
            refresh="norefresh" not in words,
            reveal=reveal,
            version=not proxy.stats_hide_version,
            metrics_paths=proxy.metrics_paths,
        )
        return Response(
            HTTPStatus.OK, "text/html; charset=utf-8", self.turns.chunks(page), DASHBOARD_HEADERS
        )

    def all_rows(self, *, reveal: bool) -> Iterator[Row]:
        """Every row of every proxy."""
        for proxy in self.report.proxies:
            yield from self.report.rows(proxy, reveal=reveal)
