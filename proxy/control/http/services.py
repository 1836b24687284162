"""What the sections in mode http answer: rules, health, metrics, the page in all its forms.

At most SCRAPES_MAX scrapes are kept at a time, shared by all requests for the same
(metrics/snapshots.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from http import HTTPStatus

from proxy.config.model.http import Action, HttpSection, RequestRule, StatsPage
from proxy.config.model.rules import FormatText
from proxy.config.model.settings import Proxy
from proxy.control.http.connection import Addresses, Response, plain, refusal, streamed, whole
from proxy.control.http.packing import HEADERS as PACKED
from proxy.control.http.packing import VARIES, Packing, takes_gzip
from proxy.control.http.pages import Pages
from proxy.control.http.readiness import PATH as READY_PATH
from proxy.control.http.readiness import Readiness
from proxy.control.http.redirects import redirected
from proxy.control.http.request import Request
from proxy.control.http.rulesets import Facts, SectionRules, TooLongError
from proxy.control.limits import SCRAPES_MAX
from proxy.control.metrics.families import Exposition, MetricFamily, choose, render
from proxy.control.metrics.own import OwnMetrics
from proxy.control.metrics.scrape import Scrape, ScrapeError, Selection, parse_query
from proxy.control.metrics.servers import known_servers
from proxy.control.metrics.snapshots import Snapshots
from proxy.control.places import Client
from proxy.control.rows.report import Report
from proxy.control.turns import Turns
from proxy.runtime import now_ms

PAGE_HEADERS = (("Cache-Control", "no-cache"), ("Content-Type", "text/html"))
WORDS: dict[int, str] = {  # what a page says below its status
    HTTPStatus.OK: "Service ready.",
    HTTPStatus.UNAUTHORIZED: "This needs the name and password of a user.",
    HTTPStatus.FORBIDDEN: "A rule refuses this request.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "What is to be said is too long.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing here serves this request.",
}
READING = ("GET", "HEAD")


class HttpServices:
    """Answers the requests of all sections in mode http."""

    def __init__(self, report: Report, turns: Turns, pages: Pages | None = None) -> None:
        """`pages`: None where no section has one."""
        self.report = report
        self.turns = turns
        self.own = OwnMetrics(report)
        self.pages = pages
        self.known = known_servers(report)
        self.snapshots = Snapshots(
            SCRAPES_MAX, turns, lambda selection: Scrape(report, selection, self.known)
        )
        self.packing = Packing()
        runtime = report.runtime
        self.readiness = Readiness(runtime)
        self.rules = {
            proxy.name: SectionRules(
                proxy.http,
                runtime.segment,
                runtime.every_list,
                runtime.main_pid,
                report.monitor.services.get(proxy.frontend_index),
            )
            for proxy in report.proxies
            if proxy.http is not None
        }

    async def answer(
        self, proxy: Proxy, request: Request, client: Client, addresses: Addresses
    ) -> Response:
        """The response of one section to one request, in HAProxy's order of its lines."""
        section = proxy.http
        if section is None:
            return refusal(HTTPStatus.NOT_FOUND)
        rules = self.rules[proxy.name]
        facts = await rules.facts(request, addresses)
        if request.uri == section.monitor_uri:
            return page_of(section, 503 if rules.fails(facts) else 200)
        rule = rules.deciding(facts)
        if rule is not None and rule.action is not Action.METRICS:
            return decided(section, rule, request, facts, rules)
        if rule is not None:
            known = await rules.is_known(request)
            return self.metrics(request, client) if known else challenge(section, section.realm)
        return await self.behind_rules(section, request, facts, rules)

    async def behind_rules(
        self, section: HttpSection, request: Request, facts: Facts, rules: SectionRules
    ) -> Response:
        """What no rule of `http-request` answers: /ready, the page, `redirect` lines, or none."""
        target = request.uri
        page = section.page
        named = page is not None and page.uri.partition("?")[0] == READY_PATH
        if request.path == READY_PATH and not named:
            return self.readiness.response(now_ms())
        if page is not None and self.pages is not None and target.startswith(page.uri):
            refused = await self.refused(section, page, request, facts, rules)
            if refused is not None:
                return refused
            writes = page.admin is not None and rules.holds(page.admin, facts)
            return await self.pages.answer(page, request, section.metrics_path, writes=writes)
        rule = rules.redirecting(facts)
        if rule is None:
            return page_of(section, 503)
        return decided(section, rule, request, facts, rules)

    async def refused(
        self,
        section: HttpSection,
        page: StatsPage,
        request: Request,
        facts: Facts,
        rules: SectionRules,
    ) -> Response | None:
        """Why a request does not get the page: by `stats http-request`, then by `stats auth`."""
        rule = rules.decisive(page.rules, facts)
        if rule is not None:
            if rule.action is Action.ALLOW:
                return None
            return decided(section, rule, request, facts, rules)
        return None if await rules.is_known(request) else challenge(section, section.realm)

    def metrics(self, request: Request, client: Client) -> Response:
        """Metrics, as `?scope=...` and the like want them."""
        if request.method not in READING:
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            selection = parse_query(request.query)
        except ScrapeError as error:
            return plain(HTTPStatus.BAD_REQUEST, f"{error}\n")
        exposition = choose(request.headers.get("accept", ""))
        parts = self.scrape(selection, exposition, client)
        if not takes_gzip(request.headers.get("accept-encoding", "")):
            return streamed(HTTPStatus.OK, exposition.content_type, parts, VARIES)
        packed = self.packing.packed(parts)
        return streamed(HTTPStatus.OK, exposition.content_type, packed, (*PACKED, *VARIES))

    async def scrape(
        self, selection: Selection, exposition: Exposition, client: Client
    ) -> AsyncGenerator[bytes, None]:
        """The text of one scrape; a failure is counted and ends the response early."""
        self.own.scrapes += 1
        first = Scrape(self.report, selection, self.known).first_families()
        try:
            async for part in self.turns.parts(rendered(first, exposition)):
                yield part
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
        """The text of the families that were asked for, but for the first."""
        for family in scrape.families():
            yield from render(family, exposition)
        if "millrace" in selection.scopes:
            for own in self.own.families():
                if selection.wants(own.name):
                    yield from render(own, exposition)


def rendered(families: Iterator[MetricFamily], exposition: Exposition) -> Iterator[bytes]:
    """The text of small families, in one part."""
    yield b"".join(part for family in families for part in render(family, exposition))


def phrase_of(status: int) -> str:
    """The usual phrase of a status; "" for one of the configuration's own."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def page_of(
    section: HttpSection, status: int, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """The page of a status: that of `errorfile`, or a line of our own."""
    reply = section.replies.get(status)
    if reply is not None:
        # a file has no formats
        fields = ((name, value) for name, value in reply.headers if isinstance(value, str))
        return whole(reply.status, reply.reason, (*fields, *headers), reply.body)
    reason = phrase_of(status)
    text = f"<html><body><h1>{status} {reason}</h1>\n{WORDS.get(status, '')}\n</body></html>\n"
    return whole(status, reason, (*PAGE_HEADERS, *headers), text.encode())


def challenge(section: HttpSection, realm: str) -> Response:
    """The answer to a request without the name and password of a user (RFC 7617)."""
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    return page_of(section, 401, (("WWW-Authenticate", f'Basic realm="{quoted}"'),))


def decided(
    section: HttpSection, rule: RequestRule, request: Request, facts: Facts, rules: SectionRules
) -> Response:
    """The answer of a rule that is not `allow`."""

    def text(form: FormatText) -> str:
        return rules.written(form, facts).decode(errors="surrogateescape")

    try:
        if rule.redirect is not None:
            return redirected(rule.redirect, text(rule.redirect.value), request)
        if rule.reply is not None:
            reply = rule.reply
            fields = ((name, text(value)) for name, value in reply.headers)
            headers = tuple(field for field in fields if field[1])
            body = rules.written(reply.form, facts) if reply.form else reply.body
            if reply.form and not body:
                headers = headers[:-1]  # without its type
            return whole(reply.status, reply.reason, headers, body)
    except TooLongError:
        return page_of(section, 500)
    if rule.action is Action.AUTH:
        return challenge(section, rule.realm)
    return page_of(section, rule.status)
