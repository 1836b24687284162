"""Findings 59, 64, 66, 70, 71, 73 to 77, 79 to 81, 83, 84: what answers mean, and when one asks."""

from __future__ import annotations

import dns.message
import msgspec
import pytest

from resolverd.config import Family, Holds, Nameserver, ResolversSection, TtlPeriod
from resolverd.dns.answer import Answer, ServiceRecord, Status
from resolverd.log.throttle import LINES_MAX
from shm.states import SlotFlag
from tests.resolverd.test_core import LABEL, World
from tests.support.config.loading import LISTEN, settings_of
from tests.support.dns.resolution import Driver, addresses, resolution_settings, servers, valid
from tests.support.dns.resolverd import ResolverdProcess
from tests.support.dns.resolverd import settings_of as resolverd_settings
from tests.support.dns.scripted import (
    NODATA,
    SILENT,
    ScriptedNameserver,
    build_reply,
    forged,
    services,
)
from tests.support.dns.scripted import (
    Answer as Said,
)

HOUR_MS = 3_600_000
ONE, TWO, THREE = "127.0.70.1", "127.0.70.2", "127.0.70.3"


def section_of_file(*lines: str) -> ResolversSection:
    """A section as the configuration makes it."""
    words = "".join(f"    {line}\n" for line in lines)
    text = f"resolvers r1\n    nameserver ns1 127.0.0.1:53\n{words}{LISTEN}"
    settings = settings_of(f"{text}    server s1 app.test:80 resolvers r1\n")
    return settings.resolverd.sections[0]


def section_of(
    nameserver: ScriptedNameserver, resolve_ms: int = 100, retry_ms: int = 100, **holds: int
) -> ResolversSection:
    return ResolversSection(
        "r1",
        (Nameserver("ns1", nameserver.host, nameserver.port),),
        resolve_retries=1,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=retry_ms,
        holds=msgspec.structs.replace(Holds(), **holds),
    )


def questions_in_an_hour(section: ResolversSection, answer: Answer) -> int:
    """How often one name is asked for while every question gets this answer at once."""
    driver = Driver.start(section, (Family.IPV4,))
    while driver.now_ms < HOUR_MS:
        driver.reply("ns1", answer)
        driver.until(driver.resolution.deadline_ms)
    return len(driver.sent)


def test_finding_59_each_word_about_time_means_one_thing() -> None:
    """`timeout resolve` is the pace, whatever TTL and `hold valid`; holds say how long to keep."""
    section = section_of_file(
        "resolve_retries 1",
        "timeout resolve 2s",
        "hold valid 50ms",
        "hold obsolete 5s",
        "hold nx 9s",
    )
    world = World(resolution_settings(servers(2)), of=(section,))
    asked = world.asked["r1"]
    held: list[tuple[int, int]] = []

    def live(answer: Answer, milliseconds: int) -> None:
        """Each question gets this answer; notes when the number of addresses changes."""
        for _ in range(milliseconds // 100):
            if len(asked.questions) > len(asked.closed):
                kind = asked.questions[-1][1].query_type
                world.core.answered(0, "ns1", kind, answer, world.now_ms)
            world.run(100)
            count = sum(address is not None for address in world.addresses)
            if not held or held[-1][1] != count:
                held.append((world.now_ms, count))

    both = Answer(Status.VALID, addresses(ONE, TWO), ttl_s=3_600)
    live(both, 20_000)
    assert 10 <= len(asked.questions) <= 12
    assert [count for _, count in held] == [2]
    left_ms = world.now_ms
    live(Answer(Status.VALID, addresses(ONE), ttl_s=3_600), 10_000)
    assert [count for _, count in held] == [2, 1]
    assert 3_000 < held[-1][0] - left_ms < 8_000  # seen up to 2 s before, looked at each 2 s
    denied_ms = world.now_ms
    live(Answer(Status.NX), 15_000)
    assert [count for _, count in held] == [2, 1, 0]
    assert 6_900 < held[-1][0] - denied_ms < 12_000


def test_finding_64_weight_0_of_dns_drains_means_little_or_nothing_as_the_line_says() -> None:
    plain = servers(2)
    rfc = tuple(
        msgspec.structs.replace(each, rfc_weight=True)
        for each in servers(2, backend=1, first_slot=2)
    )
    own = tuple(
        msgspec.structs.replace(each, ignore_weight=True, weight=7)
        for each in servers(2, backend=2, first_slot=4)
    )
    of_servers = tuple(msgspec.structs.replace(each, port=0) for each in (*plain, *rfc, *own))
    world = World(resolution_settings(of_servers, name=LABEL))
    hosts = [addresses(ONE), addresses(TWO)]
    world.answer_label(
        0,
        ServiceRecord("h1.test", 80, 0, 0, hosts[0]),
        ServiceRecord("h2.test", 80, 512, 0, hosts[1]),
    )
    assert world.addresses == [ONE, TWO] * 3
    assert [slot.weight for slot in world.board.slots] == [0, 2, 1, 2, -1, -1]


@pytest.mark.slow
def test_finding_66_a_server_that_moves_with_every_answer_says_so_six_times_a_minute() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", ONE)
        settings = resolverd_settings(section_of(nameserver, 10), resolution_settings(servers(1)))
        with ResolverdProcess(settings) as resolverd:
            for number in range(2 * LINES_MAX):
                nameserver.set("app.test", "A", (ONE, TWO)[number % 2])
                resolverd.wait_addresses((ONE, TWO)[number % 2])
            lines = [line for line in resolverd.log_lines() if "IP changed" in line]
    assert len(lines) == LINES_MAX


def repeated(answer: Said) -> Said:
    """The same with its one record written three times."""

    def forge(query: dns.message.Message) -> list[bytes]:
        wire = build_reply(query, answer)
        begin = 12 + len(query.question[0].name.to_wire() or b"") + 4
        end = begin + 12 + int.from_bytes(wire[begin + 10 : begin + 12], "big")
        record = wire[begin:end]
        return [wire[:6] + b"\0\3" + wire[8:begin] + record * 3 + wire[end:]]

    return forged(forge)


@pytest.mark.slow
def test_finding_70_79_a_record_that_is_told_three_times_is_one_server() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", repeated(Said((ONE,))))
        nameserver.set(LABEL, "SRV", repeated(services("1 80 h1.test")))
        nameserver.set("h1.test", "A", TWO)
        label = tuple(
            msgspec.structs.replace(each, port=0) for each in servers(3, backend=1, first_slot=3)
        )
        settings = resolverd_settings(
            section_of(nameserver),
            resolution_settings(servers(3)),
            resolution_settings(label, name=LABEL, index=1),
        )
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE, None, None, TWO, None, None)
            assert [resolverd.record(index)["records_seen"] for index in (0, 1)] == [1, 1]
            assert resolverd.counters()["invalid"] == 0


@pytest.mark.slow
def test_finding_71_an_empty_answer_takes_servers_away_after_its_hold_and_delays_nobody() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", ONE)
        settings = resolverd_settings(
            section_of(nameserver, other_ms=700), resolution_settings(servers(1))
        )
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE)
            nameserver.set("app.test", "A", NODATA)
            resolverd.wait_addresses(None)
            kept_ms = resolverd.slot(0).changed_ms - resolverd.record()["last_valid_ms"]
            assert kept_ms >= 700
            assert resolverd.counters()["any_err"] >= 1
    driver = Driver.start(section_of_file("timeout retry 1h"), preferred=Family.IPV6)
    driver.reply("ns1", Status.NODATA)  # of AAAA: A is asked in the same moment
    assert driver.questions == [(0, "AAAA"), (0, "A")]


def chained(alias_ttl_s: int, ttl_s: int) -> Said:
    """An alias and its address, each with a time to live of its own."""

    def forge(query: dns.message.Message) -> list[bytes]:
        message = dns.message.from_wire(build_reply(query, Said((ONE,), aliases=("real.test.",))))
        message.answer[0].ttl, message.answer[1].ttl = alias_ttl_s, ttl_s
        return [message.to_wire()]

    return forged(forge)


@pytest.mark.slow
def test_finding_73_the_smallest_time_to_live_of_the_chain_sets_the_pace() -> None:
    with ScriptedNameserver() as nameserver:
        chains = {"alias.test": (1, 3_600), "address.test": (3_600, 1), "long.test": (3_600, 3_600)}
        names = []
        for index, (name, times) in enumerate(chains.items()):
            nameserver.set(name, "A", chained(*times))
            names.append(resolution_settings(servers(1, index, index), name=name, index=index))
        section = msgspec.structs.replace(
            section_of(nameserver, retry_ms=HOUR_MS),
            ttl_period=TtlPeriod(min_ms=100, max_ms=2 * HOUR_MS),
        )
        with ResolverdProcess(resolverd_settings(section, *names)):
            for name in ("alias.test", "address.test"):
                first, second = nameserver.wait_queries(2, name)[:2]
                assert second.at - first.at > 0.8
            assert len(nameserver.asked("long.test")) == 1


def test_finding_74_84_the_pace_is_the_answers_or_fixed_and_has_a_cap() -> None:
    def an_hour(words: str, ttl_s: int) -> int:
        answer = Answer(Status.VALID, addresses(ONE), ttl_s=ttl_s)
        return questions_in_an_hour(section_of_file(f"timeout resolve {words}"), answer)

    assert 720 <= an_hour("5s", 300) <= 802  # as written, whatever the answer says
    assert 12 <= an_hour("ttl max 10m", 300) <= 15
    assert 60 <= an_hour("ttl", 600) <= 68, "no answer holds longer than a minute, unless told so"
    assert 120 <= an_hour("ttl max 30s", 600) <= 135


def test_finding_75_after_a_failure_the_pace_is_min_not_a_time_to_live() -> None:
    section = section_of_file("resolve_retries 1", "timeout retry 1s", "timeout resolve ttl min 3s")
    driver = Driver.start(section, (Family.IPV4,))
    driver.reply("ns1", Answer(Status.VALID, addresses(ONE), ttl_s=50))
    assert 45_000 <= driver.resolution.deadline_ms <= 50_000
    driver.until(50_000)
    asked_ms = driver.sent[-1][0]
    driver.until(asked_ms + 1_000)  # no answer comes
    assert driver.outcomes[-1] == (asked_ms + 1_000, Status.TIMEOUT)
    assert driver.resolution.deadline_ms - driver.now_ms <= 3_000


@pytest.mark.slow
def test_finding_76_an_address_whose_name_is_answered_no_more_goes_when_its_hold_ends() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set("app.test", "A", ONE)
        settings = resolverd_settings(
            section_of(nameserver, timeout_ms=700), resolution_settings(servers(1))
        )
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE)
            nameserver.set("app.test", "A", SILENT)
            resolverd.wait_addresses(None)
            kept_ms = resolverd.slot(0).changed_ms - resolverd.record()["last_valid_ms"]
    assert kept_ms >= 700


def test_finding_77_81_the_lowest_priority_number_serves_and_the_others_are_backups() -> None:
    of_servers = tuple(
        msgspec.structs.replace(each, port=0, srv_priority=True) for each in servers(3)
    )
    world = World(resolution_settings(of_servers, name=LABEL))
    first = ServiceRecord("h1.test", 80, 256, 10, addresses(ONE))
    others = [
        ServiceRecord("h2.test", 80, 512, 20, addresses(TWO)),
        ServiceRecord("h3.test", 81, 1_024, 20, addresses(THREE)),
    ]

    def roles() -> dict[str | None, tuple[int, bool]]:
        return {
            slot.address: (slot.weight, bool(slot.flags & SlotFlag.BACKUP))
            for slot in world.board.slots
        }

    world.answer_label(0, first, *others)
    assert roles() == {ONE: (1, False), TWO: (2, True), THREE: (4, True)}
    world.run(60_000)
    world.answer_label(0, *others)
    after = roles()
    assert after.pop(None)[1] is False
    assert after == {TWO: (2, False), THREE: (4, False)}


@pytest.mark.slow
def test_finding_80_many_names_at_the_start_are_all_asked_at_once_and_once() -> None:
    with ScriptedNameserver() as nameserver:
        names = []
        for index in range(200):
            nameserver.set(f"n{index}.test", "A", f"127.1.70.{index + 1}")
            names.append(
                resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
            )
        section = section_of(nameserver, HOUR_MS, 5_000)
        with ResolverdProcess(resolverd_settings(section, *names)) as resolverd:
            resolverd.wait(lambda: None not in resolverd.addresses(), "an address for each")
        assert len(nameserver.queries) == 200


def test_finding_83_no_answer_makes_a_name_ask_more_than_once_a_second() -> None:
    answer = Answer(Status.VALID, addresses(ONE), ttl_s=0)
    for words in ("ttl", "1s"):
        section = section_of_file(f"timeout resolve {words}")
        assert questions_in_an_hour(section, answer) <= 3_600 / 0.9 + 2
    assert questions_in_an_hour(section_of_file(), valid(ONE)) <= 3_600 / 0.9 + 2
