"""Which process checks which server, and how long a connect may take."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from proxy.config.model.checks import ExternalCheck
from proxy.config.model.settings import Agent, Check, Origin, Proxy, Timeouts
from proxy.health.pace import REST, Pace
from proxy.health.share import limits, programs_share, share
from proxy.health.target import Limits
from proxy.runtime import Bells
from proxy.server_table import ServerTable
from tests.support.relay.worker import Spec, settings_of


def test_every_checked_server_belongs_to_exactly_one_worker() -> None:
    specs = [Spec("127.0.0.1", 80, Check() if slot % 3 else None) for slot in range(20)]
    servers = ServerTable(settings_of(specs))
    shares = [share(servers, 3, worker) for worker in range(3)]
    slots = sorted(server.slot for one in shares for server in one)
    assert slots == [slot for slot in range(20) if slot % 3]
    assert all(server.slot % 3 == worker for worker in range(3) for server in shares[worker])
    positions = sorted(server.position for one in shares for server in one)
    assert positions == list(range(13))


def test_servers_that_programs_check_belong_to_the_runner_with_their_agents() -> None:
    specs = [Spec("127.0.0.1", 80, Check() if slot % 3 else None) for slot in range(20)]
    settings = settings_of(specs)
    [proxy] = settings.proxies
    rules = ExternalCheck("/bin/true")
    lines = tuple(
        replace(server, agent=Agent(8080) if server.slot in (3, 4) else None)
        for server in proxy.servers
    )
    changed = replace(proxy, servers=lines, check_rules=rules)
    servers = ServerTable(replace(settings, proxies=(changed,)))
    assert [server.slot for server in programs_share(servers)] == [n for n in range(20) if n % 3]
    assert [server.slot for worker in range(3) for server in share(servers, 3, worker)] == [3]


def test_sessions_ring_for_the_process_that_checks_their_server() -> None:
    bells = Bells.create(2, 1)
    try:
        assert bells.checker(3, is_program=False) == bells.workers[1]
        assert bells.checker(3, is_program=True) == bells.runner
        assert bells.checkers == (*bells.workers, bells.runner)
        assert len(set(bells.all())) == 7
    finally:
        bells.close()


@pytest.mark.parametrize(
    ("timeout_check_ms", "connect_ms", "expected"),
    [
        (None, 500, Limits(2_000)),
        (100, 500, Limits(500, 100)),
        (100, 9_000, Limits(2_000, 100)),
        (100, None, Limits(2_000, 100)),
    ],
)
def test_the_limits_are_the_manuals(
    timeout_check_ms: int | None, connect_ms: int | None, expected: Limits
) -> None:
    timeouts = Timeouts(connect_ms=connect_ms, check_ms=timeout_check_ms)
    proxy = Proxy(name="be", id=1, kind="backend", origin=Origin(), timeouts=timeouts)
    assert limits(proxy, Check(inter_ms=2_000)) == expected


def test_dear_work_rests_in_proportion_to_its_cost() -> None:
    pace = Pace()
    assert pace.allows(0)
    pace.ran(1_000, 3_000)
    assert not pace.allows(3_000 + REST * 2_000 - 1)
    assert pace.allows(3_000 + REST * 2_000)
    assert pace.wait_seconds(3_000) == pytest.approx(REST * 2_000 / 1e9)
