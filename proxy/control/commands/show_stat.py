"""`show stat`: which rows, and in which form (management manual 9.3).

    show stat [domain proxy|resolvers] [{<iid>|<proxy>} <type> <sid>] [typed|json] [desc]
              [up|no-maint]

A filter is three words: proxy (-1: all), type bits (1 frontend, 2 backend, 4 server, -1: all), and
server id (-1: all).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.config.model.settings import Proxy
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.rows.directory import Directory, number
from proxy.control.rows.observation import Observed
from proxy.control.rows.report import Report
from proxy.control.rows.stat_format import Format, render
from proxy.control.rows.stat_rows import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_SERVER,
    Row,
    server_status,
)

ALL = -1
TYPE_BITS = {TYPE_FRONTEND: 1, TYPE_BACKEND: 2, TYPE_SERVER: 4}
FORMS = {"typed": Format.TYPED, "json": Format.JSON}
WORDS = (*FORMS, "desc", "no-maint", "up")


def is_up(observed: Observed) -> bool:
    """Whether a server is neither DOWN nor in maintenance."""
    return server_status(observed).startswith(("UP", "no check", "DRAIN", "NOLB"))


class Query(NamedTuple):
    """What a `show stat` asks for."""

    form: Format = Format.CSV
    proxies: tuple[Proxy, ...] = ()
    types: int = ALL
    server: int = ALL
    no_maint: bool = False
    only_up: bool = False
    explain: bool = False
    resolvers: bool = False

    def wants(self, kind: int) -> bool:
        """Whether rows of this kind are asked for."""
        return self.types == ALL or self.types & TYPE_BITS[kind] != 0

    def wants_server(self, observed: Observed) -> bool:
        """Whether the row of a server in this state is asked for."""
        if not (self.no_maint or self.only_up):
            return True
        if self.no_maint and server_status(observed).startswith("MAINT"):
            return False
        return not self.only_up or is_up(observed)


def find_proxies(directory: Directory, word: str) -> tuple[Proxy, ...]:
    """Proxies by number (-1: all, an unknown one: none) or name; raises CommandError."""
    word = word.removeprefix("#")
    return directory.proxies if number(word) == ALL else directory.proxies_called(word)


def parse(words: list[str], directory: Directory) -> Query:
    """Words after `show stat` as a query; raises CommandError."""
    query = Query(proxies=directory.proxies)
    if words[:1] == ["domain"]:
        if words[1:2] not in (["proxy"], ["resolvers"]):
            raise CommandError("Invalid statistics domain.")
        query = query._replace(resolvers=words[1] == "resolvers")
        words = words[2:]
    if len(words) >= 3 and words[0] not in WORDS:
        types, server = number(words[1]), number(words[2])
        if types is None or server is None:
            raise CommandError("Integer value expected.")
        chosen = find_proxies(directory, words[0])
        query = query._replace(proxies=chosen, types=types, server=server)
        words = words[3:]
    for word in words:
        query = query._replace(
            form=FORMS.get(word, query.form),
            no_maint=query.no_maint or word == "no-maint",
            only_up=query.only_up or word == "up",
            explain=query.explain or word == "desc",
        )
    return query


def chosen_rows(report: Report, query: Query, *, reveal: bool) -> Iterator[Row | None]:
    """The rows asked for; None for each time that something was looked at in vain."""
    for proxy in query.proxies:
        if proxy.frontend_index is not None and query.wants(TYPE_FRONTEND):
            yield report.frontend(proxy)
        if proxy.backend_index is not None and query.wants(TYPE_SERVER):
            yield from _servers(report, proxy, query, reveal=reveal)
        if proxy.backend_index is not None and query.wants(TYPE_BACKEND):
            yield from _backend(report, proxy, query, reveal=reveal)
        yield None


def _backend(report: Report, proxy: Proxy, query: Query, *, reveal: bool) -> Iterator[Row | None]:
    """The row of a backend, which counts its servers where some rows are filtered out."""
    servers = ups = 0
    if query.no_maint or query.only_up:
        for server in report.servers.of(proxy):
            ups += is_up(report.observer.server(proxy, server))
            servers += 1
            yield None
    row = report.backend(proxy, reveal=reveal)
    counted = f" ({ups}/{servers})" if query.no_maint or query.only_up else ""
    yield row | {"status": f"{row['status']}{counted}"}


def _servers(report: Report, proxy: Proxy, query: Query, *, reveal: bool) -> Iterator[Row | None]:
    """The rows of one backend's servers; one that is filtered out is not built."""
    chosen = report.servers.of(proxy)
    if query.server != ALL:
        server = report.directory.server_numbered(proxy, query.server)
        chosen = () if server is None else (server,)
    for server in chosen:
        observed = report.observer.server(proxy, server)
        wanted = query.wants_server(observed)
        yield report.server_of(observed, reveal=reveal) if wanted else None


class ShowStat:
    """The `show stat` command; `resolvers` renders the resolvers domain."""

    def __init__(self, report: Report, resolvers: Callable[[Format], Answer]) -> None:
        self.report = report
        self.resolvers = resolvers

    def commands(self) -> list[Command]:
        """What this family answers to."""
        return [
            Command(
                ("show", "stat"),
                "[desc|json|no-maint|typed|up]*",
                "counters of each proxy and server",
                Level.USER,
                self.stat,
            )
        ]

    def stat(self, words: list[str], level: Level) -> Answer:
        """`show stat ...`."""
        query = parse(words, self.report.directory)
        if query.resolvers:
            return self.resolvers(query.form)
        rows = chosen_rows(self.report, query, reveal=level >= Level.OPERATOR)
        return render(rows, query.form, explain=query.explain)
