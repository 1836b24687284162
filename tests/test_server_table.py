"""The table of servers: what is asked of it, and what it answers where there is nothing."""

from __future__ import annotations

import re

import pytest

from proxy.config.model.settings import Check, Global, Origin, Proxy, Server, Settings
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from proxy.server_table import Configured, ServerNames, ServerTable
from proxy.supervisor.fill import fill_segment, shape_of
from proxy.supervisor.initial import decide
from resolverd.config import ResolverdSettings
from shm.changes import UsableServers
from shm.segment import Segment
from shm.slots import SlotTableReader
from tests.support.control.site import World, a_server, index_proxies
from tests.test_tidy import all_modules, name


def servers(*names: str, **more: object) -> tuple[Server, ...]:
    return tuple(a_server(name, "127.0.0.1", 80, **more) for name in names)


def proxy(name: str, kind: str, *held: Server, disabled: bool = False) -> Proxy:
    return Proxy(name, 1, kind, Origin(), servers=held, disabled=disabled)


def settings(*proxies: Proxy) -> Settings:
    return Settings(Global(), index_proxies(list(proxies)), ResolverdSettings())


MIXED = settings(
    proxy("first", "backend"),  # empty backends at both ends and in the middle
    proxy("web", "backend", *servers("a", "b", "c")),
    proxy("front", "frontend"),
    proxy("middle", "backend"),
    proxy("api", "listen", *servers("a", "d", check=Check())),
    proxy("off", "backend", *servers("e", check=Check()), disabled=True),
    proxy("last", "backend"),
)
TABLE = ServerTable(MIXED)
BY_NAME = {proxy.name: proxy for proxy in MIXED.proxies}


def names(found: tuple[Server, ...]) -> str:
    return "".join(server.name for server in found)


def test_each_slot_has_its_server_and_the_order_is_that_of_the_file() -> None:
    assert [TABLE[slot].name for slot in range(6)] == ["a", "b", "c", "a", "d", "e"]
    assert [TABLE[slot].slot for slot in range(6)] == list(range(6))
    assert list(TABLE) == [TABLE[slot] for slot in range(6)]
    assert len(TABLE) == 6
    assert [proxy.name for proxy in TABLE.backends] == [
        "first",
        "web",
        "middle",
        "api",
        "off",
        "last",
    ]
    assert TABLE.backends[TABLE[3].backend_index].name == "api"


@pytest.mark.parametrize("slot", [-1, 6, 7, 2**32 - 1])
def test_a_slot_without_a_server_is_a_key_error(slot: int) -> None:
    with pytest.raises(KeyError):
        TABLE[slot]
    with pytest.raises(KeyError):
        ServerTable(settings(proxy("empty", "backend")))[0]


def test_a_backend_gives_its_own_servers_and_what_is_empty_or_none_gives_nothing() -> None:
    found = {name: names(TABLE.of(each)) for name, each in BY_NAME.items()}
    assert found == {
        "first": "",
        "web": "abc",
        "front": "",
        "middle": "",
        "api": "ad",
        "off": "e",
        "last": "",
    }
    nothing = ServerTable(settings())
    assert (len(nothing), list(nothing), nothing.capacity) == (0, [], 0)


def test_a_table_holds_the_servers_of_the_settings_themselves() -> None:
    assert TABLE.of(BY_NAME["web"]) is BY_NAME["web"].servers


def test_servers_of_disabled_sections_are_not_watched() -> None:
    assert [(proxy.name, server.name) for proxy, server in TABLE.watched()] == [
        ("api", "a"),
        ("api", "d"),
    ]


def test_names_and_ids_are_those_of_one_backend() -> None:
    found = ServerNames(TABLE)
    web, api = BY_NAME["web"], BY_NAME["api"]
    assert found.named(web, "a") is TABLE[0]
    assert found.named(api, "a") is TABLE[3]
    assert found.numbered(api, 2) is TABLE[4]
    assert found.numbered(web, 3) is TABLE[2]
    assert found.named(api, "b") is None
    assert found.numbered(api, 3) is None
    assert found.named(BY_NAME["middle"], "a") is None
    assert found.numbered(BY_NAME["middle"], 1) is None


def test_a_segment_with_more_slots_than_servers_is_filled_and_the_rest_take_no_session() -> None:
    configured = Configured.of(MIXED)
    shape = shape_of(configured, 2, 0)
    segment = Segment.create(shape._replace(slots=shape.slots + 70))
    initial = decide(configured.servers, {}).addresses
    fill_segment(segment, configured, initial, (), now_ms())
    reader, usable = SlotTableReader(segment), UsableServers(segment)
    addresses = [reader.slot(slot).address for slot in range(len(reader))]
    assert addresses == ["127.0.0.1"] * 6 + [None] * 70
    assert not any(reader.server(slot).eligible for slot in range(6, len(reader)))
    counts = [len(TABLE.of(backend)) for backend in TABLE.backends]
    assert [usable.of(backend).active for backend in range(shape.backends)] == counts
    assert [reader.usable(backend)[0] for backend in range(shape.backends)] == counts
    segment.close()


def test_rows_are_those_of_servers_however_many_slots_there_are() -> None:
    held = [proxy("be", "backend", *servers("a", "b")), proxy("none", "backend")]
    world = World(held, spare_slots=70)
    monitor = Monitor(world.runtime, now_ms())
    report = Report(world.runtime, monitor)
    shown = [(row["pxname"], row["svname"]) for each in report.proxies for row in report.rows(each)]
    assert shown == [("be", "a"), ("be", "b"), ("be", "BACKEND"), ("none", "BACKEND")]
    assert [report.backend(each)["act"] for each in report.backends] == [2, 0]
    for _ in monitor.clear(now_ms(), totals=True):
        pass
    monitor.tick(now_ms())
    world.close()


def test_nothing_else_reads_the_servers_of_a_proxy() -> None:
    """`.servers` of what is not known to be something else is taken for that of a proxy."""
    tables = ("self", "runtime", "configured", "old", "new", "report")
    pairs = ("counted", "steps")  # of two generations
    of_a_name = ("account", "summary", "resolution")
    arrays = ("engine", "log")  # of the relay
    of_pages = ("choosing", "counts", "elder")
    others = (*tables, *pairs, *of_a_name, *arrays, *of_pages)
    may_read = ("proxy/config/", "proxy/server_table.py", "proxy/supervisor/passage.py")
    wrong = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in all_modules()
        if name(path).startswith("proxy/") and not name(path).startswith(may_read)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if not line.startswith("from ")
        for base in re.findall(r"(\S*?)\.servers\b", line)
        if re.split(r"\W", base)[-1] not in others
    ]
    assert not wrong, "ask the ServerTable:\n" + "\n".join(wrong)
