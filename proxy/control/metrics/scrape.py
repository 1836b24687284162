"""One scrape: rows of everything, taken once, handed out as metric families with HAProxy's names.

Rows are taken step by step (turns.py); a row is reduced at once to the numbers that metrics need.
What a row lacks is NaN, as promex does it; metrics of checks are left out for servers without
checks, and those of agents for servers without an agent (names of later HAProxys: 2.6 has none).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl

from proxy import __version__
from proxy.config.model.settings import Proxy
from proxy.control.commands.show_info import FIELDS, Info
from proxy.control.metrics.columns import Columns, KnownServers
from proxy.control.metrics.families import (
    MISSING,
    ColumnFamily,
    Labels,
    MetricFamily,
    Sample,
    Value,
    labels_of,
)
from proxy.control.metrics.servers import (
    CHECKS_REPORTED,
    MAINT,
    STATES,
    WIDTH,
    check_status_of,
    server_families,
    state_of,
)
from proxy.control.metrics.tables import (
    BACKEND_METRICS,
    BACKEND_STATES,
    FRONTEND_METRICS,
    PROCESS_METRICS,
    RESOLVER_METRICS,
    SERVICE_METRICS,
    Metric,
)
from proxy.control.rows.report import Report
from proxy.control.rows.stat_rows import Row
from proxy.runtime import now_ms

SCOPES = ("global", "frontend", "backend", "server", "resolver", "millrace")
SCOPES_ELSEWHERE = ("listener", "sticktable")  # HAProxy's, without anything here
EXPLANATIONS = {field.name: field.text.capitalize() for field in FIELDS}
NO_STATE = -1  # of a server
KNOWN_AT_ONCE = 16  # servers whose records have not changed: as much work as one that has
RESPONSE_CODES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


class ScrapeError(ValueError):
    """The query string asks for something that does not exist."""


class Selection(NamedTuple):
    """What the query string asks for."""

    scopes: frozenset[str]
    no_maint: bool = False
    only: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()

    def needs(self, scope: str) -> bool:
        """Whether any family of a scope may be asked for: else its rows are not built."""
        named = any(name.startswith(f"haproxy_{scope}_") for name in self.only)
        return scope in self.scopes and (named or not self.only)

    def wants(self, family: str) -> bool:
        """Whether a family is asked for by name."""
        return family not in self.without and (not self.only or family in self.only)


def parse_query(query: str) -> Selection:
    """A query string as promex understands it; raises ScrapeError for an unknown scope."""
    scopes: set[str] | None = None
    names: set[str] = set()
    no_maint = False
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "scope":
            scopes = set() if scopes is None else scopes
            if value == "*":
                scopes |= set(SCOPES)
            elif value in SCOPES:
                scopes.add(value)
            elif value and value not in SCOPES_ELSEWHERE:
                raise ScrapeError(f"unknown scope {value!r}")
        elif key == "no-maint":
            no_maint = True
        elif key == "metrics":
            names |= {name.strip() for name in value.split(",") if name.strip()}
    return Selection(
        frozenset(SCOPES if scopes is None else scopes),
        no_maint,
        frozenset(name for name in names if not name.startswith("-")),
        frozenset(name[1:] for name in names if name.startswith("-")),
    )


class Point(NamedTuple):
    """One frontend or backend: its labels, its numbers in the order of a table, its state."""

    labels: Labels
    values: tuple[Value, ...]
    state: str = ""


def numbers(row: Row, metrics: tuple[Metric, ...]) -> tuple[Value, ...]:
    """The cells that a table of metrics needs."""
    return tuple(
        [
            MISSING
            if metric.cell not in row
            else row[metric.cell]
            if metric.divisor == 1
            else int(row[metric.cell]) / metric.divisor
            for metric in metrics
        ]
    )


def point_of(proxy: Proxy, values: tuple[Value, ...]) -> Point:
    """The point of a frontend or backend."""
    return Point(labels_of(proxy=proxy.name), values)


def samples_at(position: int, points: Iterable[Point]) -> Iterator[Sample]:
    """One sample for each point: the number at this position of a table."""
    return ((point.labels, point.values[position]) for point in points)


def table_families(
    metrics: tuple[Metric, ...], points: Callable[[], Iterable[Point]]
) -> Iterator[MetricFamily]:
    """One family for each metric of a table; the points are walked while it is rendered."""
    for position, metric in enumerate(metrics):
        samples = samples_at(position, points())
        yield MetricFamily(metric.name, metric.counter, metric.help, samples)


def with_state(labels: Labels, state: str) -> Labels:
    """Labels with one more; a state needs no escapes."""
    return f'{labels},state="{state}"'


def state_samples(points: Iterable[Point], states: tuple[str, ...]) -> Iterator[Sample]:
    """One series for each state, 1 for the one that holds."""
    for point in points:
        for state in states:
            yield with_state(point.labels, state), int(point.state == state)


class Scrape:
    """Everything that one scrape reports."""

    def __init__(self, report: Report, selection: Selection, known: KnownServers) -> None:
        """`known`: what scrapes keep of servers (`known_servers`)."""
        self.report = report
        self.known = known
        self.selection = selection
        self.frontends: list[Point] = []
        self.services: list[tuple[Point, Row]] = []
        self.backends: list[Point] = []
        self.servers = Columns(WIDTH)
        self.states: dict[Labels, Counter[int]] = {}  # of the servers, by the backend's labels
        self.checks: dict[Labels, Counter[int]] = {}

    def take(self) -> Iterator[None]:
        """Take the rows, one in each step."""
        for proxy in self.report.frontends if self.selection.needs("frontend") else ():
            row = self.report.frontend(proxy)
            state = "UP" if row["status"] == "OPEN" else "DOWN"
            point = point_of(proxy, numbers(row, FRONTEND_METRICS))._replace(state=state)
            self.frontends.append(point)
            if proxy.http is not None:
                self.services.append((point._replace(values=numbers(row, SERVICE_METRICS)), row))
            yield
        backends, servers = self.selection.needs("backend"), self.selection.needs("server")
        for proxy in self.report.backends if backends or servers else ():
            if backends:
                row = self.report.backend(proxy)
                point = point_of(proxy, numbers(row, BACKEND_METRICS))
                self.backends.append(point._replace(state=str(row["status"])))
            yield
            yield from self.take_servers(proxy, rows=servers)

    def take_servers(self, proxy: Proxy, *, rows: bool) -> Iterator[None]:
        """Count the states of one backend's servers, and take their rows where these are wanted."""
        backend = labels_of(proxy=proxy.name)
        states: Counter[int] = Counter()
        checks: Counter[int] = Counter()
        if self.report.servers.of(proxy):
            self.states[backend], self.checks[backend] = states, checks
        taken = self.taken(proxy) if rows else self.observed(proxy)
        for number, (state, check_status, anew) in enumerate(taken, 1):
            states[state] += 1
            checks[check_status] += 1
            if anew or number % KNOWN_AT_ONCE == 0:
                yield

    def taken(self, proxy: Proxy) -> Iterator[tuple[int, int, bool]]:
        """Take the rows of a backend's servers: state, check status, whether it took long."""
        unless = MAINT if self.selection.no_maint else NO_STATE
        for server in self.report.servers.of(proxy):
            yield self.known.take(self.servers, proxy, server, now_ms(), unless)

    def observed(self, proxy: Proxy) -> Iterator[tuple[int, int, bool]]:
        """The same without rows."""
        for observed in self.report.observer.backend(proxy):
            yield state_of(observed), check_status_of(observed), True

    def first_families(self) -> Iterator[MetricFamily]:
        """Those that need no rows, so that a reader has something while rows are taken."""
        if "global" in self.selection.scopes:
            for family in self.process_families():
                if self.selection.wants(family.name):
                    yield family

    def families(self) -> Iterator[MetricFamily | ColumnFamily]:
        """Every other family that was asked for."""
        parts: dict[str, Callable[[], Iterator[MetricFamily | ColumnFamily]]] = {
            "frontend": self.frontend_families,
            "backend": self.backend_families,
            "server": lambda: server_families(self.servers),
            "resolver": self.resolver_families,
        }
        for scope, part in parts.items():
            if scope in self.selection.scopes:
                yield from (family for family in part() if self.selection.wants(family.name))

    def process_families(self) -> Iterator[MetricFamily]:
        """haproxy_process_*."""
        values = Info(self.report).values()
        for metric in PROCESS_METRICS:
            sample: Sample = ("", values[metric.cell])
            yield MetricFamily(metric.name, metric.counter, EXPLANATIONS[metric.cell], [sample])
        for name, text in (("node", values["node"]), ("description", values.get("description"))):
            if text is not None:
                label = {"node": "node", "description": "desc"}[name]
                named: Sample = (labels_of(**{label: str(text)}), 1)
                yield MetricFamily(
                    f"haproxy_process_{name}", False, f"The {name}, as a label", [named]
                )
        build: Sample = (labels_of(version=__version__), 1)
        yield MetricFamily("haproxy_process_build_info", False, "The version, as a label", [build])

    def frontend_families(self) -> Iterator[MetricFamily]:
        """haproxy_frontend_*."""
        yield from table_families(FRONTEND_METRICS, lambda: self.frontends)
        yield MetricFamily(
            "haproxy_frontend_status",
            False,
            "Status, one series for each state (frontend)",
            state_samples(self.frontends, BACKEND_STATES),
        )
        yield from table_families(SERVICE_METRICS, lambda: (point for point, _ in self.services))
        yield MetricFamily(
            "haproxy_frontend_http_responses_total",
            True,
            "Responses by class of status (frontend)",
            (
                (f'{point.labels},code="{code}"', row[f"hrsp_{code}"])
                for point, row in self.services
                for code in RESPONSE_CODES
            ),
        )

    def backend_families(self) -> Iterator[MetricFamily]:
        """haproxy_backend_*."""
        yield from table_families(BACKEND_METRICS, lambda: self.backends)
        yield MetricFamily(
            "haproxy_backend_status",
            False,
            "Status, one series for each state (backend)",
            state_samples(self.backends, BACKEND_STATES),
        )
        for name in ("agg_server_status", "agg_server_check_status"):
            yield MetricFamily(
                f"haproxy_backend_{name}",
                False,
                "Number of servers in each state (backend)",
                (
                    (with_state(backend, word), count[state])
                    for backend, count in self.states.items()
                    for state, word in STATES
                ),
            )
        yield MetricFamily(
            "haproxy_backend_agg_check_status",
            False,
            "Number of servers with each result of the last check (backend)",
            (
                (with_state(backend, name), count[status])
                for backend, count in self.checks.items()
                for status, name in CHECKS_REPORTED
            ),
        )

    def resolver_families(self) -> Iterator[MetricFamily]:
        """haproxy_resolver_*."""
        reader = self.report.monitor.counters
        counted = [
            (
                labels_of(resolver=section.name, nameserver=server.name),
                reader.nameserver(server.index),
            )
            for section in self.report.settings.resolverd.sections
            for server in self.report.nameservers(section)
        ]
        for metric in RESOLVER_METRICS:
            samples = [(labels, fields[metric.cell]) for labels, fields in counted]
            yield MetricFamily(metric.name, metric.counter, metric.help, samples)
