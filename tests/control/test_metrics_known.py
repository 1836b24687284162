"""What scrapes keep of servers: the same lines as anew, and nothing made that has not changed."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from proxy.config.model.server import Balancing
from proxy.config.model.settings import Agent, Check, Origin, Proxy
from proxy.control.metrics.columns import Columns, KnownServers
from proxy.control.metrics.families import OPENMETRICS, TEXT, render
from proxy.control.metrics.scrape import NO_STATE
from proxy.control.metrics.servers import WIDTH, known_servers, server_families
from proxy.control.process import Control
from proxy.control.rows.stat_rows import Clock
from shm.slots import AdminTableWriter
from shm.states import HEALTH_NONE, AdminFlag
from tests.support.control.site import ADMIN_NOTHING, World, a_server

ADDRESS = "127.78.9.1"
SERVERS = (
    a_server("plain", ADDRESS, 80),
    a_server("checked", ADDRESS, 80, check=Check()),
    a_server("warming", ADDRESS, 80, check=Check(), balancing=Balancing(slowstart_ms=20_000)),
    a_server("limited", ADDRESS, 80, check=Check(), balancing=Balancing(backup=True)),
    a_server("named", "name.test", 80, check=Check()),
    a_server("asked", ADDRESS, 80, agent=Agent(port=81)),
)
STATUSES = (0, 6, 7, 8, 15, 17)


class Site:
    """A control in this process, whose clock is the test's."""

    def __init__(self) -> None:
        self.world = World([Proxy("be", 2, "backend", Origin(), servers=SERVERS)])
        self.control = Control(self.world.runtime)
        self.report = self.control.report
        self.admin = AdminTableWriter(self.world.segment)
        self.now_ms = self.report.clock().now_ms
        self.created_ms = self.report.clock().created_ms
        self.report.clock = self.clock

    def clock(self) -> Clock:
        """The test's."""
        return Clock(self.now_ms, self.created_ms)

    def text(self, known: KnownServers, *, openmetrics: bool = False) -> str:
        """The families of all servers."""
        columns = Columns(WIDTH)
        proxy = self.report.backends[0]
        for server in self.report.servers.of(proxy):
            known.take(columns, proxy, server, self.now_ms, NO_STATE)
        form = OPENMETRICS if openmetrics else TEXT
        parts = (part for each in server_families(columns) for part in render(each, form))
        return b"".join(parts).decode()

    def count(self, slot: int, chance: random.Random) -> None:
        """Sessions go on."""
        fields = self.control.monitor.counters.server(slot)
        more = {
            name: value + chance.randrange(1000)
            for name, value in fields.items()
            if isinstance(value, int)
        }
        self.world.carried.server(slot, {**fields, **more, "last_session_ms": self.now_ms - 1500})

    def checked(self, slot: int, chance: random.Random) -> None:
        """A check ends, mostly like the last one."""
        state = self.world.table.health(slot)
        incarnation = self.world.table.slot(slot).incarnation
        state = state if state.incarnation else replace(HEALTH_NONE, incarnation=incarnation)
        state = replace(state, checked_ms=self.now_ms, duration_us=chance.randrange(10**7))
        if chance.random() < 0.5:
            state = replace(
                state,
                status=chance.choice(STATUSES),
                code=chance.choice((0, 200, 503, 65_535)),
                operational=chance.randrange(4),
                changed_ms=self.now_ms,
                failures=state.failures + 1,
                downs=state.downs + chance.randrange(2),
                downtime_ms=state.downtime_ms + chance.randrange(5_000),
                returned=bool(chance.randrange(2)),
            )
        self.world.health.publish(slot, state, changed=True)

    def ordered(self, slot: int, chance: random.Random) -> None:
        """The operator orders something."""
        flags = chance.choice((0, 0, AdminFlag.FMAINT, AdminFlag.FDRAIN, AdminFlag.CHECK_OFF))
        self.admin.publish(
            slot,
            ADMIN_NOTHING._replace(
                flags=int(flags),
                weight=chance.choice((-1, 0, 77)),
                maxconn=chance.choice((-1, 0, 9)),
                changed_ms=self.now_ms,
                returned=bool(chance.randrange(2)),
            ),
        )

    def resolved(self, slot: int, chance: random.Random) -> None:
        """Its address comes, moves or goes."""
        address = chance.choice((None, ADDRESS, "127.78.9.2"))
        self.world.slots.publish(slot, address, 80, cause=4, now_ms=self.now_ms)

    def cleared(self, slot: int, chance: random.Random) -> None:
        """Its counters are cleared."""
        server = self.report.servers[slot]
        self.control.monitor.clear_server(server, self.now_ms, totals=chance.random() < 0.5)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.world.close()


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_kept_are_those_that_are_made_anew(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    kept = known_servers(site.report)
    happenings = (site.count, site.checked, site.ordered, site.resolved, site.cleared)
    for _ in range(150):
        site.now_ms += chance.randrange(4_000)
        for _ in range(chance.randrange(3)):
            chance.choice(happenings)(chance.randrange(len(SERVERS)), chance)
        if chance.random() < 0.3:
            site.control.monitor.tick(site.now_ms)
        for openmetrics in (False, True):
            anew = site.text(known_servers(site.report), openmetrics=openmetrics)
            assert site.text(kept, openmetrics=openmetrics) == anew
    assert kept.described < 2 * 150 * len(SERVERS)


def test_only_servers_whose_records_have_changed_are_described_again(site: Site) -> None:
    chance = random.Random(1)
    kept = known_servers(site.report)
    site.text(kept)
    assert kept.described == len(SERVERS)
    for slot in range(len(SERVERS)):
        site.count(slot, chance)
        state = replace(site.world.table.health(slot), checked_ms=site.now_ms, duration_us=9)
        site.world.health.publish(slot, state, changed=False)
    site.now_ms += 5_000
    site.text(kept)
    assert kept.described == len(SERVERS) + 1  # the one with an agent
    site.ordered(1, chance)
    site.text(kept)
    assert kept.described == len(SERVERS) + 3


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="1 numbers of 2"):
        Columns(2).append(b'server="s"', (1,))


@pytest.mark.parametrize(
    ("number", "divisor", "text"),
    [
        (0, 1, "0"),
        (-1, 1, "-1"),
        (2**63 - 1, 1, str(2**63 - 1)),
        (0, 1000, "0.0"),
        (1, 1000, "0.001"),
        (5_000, 1000, "5.0"),
        (123_456_789, 1000, "123456.789"),
        (2**53 - 1, 1000, str((2**53 - 1) / 1000)),  # 285,000 years of milliseconds
        (10**18, 1000, str(10**18 / 1000)),
        ("NaN", 1, "NaN"),
        ("NaN", 1000, "NaN"),
    ],
)
def test_numbers_are_written_as_python_writes_them(
    number: int | str, divisor: int, text: str
) -> None:
    columns = Columns(1)
    columns.append(b'a="b"', (number,))
    written = columns.lines("m", 0, divisor, -1, 0, 9, present=False)
    assert written == f'm{{a="b"}} {text}\n'.encode()
