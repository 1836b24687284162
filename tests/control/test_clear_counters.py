"""The level that clearing counters takes, and what is seen of a maximum afterwards."""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.model.settings import Origin, Proxy
from proxy.control.rows.cleared import Cleared
from shm.counters import CounterReader
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import HealthTableWriter
from shm.states import HEALTH_NONE
from tests.support.control.site import a_server, control_world
from tests.support.rows import CarriedRow


def test_operators_clear_maxima_and_administrators_everything() -> None:
    servers = (a_server("s1", "127.78.3.1", 80),)
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as world:
        denied = "Permission denied\n\n"
        assert world.ask("clear counters", "user") == denied
        assert world.ask("clear counters", "operator") == "\n"
        assert world.ask("clear counters all", "operator") == denied
        assert world.ask("clear counters all") == "\n"


def test_one_server_is_cleared_and_no_other() -> None:
    servers = tuple(a_server(name, "127.78.3.1", 80) for name in ("s1", "s2"))
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as world:
        fields = CounterReader(world.segment).server(0)
        for slot in range(2):
            world.carried.server(slot, {**fields, "sessions_total": 9, "sessions_max": 5})

        def shown() -> list[tuple[str, str]]:
            """smax and stot of both."""
            lines = world.ask("show stat be 4 -1").splitlines()[1:3]
            return [(line.split(",")[5], line.split(",")[7]) for line in lines]

        assert shown() == [("5", "9")] * 2
        assert world.ask("clear counters server be/s2", "user") == "Permission denied\n\n"
        assert world.ask("clear counters server be/s2 all", "operator") == "Permission denied\n\n"
        assert world.ask("clear counters server be/s2", "operator") == "\n"
        assert shown() == [("5", "9"), ("0", "9")]
        assert world.ask("clear counters server be/#2 all") == "\n"
        assert shown() == [("5", "9"), ("0", "0")]
        assert world.ask("clear counters server be/s3") == "No such server.\n\n"
        for wrong in ("server", "server be/s1 more", "sever be/s1", "all be/s1"):
            assert world.ask(f"clear counters {wrong}").startswith("usage: clear counters ")
        assert shown() == [("5", "9"), ("0", "0")]


def test_a_maximum_is_the_rows_own_once_it_is_passed_else_what_was_seen() -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 0, 0))
    row = CarriedRow(segment)  # any row that can be written
    cleared = Cleared(segment)
    fields = CounterReader(segment).server(0)

    def count(**values: int) -> None:
        row.server(0, {**fields, **values})

    count(sessions_total=9, sessions_max=5, total_time_max_ms=70, last_session_ms=400)
    cleared.clear("server", 0, 1, totals=False)
    shown = cleared.server(0)
    assert (shown["sessions_total"], shown["sessions_max"], shown["total_time_max_ms"]) == (9, 0, 0)
    cleared.clear("server", 0, 1, totals=True)
    shown = cleared.server(0)
    assert (shown["sessions_total"], shown["last_session_ms"]) == (0, 0)
    count(sessions_total=11, sessions_max=6, total_time_max_ms=71, last_session_ms=500)
    shown = cleared.server(0)
    assert (shown["sessions_total"], shown["sessions_max"], shown["total_time_max_ms"]) == (
        2,
        6,
        71,
    )
    assert shown["last_session_ms"] == 500
    cleared.clear("server", 0, 1, totals=False)
    assert cleared.server(0)["sessions_total"] == 2, "what was cleared before stays cleared"
    segment.close()


def test_a_health_record_shows_what_came_after() -> None:
    segment = Segment.create(Shape(1, 1, 1, 1, 1, 0, 0))
    cleared = Cleared(segment)
    writer = HealthTableWriter(segment)
    writer.publish(0, replace(HEALTH_NONE, failures=7, downs=2), changed=False)
    cleared.clear("server", 0, 1, totals=False)
    assert cleared.health(0, replace(HEALTH_NONE, failures=7)).failures == 7
    cleared.clear("server", 0, 1, totals=True)
    state = replace(HEALTH_NONE, failures=9, downs=2, health=3)
    assert cleared.health(0, state) == replace(state, failures=2, downs=0)
    segment.close()
