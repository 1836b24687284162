"""The dashboard's markup: well formed, tables that add up, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Agent, Check, Origin, Proxy
from proxy.control.http.dashboard import (
    SERVERS_SHOWN_MAX,
    Dashboard,
    amount,
    chip,
    last_check,
    resolution_state,
)
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.runtime import now_ms
from resolverd.dns.answer import Status
from shm.agents import AgentWriter
from shm.check_status import CheckStatus
from shm.check_texts import CheckTextWriter
from shm.states import AgentState, HealthState
from tests.support.control.pair import RESOLVERD
from tests.support.control.sections import page_at
from tests.support.control.site import World, a_server

VOID = ("meta",)


class Checker(HTMLParser):
    """Follows tags; fails on a wrong end; counts cells of each row by table."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.widths: list[set[int]] = []
        self.cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.widths.append(set())
        elif tag == "tr":
            self.cells = 0
        elif tag in ("td", "th"):
            self.cells += int(dict(attrs).get("colspan") or 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr":
            self.widths[-1].add(self.cells)


@pytest.fixture
def world() -> Iterator[World]:
    many = tuple(a_server(f"s{n}", "127.78.9.1", 80) for n in range(SERVERS_SHOWN_MAX + 7))
    servers = (
        a_server("a&<b>", "127.78.9.1", 80, check=Check()),
        a_server("web1", "nope.example", 80),
        a_server("asked", "127.78.9.1", 80, check=Check(), agent=Agent(7, None, 2_000)),
    )
    made = World(
        [
            Proxy("be", 2, "backend", Origin(), servers=servers),
            Proxy("many", 3, "backend", Origin(), servers=many),
            Proxy("stats", 4, "frontend", Origin(), http=page_at("/")),
        ],
        resolverd=RESOLVERD,
    )
    yield made
    made.close()


def test_the_page_is_well_formed_and_rows_are_as_wide_as_their_heads(world: World) -> None:
    report = Report(world.runtime, Monitor(world.runtime, now_ms()))
    page = "".join(Dashboard(report).page(StatsPage("/", show_legends=True), refresh=True))
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert [len(widths) for widths in checker.widths] == [1] * 6
    assert "a&amp;&lt;b&gt;" in page
    assert "<b>" not in page.replace("<b>", "", page.count('<div class="tile"><b>'))
    assert "and 7 more" in page
    assert "MAINT (resolution)" in page
    assert "nope.example" in page


def test_the_last_check_is_shown_as_on_haproxys_page(world: World) -> None:
    slot, at_ms = world.settings.backends[0].servers[2].slot, now_ms()
    failed = HealthState(1, 1, 0, CheckStatus.L7STS, 2, 6, 0, 503, 0, 14_900, 1, 1, 0, at_ms)
    CheckTextWriter(world.segment).publish(slot, "<b>", at_ms)
    world.health.publish(slot, failed, changed=True)
    agent = AgentWriter(world.segment)
    said = AgentState(duration_us=3_100, status=CheckStatus.L7STS, down=True, checked_ms=at_ms)
    agent.tell(slot, "via agent : down (full)", at_ms)
    agent.publish(slot, said, changed=True)
    report = Report(world.runtime, Monitor(world.runtime, now_ms()))
    page = "".join(Dashboard(report).page(StatsPage("/"), refresh=False))
    check = "L7STS/503 in 14ms &lt;b&gt;, agent L7STS/0 in 3ms via agent : down (full)"
    assert f">{check}</td>" in page
    assert ">INI</td>" in page  # no check has ended: it took no time


def test_a_check_without_code_or_end_is_shown_without() -> None:
    assert last_check({}, "check", "chk") == ""
    ended = {"check_status": "L4CON", "check_duration": 2, "last_chk": "Connection refused"}
    assert last_check(ended, "check", "chk") == "L4CON in 2ms Connection refused"
    begun = {"agent_status": "* L7OK", "agent_code": 0, "agent_duration": 5, "last_agt": ""}
    assert last_check(begun, "agent", "agt") == "* L7OK/0 in 5ms"


def test_a_slow_reader_of_a_large_page_is_given_it_in_pieces(world: World) -> None:
    report = Report(world.runtime, Monitor(world.runtime, now_ms()))
    pieces = list(Dashboard(report).page(StatsPage("/"), refresh=False))
    assert len(pieces) > SERVERS_SHOWN_MAX
    assert max(len(piece) for piece in pieces) < 8_192


def test_amounts_and_states_are_shown_for_people() -> None:
    assert amount(0) == "0 B"
    assert amount(1_536) == "1.5 KiB"
    assert amount(5 * 1024**4) == "5.0 TiB"
    assert 'class="s up"' in chip("UP 1/3")
    assert 'class="s down"' in chip("DOWN")
    assert 'class="s maint"' in chip("MAINT (resolution)")
    assert 'class="s drain"' in chip("DRAIN")


def test_a_name_shows_how_it_does() -> None:
    assert resolution_state({"status": 0}, None) == chip("starting")
    assert resolution_state({"status": Status.VALID}, None) == chip("valid", "up")
    on_hold = resolution_state({"status": Status.NX}, 12_345)
    assert on_hold == '<span class="s maint">nx, dropped in 12 s</span>'
    assert resolution_state({"status": Status.TIMEOUT}, None) == chip("timeout", "down")
