"""The page's markup: well formed, tables that add up, all from outside escaped, size and order."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Agent, Check, Origin, Proxy
from proxy.control.command import Piece
from proxy.control.commands.mail import Mail
from proxy.control.page.dns import resolution_state
from proxy.control.page.front import front
from proxy.control.page.markup import amount, chip, of_limit
from proxy.control.page.plain import plain
from proxy.control.page.processes import STATE_NAMES, processes
from proxy.control.page.rows import last_check
from proxy.control.page.subject import PageMoment, PageSubject
from proxy.control.page.things import Things
from proxy.control.page.view import View, parse
from proxy.control.rows.monitor import Monitor
from proxy.control.rows.report import Report
from proxy.control.situation.faults import SiteFaults
from proxy.runtime import now_ms
from resolverd.dns.answer import Status
from shm.agents import AgentWriter
from shm.check_status import CheckStatus
from shm.check_texts import CheckTextWriter
from shm.history import LoadHistory
from shm.processes import ProcessBoard, ProcessSelf
from shm.slots import AdminTableWriter
from shm.states import AdminFlag, AgentState, HealthState, ProcessState
from tests.support.control.pair import RESOLVERD
from tests.support.control.sections import page_at
from tests.support.control.site import ADMIN_NOTHING, World, a_server

VOID = ("meta", "link", "input")
PAGE_BYTES_MAX = 100_000
MANY = 5_000


class Checker(HTMLParser):
    """Follows tags; fails on a wrong end; counts cells of each row by table."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.widths: list[set[int]] = []
        self.cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "style" not in dict(attrs), "the policy of the page forbids it"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.widths.append(set())
        elif tag == "tr":
            self.cells = 0
        elif tag in ("td", "th"):
            self.cells += int(dict(attrs).get("colspan") or 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "style" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr":
            self.widths[-1].add(self.cells)


@pytest.fixture
def world() -> Iterator[World]:
    many = tuple(a_server(f"s{n}", "127.78.9.1", 80, check=Check()) for n in range(MANY))
    servers = (
        a_server("a&<b>", "127.78.9.1", 80, check=Check()),
        a_server("web1", "nope.example", 80),
        a_server("asked", "127.78.9.1", 80, check=Check(), agent=Agent(7, None, 2_000)),
    )
    made = World(
        [
            Proxy("be", 2, "listen", Origin(), servers=servers),
            Proxy("many", 3, "backend", Origin(), servers=many),
            Proxy("stats", 4, "frontend", Origin(), http=page_at("/")),
        ],
        resolverd=RESOLVERD,
    )
    yield made
    made.close()


def subject_of(world: World) -> PageSubject:
    """All that pages are made from, after a look at everything."""
    report = Report(world.runtime, Monitor(world.runtime, now_ms()))
    faults, history = SiteFaults(report), LoadHistory(world.segment)
    history.look(now_ms())
    list(faults.steps())
    return PageSubject(report, faults, history, Mail(world.runtime))


def moment(**view: str | int) -> PageMoment:
    return PageMoment.of(StatsPage("/", show_legends=True), View("/", **view), "/metrics")


def text_of(pieces: Iterator[Piece] | None) -> str:
    assert pieces is not None
    return "".join(piece for piece in pieces if isinstance(piece, str))


def break_checks(world: World, backend: int, count: int) -> None:
    """Let some servers fail their checks, as a worker would tell."""
    at_ms = now_ms()
    for server in world.settings.backends[backend].servers[:count]:
        CheckTextWriter(world.segment).publish(server.slot, "<b>", at_ms)
        failed = HealthState(1, 1, 0, CheckStatus.L7STS, 2, 6, 0, 503, 0, 14_900, 1, 1, 0, at_ms)
        world.health.publish(server.slot, failed, changed=True)


def test_a_process_that_is_not_needed_is_not_missing(world: World) -> None:
    assert "resolverd" in "".join(processes(subject_of(world)))
    alone = World([Proxy("be", 2, "listen", Origin(), servers=(a_server("a", "127.78.9.1", 80),))])
    told = "".join(processes(subject_of(alone)))
    assert "control" in told
    assert "resolverd" not in told
    alone.close()


@pytest.mark.parametrize("state", ProcessState)
def test_a_process_is_shown_in_each_of_its_states(world: World, state: ProcessState) -> None:
    """A control that gives way at a reload shows itself to those whom it still answers."""
    ProcessBoard(world.segment).started(0, 17, now_ms(), 0)
    ProcessSelf(world.segment, 0).state(state)
    told = "".join(processes(subject_of(world)))
    assert "17" in told
    assert f">{STATE_NAMES[state]}<" in told


def test_pages_are_well_formed_and_rows_are_as_wide_as_their_heads(world: World) -> None:
    break_checks(world, 0, 1)
    subject = subject_of(world)
    things = Things(subject)
    for text in (
        text_of(front(subject, moment())),
        text_of(things.page(moment(backend="be"))),
        text_of(things.page(moment(server="be/a&<b>"))),
        text_of(things.page(moment(name="nope.example"))),
    ):
        checker = Checker()
        checker.feed(text)
        checker.close()
        assert checker.open == []
        assert checker.widths
        assert [len(widths) for widths in checker.widths] == [1] * len(checker.widths)
        assert "&lt;b&gt;" in text or "nope.example" in text
        assert "a&<b>" not in text


def test_the_last_check_is_shown_as_on_haproxys_page(world: World) -> None:
    slot, at_ms = world.settings.backends[0].servers[2].slot, now_ms()
    failed = HealthState(1, 1, 0, CheckStatus.L7STS, 2, 6, 0, 503, 0, 14_900, 1, 1, 0, at_ms)
    CheckTextWriter(world.segment).publish(slot, "<b>", at_ms)
    world.health.publish(slot, failed, changed=True)
    agent = AgentWriter(world.segment)
    said = AgentState(duration_us=3_100, status=CheckStatus.L7STS, down=True, checked_ms=at_ms)
    agent.tell(slot, "via agent : down (full)", at_ms)
    agent.publish(slot, said, changed=True)
    page = text_of(front(subject_of(world), moment()))
    check = "L7STS/503 in 14ms &lt;b&gt;, agent L7STS/0 in 3ms via agent : down (full)"
    assert f">{check}</td>" in page
    assert ">INI</td>" in page  # no check has ended: it took no time


def test_a_check_without_code_or_end_is_shown_without() -> None:
    assert last_check({}, "check", "chk") == ""
    ended = {"check_status": "L4CON", "check_duration": 2, "last_chk": "Connection refused"}
    assert last_check(ended, "check", "chk") == "L4CON in 2ms Connection refused"
    begun = {"agent_status": "* L7OK", "agent_code": 0, "agent_duration": 5, "last_agt": ""}
    assert last_check(begun, "agent", "agt") == "* L7OK/0 in 5ms"


def test_the_first_screen_says_what_is_wrong_before_what_is_well(world: World) -> None:
    break_checks(world, 0, 1)
    break_checks(world, 1, MANY)
    text = text_of(front(subject_of(world), moment()))
    assert "<title>(1 down) " in text
    assert "icon-1-0.svg" in text
    assert "<h1>1 of 2 services down, since " in text
    down, impaired = text.index("none of its 5000 servers does"), text.index("of its 3 servers do")
    assert text.index('id="wrong"') < down < impaired < text.index("Totals")
    assert "s0, s1, s2, s3 and 4,996 more: it is DOWN" in text
    assert "last check L7STS (Layer7 wrong status: &lt;3C&gt;b&lt;3E&gt;), " in text
    assert '<tr class="weak"><th scope="row" class="t">be</th>' in text  # though it is OPEN


def test_a_page_over_five_thousand_servers_stays_small_and_comes_in_pieces(world: World) -> None:
    break_checks(world, 1, MANY - 1)
    subject = subject_of(world)
    things = Things(subject)
    for page in (
        lambda: front(subject, moment()),
        lambda: things.page(moment(backend="many")),
        lambda: things.page(moment(backend="many", page=7, sort="rate")),
    ):
        written = page()
        assert written is not None
        pieces = [piece for piece in written if isinstance(piece, str)]
        assert sum(len(piece.encode()) for piece in pieces) < PAGE_BYTES_MAX
        assert max(map(len, pieces)) < 16_384
    shown = text_of(things.page(moment(backend="many", page=100)))
    assert "4,951 to 5,000 of 5,000" in shown
    assert ">s4999</a>" in shown  # the only one that is up comes last


def test_what_was_ordered_is_not_wrong(world: World) -> None:
    admin = AdminTableWriter(world.segment)
    for server in world.settings.backends[1].servers[:7]:
        admin.publish(server.slot, ADMIN_NOTHING._replace(flags=int(AdminFlag.FMAINT)))
    subject = subject_of(world)
    assert subject.faults.counts() == (1, 7, 0)  # web1 has no address
    assert "7 servers out by order" in text_of(front(subject, moment()))
    assert not subject.faults.wrong(world.settings.backends[1])


def test_a_change_is_seen_at_the_cost_of_what_changed(world: World) -> None:
    subject = subject_of(world)
    break_checks(world, 1, 3)
    assert len(list(subject.faults.steps())) < 20
    assert len(subject.faults.wrong(world.settings.backends[1])) == 3


def test_the_text_has_at_most_80_columns(world: World) -> None:
    break_checks(world, 1, MANY)
    lines = "".join(plain(subject_of(world), moment())).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("1 of 2 services down, since ")
    assert lines[3].startswith("!! many takes no new sessions")


def test_the_address_has_all_of_the_view() -> None:
    page = StatsPage("/haproxy?stats", refresh_seconds=10)
    assert parse(page, "/haproxy?stats").refresh == 10
    assert parse(page, "/haproxy?stats;norefresh").refresh == 0
    view = parse(page, "/haproxy?stats&scope=a%26b&sort=rate&page=3&refresh=0&at=7:05&x=y;csv")
    assert (view.scope, view.sort, view.page, view.refresh) == ("a&b", "rate", 3, 0)
    assert (view.clock_minutes(), view.words) == (425, frozenset({"csv"}))
    assert parse(page, "/haproxy?stats" + view.target().removeprefix(page.uri)).scope == "a&b"
    longest = f"{'b' * 255}/{'s' * 255}"  # as orders may name them
    assert parse(page, view._replace(server=longest).target()).server == longest
    assert view.link(sort="name") == "/haproxy?stats&amp;scope=a%26b&amp;sort=name&amp;at=7:05"
    for odd in ("page=-1", "page=99999999999", "sort=<b>", "at=25:00", "refresh=x"):
        found = parse(page, f"/haproxy?stats&{odd}")
        assert (found.page, found.sort, found.at, found.refresh) == (1, "trouble", "", 10)


def test_amounts_and_states_are_shown_for_people() -> None:
    assert amount(0) == "0 B"
    assert amount(1_536) == "1.5 KiB"
    assert amount(5 * 1024**4) == "5.0 TiB"
    assert 'class="s up"' in chip("UP 1/3")
    assert 'class="s down"' in chip("DOWN")
    assert of_limit(3, 4) == "3/4"
    assert of_limit(4, "4") == '<span class="amber">4/4</span>'
    assert of_limit(9, None) == "9"


def test_a_name_shows_how_it_does() -> None:
    assert resolution_state({"status": 0}, None) == chip("starting")
    assert resolution_state({"status": Status.VALID}, None) == chip("valid", "up")
    on_hold = resolution_state({"status": Status.NX}, 12_345)
    assert on_hold == '<span class="s warn">nx, dropped in 12 s</span>'
    assert resolution_state({"status": Status.TIMEOUT}, None) == chip("timeout", "down")
