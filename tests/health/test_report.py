"""The log lines of a group of changes, and the counts that each carries."""

from __future__ import annotations

import errno

from msgspec.structs import replace

from proxy.config.model.settings import Check
from proxy.health.report import Line, Transition, Usable, lines
from proxy.health.rise_fall import Change
from proxy.health.share import CheckedServer
from shm.states import HEALTH_NONE

REFUSED = replace(HEALTH_NONE, status=8, code=errno.ECONNREFUSED, duration_us=1_900)
LATE = replace(HEALTH_NONE, status=7, duration_us=301_000)
PASSED = replace(HEALTH_NONE, status=6, duration_us=300)


def server(name: str) -> CheckedServer:
    return CheckedServer(0, name, 0, "web", "backend", False, Check(), 2_000, 0, 1)


def test_a_time_out_is_worded_without_info() -> None:
    transition = Transition(server("s1"), LATE, Change.DOWN, True, 4)
    assert lines([transition], Usable(1, 0)) == [
        Line(
            1,
            "Server web/s1 is DOWN, reason: Layer4 timeout, check duration: 301ms."
            " 1 active and 0 backup servers left."
            " 4 sessions active, 0 requeued, 0 remaining in queue.",
        )
    ]


def test_each_line_of_a_group_carries_the_count_after_it() -> None:
    group = [
        Transition(server("s1"), REFUSED, Change.DOWN, True, 0),
        Transition(server("b1"), REFUSED, Change.DOWN, True, 0, backup=True),
        Transition(server("s2"), REFUSED, Change.DOWN, True, 0),
        Transition(server("s1"), PASSED, Change.UP, True, 0),
    ]
    found = [line.text for line in lines(group, Usable(1, 0))]
    assert "1 active and 1 backup servers left. 0" in found[0]
    assert "1 active and 0 backup servers left. 0" in found[1]
    assert "0 active and 0 backup servers left. 0" in found[2]
    assert found[3] == "backend web has no server available!"
    assert "1 active and 0 backup servers online. 0" in found[4]
    assert len(found) == 5


def test_a_server_that_took_no_sessions_changes_no_count() -> None:
    drained = Transition(server("s1"), REFUSED, Change.DOWN, False, 0)
    found = lines([drained], Usable(0, 0))
    assert [line.level for line in found] == [1]


def test_the_end_of_a_server_on_its_way_out_is_no_alert() -> None:
    out = Transition(server("s1"), REFUSED, Change.DOWN, False, 0, left=True)
    assert [line.level for line in lines([out], Usable(0, 0))] == [5]
