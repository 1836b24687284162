"""`show stat`: which rows, and in which form (management manual 9.3).

    show stat [domain proxy|resolvers] [{<iid>|<proxy>} <type> <sid>] [typed|json] [up|no-maint]

A filter is three words: proxy (-1: all), type bits (1 frontend, 2 backend, 4 server, -1: all), and
server id (-1: all).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.config.model import Proxy
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.report import Report
from proxy.control.stat_format import Format, render
from proxy.control.stat_rows import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER, Row

ALL = -1
TYPE_BITS = {TYPE_FRONTEND: 1, TYPE_BACKEND: 2, TYPE_SERVER: 4}
FORMS = {"typed": Format.TYPED, "json": Format.JSON}


class Query(NamedTuple):
    """What a `show stat` asks for."""

    form: Format = Format.CSV
    proxies: tuple[Proxy, ...] = ()
    types: int = ALL
    server: int = ALL
    no_maint: bool = False
    only_up: bool = False
    resolvers: bool = False

    def wants(self, row: Row) -> bool:
        """Whether a row is asked for."""
        kind = int(row["type"])
        if self.types != ALL and not self.types & TYPE_BITS[kind]:
            return False
        if kind != TYPE_SERVER:
            return True
        if self.server not in (ALL, row["sid"]):
            return False
        status = str(row["status"])
        if self.no_maint and status.startswith("MAINT"):
            return False
        return not self.only_up or status.startswith(("UP", "no check", "DRAIN", "NOLB"))


def number(word: str) -> int | None:
    """A decimal number with a sign, or None."""
    return int(word) if word.removeprefix("-").isdecimal() else None


def find_proxies(proxies: tuple[Proxy, ...], word: str) -> tuple[Proxy, ...]:
    """Proxies by number (-1: all, an unknown one: none) or name; raises CommandError."""
    value = number(word)
    if value == ALL:
        return proxies
    found = tuple(proxy for proxy in proxies if proxy.name == word or proxy.id == value)
    if not found and value is None:
        raise CommandError("No such proxy.")
    return found


def parse(words: list[str], proxies: tuple[Proxy, ...]) -> Query:
    """Words after `show stat` as a query; raises CommandError."""
    query = Query(proxies=proxies)
    if words[:1] == ["domain"]:
        if words[1:2] not in (["proxy"], ["resolvers"]):
            raise CommandError("Invalid statistics domain.")
        query = query._replace(resolvers=words[1] == "resolvers")
        words = words[2:]
    if len(words) >= 3 and (types := number(words[1])) is not None:
        server = number(words[2])
        if server is not None:
            query = query._replace(
                proxies=find_proxies(proxies, words[0]), types=types, server=server
            )
            words = words[3:]
    for word in words:
        query = query._replace(
            form=FORMS.get(word, query.form),
            no_maint=query.no_maint or word == "no-maint",
            only_up=query.only_up or word == "up",
        )
    return query


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
                "[json|no-maint|typed|up]*",
                "counters of each proxy and server",
                Level.USER,
                self.stat,
            )
        ]

    def stat(self, words: list[str], level: Level) -> Answer:
        """`show stat ...`."""
        query = parse(words, self.report.proxies)
        if query.resolvers:
            return self.resolvers(query.form)
        return render(self.rows(query, reveal=level >= Level.OPERATOR), query.form)

    def rows(self, query: Query, *, reveal: bool) -> Iterator[Row]:
        """The rows asked for."""
        for proxy in query.proxies:
            for row in self.report.rows(proxy, reveal=reveal):
                if query.wants(row):
                    yield row
