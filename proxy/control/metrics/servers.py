"""The metrics of servers: what is said of one, and the families of all.

A row of numbers (columns.pyx) has those of all tables one after the other, and behind them the
state and how the last checks ended. Knows neither requests nor formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from proxy.config.model.settings import Proxy, Server
from proxy.control.metrics.columns import Columns, KnownServers
from proxy.control.metrics.families import (
    MISSING,
    ColumnFamily,
    Value,
    labels_of,
)
from proxy.control.metrics.tables import (
    AGENT_METRICS,
    CHECK_METRICS,
    SERVER_METRICS,
    SERVER_STATES,
    Metric,
)
from proxy.control.rows.observation import Observed
from proxy.control.rows.report import Report
from proxy.control.rows.stat_rows import COUNTED, USED, Row
from shm.check_status import CheckStatus
from shm.states import Operational

Described: TypeAlias = tuple[bytes, tuple[Value, ...], bool, int, bool, int]  # for columns.pyx

CHECKS_REPORTED = tuple(  # how checks end
    (int(status), status.name)
    for status in CheckStatus
    if status not in (CheckStatus.UNK, CheckStatus.INI, CheckStatus.CHECKED)
)
TABLES = (*SERVER_METRICS, *CHECK_METRICS, *AGENT_METRICS)
STATE, CHECK_STATUS, AGENT_STATUS = range(len(TABLES), len(TABLES) + 3)  # statuses: -1 for none
WIDTH = len(TABLES) + 3
EVERY = -1
MAINT = SERVER_STATES.index("MAINT")
STATES = tuple(enumerate(SERVER_STATES))
CELLS = {metric.cell: position for position, metric in enumerate(TABLES)}
PLACES = {
    **{
        cell: CELLS[cell]
        for cell in (
            *("lastsess", "rate", "rate_max", "qtime", "ctime", "ttime", "lastchg", "downtime"),
            "check_duration",
        )
    },
    "state": STATE,
    "check_status": CHECK_STATUS,
}
COUNTERS = [(CELLS[cell], name) for cell, name in (COUNTED | USED).items() if cell in CELLS]


def state_of(observed: Observed) -> int:
    """The state of a server, by its position in SERVER_STATES."""
    return SERVER_STATES.index(_state_word(observed))


def _state_word(observed: Observed) -> str:
    if observed.maint:
        return "MAINT"
    if observed.standing.operational == Operational.STOPPED:
        return "DOWN"
    if observed.standing.operational == Operational.STOPPING:
        return "NOLB"
    return "DRAIN" if observed.state.drain else "UP"


def check_status_of(observed: Observed) -> int:
    """How its last check ended, as HAProxy numbers it; -1 for a server that is not checked now."""
    return observed.standing.check_status if observed.checking else -1


def cells_of(row: Row, metrics: tuple[Metric, ...]) -> tuple[Value, ...]:
    """The cells that a table of metrics needs, as they are."""
    return tuple([row.get(metric.cell, MISSING) for metric in metrics])


def described(report: Report) -> Callable[[Proxy, Server], Described]:
    """What says all of one server."""

    def describe(proxy: Proxy, server: Server) -> Described:
        observed = report.observer.server(proxy, server)
        row = report.server_of(observed, reveal=False)
        said, checking = observed.asked, observed.checking
        checks = {"check_code": 0, **row} if checking else {}
        agent = {"agent_code": 0, **row} if said else {}
        numbers = (
            *cells_of(row, SERVER_METRICS),
            *cells_of(checks, CHECK_METRICS),
            *cells_of(agent, AGENT_METRICS),
            state_of(observed),
            check_status_of(observed),
            said.status if said else -1,
        )
        return (
            labels_of(proxy=proxy.name, server=server.name).encode(),
            numbers,
            holds(server) and "throttle" not in row,
            observed.standing.last_change_ms(report.clock().created_ms),
            not observed.up,
            observed.health.downtime_ms // 1000,
        )

    return describe


def holds(server: Server) -> bool:
    """Whether nothing but its own records says how a server is.

    Neither an agent, nor a server that it tracks, nor a name that only the operator gave it.
    """
    named = server.fqdn is not None or server.srv_record is not None
    return server.agent is None and server.tracked_slot is None and (named or not server.resolvable)


def known_servers(report: Report) -> KnownServers:
    """What scrapes of one process keep."""
    monitor = report.monitor
    return KnownServers(
        monitor.segment, monitor.cleared, monitor, described(report), COUNTERS, WIDTH, PLACES
    )


def server_families(servers: Columns) -> Iterator[ColumnFamily]:
    """haproxy_server_*."""
    of_checks, of_agents = len(SERVER_METRICS), len(SERVER_METRICS) + len(CHECK_METRICS)
    yield from table_families(servers, SERVER_METRICS, 0, EVERY)
    yield STATUS.family(servers)
    yield LAST_CHECK.family(servers)
    yield from table_families(servers, CHECK_METRICS, of_checks, CHECK_STATUS)
    yield LAST_AGENT_CHECK.family(servers)
    yield from table_families(servers, AGENT_METRICS, of_agents, AGENT_STATUS)


def table_families(
    servers: Columns, metrics: tuple[Metric, ...], first: int, gate: int
) -> Iterator[ColumnFamily]:
    """One family for each metric of a table, of the rows whose `gate` is not negative."""
    for position, metric in enumerate(metrics, first):
        yield ColumnFamily(
            *(metric.name, metric.counter, metric.help, servers, position, metric.divisor, gate)
        )


class StateFamily(NamedTuple):
    """A family with a series for each word, 1 for the one whose number a row has."""

    name: str
    help: str
    position: int
    gate: int
    words: tuple[tuple[int, str], ...]

    def family(self, servers: Columns) -> ColumnFamily:
        """The family of these servers."""
        name, text = f"haproxy_server_{self.name}", f"{self.help} (server)"
        return ColumnFamily(name, False, text, servers, self.position, 1, self.gate, self.words)


STATUS = StateFamily("status", "Status, one series for each state", STATE, EVERY, STATES)
LAST_CHECK = StateFamily(
    "check_status",
    "Result of the last check, one series for each",
    *(CHECK_STATUS, CHECK_STATUS, CHECKS_REPORTED),
)
LAST_AGENT_CHECK = StateFamily(
    "agent_status",
    "Result of the last check of its agent, one series for each",
    *(AGENT_STATUS, AGENT_STATUS, CHECKS_REPORTED),
)
