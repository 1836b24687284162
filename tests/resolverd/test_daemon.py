"""resolverd as a real process: real nameservers, a real segment, real kills."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from resolverd import daemon
from resolverd.config import (
    Family,
    Holds,
    Nameserver,
    ResolutionSettings,
    ResolverdSettings,
    ResolversSection,
)
from resolverd.daemon import now_ms
from shm.locks import SLOT_WRITER, SecondWriterError, take_role
from shm.requests import CheckRequests
from shm.states import Cause, SlotFlag
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import (
    ResolverdProcess,
    make_segment,
    place_address,
    settings_of,
)
from tests.support.dns.scripted import NODATA, NX, REFUSED, SILENT, ScriptedNameserver, records

HOUR_MS = 3_600_000
ONE, TWO, THREE, FOUR = "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def section_of(
    *nameservers: ScriptedNameserver,
    resolve_ms: int = 200,
    retry_ms: int = 200,
    retries: int = 2,
    holds: Holds | None = None,
) -> ResolversSection:
    return ResolversSection(
        name="r1",
        nameservers=tuple(
            Nameserver(f"ns{index + 1}", each.host, each.port, index=index)
            for index, each in enumerate(nameservers)
        ),
        resolve_retries=retries,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=retry_ms,
        holds=holds or Holds(),
    )


def one_name(section: ResolversSection, count: int = 2) -> ResolverdSettings:
    return settings_of(section, resolution_settings(servers(count)))


def wait_runs(resolverd: ResolverdProcess, runs: int) -> None:
    resolverd.wait(lambda: resolverd.record()["runs"] >= runs, f"{runs} runs")


class Rings:
    """How often a bell was rung; the ring comes after what it tells of."""

    def __init__(self, bell: int) -> None:
        self.bell = bell
        self.count = 0

    def heard(self) -> int:
        with suppress(BlockingIOError):
            self.count += os.eventfd_read(self.bell)
        return self.count


@pytest.mark.slow
def test_records_fill_slots_follow_changes_and_leave(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", [ONE, TWO])
    with ResolverdProcess(one_name(section_of(nameserver), 3)) as resolverd:
        resolverd.wait_addresses(ONE, TWO, None)
        before = {slot.address: slot for slot in map(resolverd.slot, range(3))}
        assert (before[ONE].port, before[ONE].flags, before[ONE].cause) == (8080, 0, Cause.DNS)
        assert before[None].flags == SlotFlag.RMAINT

        nameserver.set("app.test", "A", [THREE, FOUR, ONE])
        resolverd.wait_addresses(ONE, THREE, FOUR, seconds=2)
        slots = [resolverd.slot(slot) for slot in range(3)]
        assert before[ONE] in slots

        nameserver.set("app.test", "A", [FOUR])
        resolverd.wait_addresses(FOUR, None, None, seconds=2)
        out = [slot for slot in map(resolverd.slot, range(3)) if slot.address is None]
        assert {(s.port, s.flags, s.cause) for s in out} == {(8080, 0x20, Cause.NO_RECORD)}
        rings = Rings(resolverd.bell)
        wait_for(lambda: rings.heard() >= 3, 5, "a ring for each change")


def test_the_first_question_goes_out_at_once_with_edns(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    never = section_of(nameserver, resolve_ms=HOUR_MS, retry_ms=HOUR_MS)
    section = msgspec.structs.replace(never, accepted_payload_size=4096)
    started = time.monotonic()
    with ResolverdProcess(one_name(section)):
        query = nameserver.wait_queries(1, "app.test", "A")[0]
        assert query.at - started < PATIENCE_SECONDS, "far from a period or a retry"
        assert (query.payload, query.recursion_desired) == (4096, True)


@pytest.mark.slow
def test_a_silent_nameserver_does_not_delay_the_other_family(
    nameserver: ScriptedNameserver,
) -> None:
    names = [f"n{index}.test" for index in range(3)]
    for name in names:
        nameserver.set(name, "AAAA", NODATA)
        nameserver.set(name, "A", ONE)
    with ScriptedNameserver() as silent:
        for name in names:
            silent.set(name, "*", SILENT)
        section = section_of(silent, nameserver, resolve_ms=50, retry_ms=1_000)
        of = [
            resolution_settings(servers(1, index, index), Family.IPV6, name, index)
            for index, name in enumerate(names)
        ]
        settings = settings_of(section, *of, families=(Family.IPV4, Family.IPV6))
        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(ONE, ONE, ONE)
            timeouts, runs = resolverd.counters(0)["timeout"], resolverd.record()["runs"]
            assert timeouts >= 3  # each name has waited once
            wait_runs(resolverd, runs + 30)
            assert resolverd.counters(0)["timeout"] - timeouts < 15  # not once in each run
            assert len(silent.wait_queries(30, names[0])) >= 30  # it is asked all the same


@pytest.mark.slow
def test_a_dead_nameserver_beside_a_good_one_costs_nothing(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    with ScriptedNameserver() as dead:
        section = section_of(dead, nameserver)
    with ResolverdProcess(one_name(section)) as resolverd:
        resolverd.wait_addresses(ONE, None)
        resolverd.wait(lambda: resolverd.counters(0)["snd_error"] >= 2, "send errors")
        assert resolverd.counters(0)["valid"] == 0
        resolverd.wait(lambda: resolverd.counters(1)["valid"] >= 2, "valid answers")


@pytest.mark.slow
def test_an_error_takes_addresses_after_its_hold_and_an_answer_brings_them_back(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "A", [ONE, TWO])
    holds = Holds(nx_ms=1_200, refused_ms=HOUR_MS)
    section = section_of(nameserver, resolve_ms=100, retry_ms=100, retries=1, holds=holds)
    with ResolverdProcess(one_name(section)) as resolverd:
        resolverd.wait_addresses(ONE, TWO)
        nameserver.set("app.test", "*", REFUSED)
        resolverd.wait(lambda: resolverd.counters()["refused"] >= 5, "refused answers")
        assert None not in resolverd.addresses()
        nameserver.set("app.test", "*", NX)
        resolverd.wait_addresses(None, None)
        lost_ms = min(resolverd.slot(slot).changed_ms for slot in range(2))
        assert lost_ms - resolverd.record()["last_valid_ms"] >= 1_200
        assert resolverd.slot(0).cause == Cause.NX
        assert resolverd.slot(0).port == 8080
        nameserver.set("app.test", "*", records(ONE, TWO))
        resolverd.wait_addresses(ONE, TWO, seconds=2)
        assert resolverd.slot(0).incarnation == 2


@pytest.mark.slow
def test_a_timed_out_connect_asks_at_once_and_a_refused_one_only_after_hold_valid(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "A", ONE)
    section = section_of(nameserver, resolve_ms=HOUR_MS, holds=Holds(valid_ms=1_200))
    with ResolverdProcess(one_name(section, 1)) as resolverd:
        resolverd.wait_addresses(ONE)
        checks = CheckRequests(resolverd.segment, 1)
        nameserver.set("app.test", "A", TWO)

        answered_ms = resolverd.record()["last_valid_ms"]
        checks.timed_out(0, answered_ms - 1)  # began before the answer: says nothing about it
        checks.refused(0)
        os.eventfd_write(resolverd.doorbell, 1)
        resolverd.wait(lambda: now_ms() > answered_ms + 400, "two ticks")
        assert len(nameserver.queries) == 1
        checks.timed_out(0, answered_ms + 1)
        os.eventfd_write(resolverd.doorbell, 1)
        resolverd.wait_addresses(TWO)  # `timeout resolve` is an hour
        resolverd.wait(  # the record follows the slot
            lambda: resolverd.record()["last_valid_ms"] > answered_ms, "the run in the record"
        )

        nameserver.set("app.test", "A", THREE)
        resolverd.wait(
            lambda: now_ms() > resolverd.record()["last_run_ms"] + 1_200, "hold valid to pass"
        )
        checks.refused(0)  # no bell rings: the tick finds it
        resolverd.wait_addresses(THREE, seconds=2)
        assert resolverd.record()["triggers"] == 2


def test_the_doorbell_is_heard_before_the_tick(
    nameserver: ScriptedNameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "TICK_S", 3_600)
    nameserver.set("app.test", "A", ONE)
    with ResolverdProcess(one_name(section_of(nameserver, resolve_ms=HOUR_MS))) as resolverd:
        resolverd.wait_addresses(ONE, None)
        for asked, address in ((2, TWO), (3, THREE)):
            nameserver.set("app.test", "A", address)  # triggers that bring nothing new back off
            answered_ms = resolverd.record()["last_valid_ms"]
            CheckRequests(resolverd.segment, 0).timed_out(1, answered_ms + 1)
            os.eventfd_write(resolverd.doorbell, 1)
            wait_runs(resolverd, asked)


@pytest.mark.slow
def test_nobody_waits_for_a_nameserver_that_could_not_be_asked(
    nameserver: ScriptedNameserver,
) -> None:
    section = section_of(nameserver, retry_ms=HOUR_MS)
    forbidden = Nameserver("ns2", "255.255.255.255", index=1)  # EACCES without SO_BROADCAST
    section = msgspec.structs.replace(section, nameservers=(*section.nameservers, forbidden))
    both = (Family.IPV4, Family.IPV6)
    nameserver.set("app.test", "AAAA", "::1")
    with ResolverdProcess(
        settings_of(section, resolution_settings(servers(1)), families=both)
    ) as resolverd:
        resolverd.wait_addresses("::1")
        assert resolverd.counters(1)["snd_error"] >= 2
        assert resolverd.counters(1)["sent"] == 0


@pytest.mark.slow
def test_a_killed_resolverd_is_succeeded_without_a_change_and_graces_run_on(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "A", [ONE, TWO])
    holds = Holds(timeout_ms=3_000, obsolete_ms=HOUR_MS)
    section = section_of(nameserver, resolve_ms=100, retry_ms=150, retries=1, holds=holds)
    with ResolverdProcess(one_name(section, 3)) as resolverd:
        resolverd.wait_addresses(ONE, TWO, None)
        wait_runs(resolverd, 2)
        nameserver.set("app.test", "A", SILENT)
        before = [resolverd.slot(slot) for slot in range(3)]
        assert os.WTERMSIG(resolverd.kill()) == signal.SIGKILL
        last_valid_ms = resolverd.record()["last_valid_ms"]
        runs = resolverd.record()["runs"]

        resolverd.start()
        wait_runs(resolverd, runs + 2)
        assert [resolverd.slot(slot) for slot in range(3)] == before
        assert resolverd.record()["last_valid_ms"] == last_valid_ms
        nameserver.set("app.test", "A", [TWO, THREE])  # ONE is a record still, unseen for a while
        resolverd.wait_addresses(ONE, TWO, THREE, seconds=2)
        assert [resolverd.slot(slot) for slot in range(2)] == before[:2]

        nameserver.set("app.test", "A", SILENT)
        resolverd.kill()
        last_valid_ms = resolverd.record()["last_valid_ms"]
        resolverd.start()
        resolverd.wait_addresses(None, None, None)
        lost_ms = min(resolverd.slot(slot).changed_ms for slot in range(3))
        assert lost_ms - last_valid_ms >= 3_000
        assert not [text for text in resolverd.log_lines() if "ended" in text]


@pytest.mark.slow
def test_random_kills_lose_nothing(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", [ONE, TWO])
    with ResolverdProcess(one_name(section_of(nameserver, resolve_ms=20), 2)) as resolverd:
        resolverd.wait_addresses(ONE, TWO)
        before = [resolverd.slot(slot) for slot in range(2)]
        for _ in range(8):
            runs = resolverd.record()["runs"]
            resolverd.kill()
            resolverd.start()
            wait_runs(resolverd, runs + 1)
            assert [resolverd.slot(slot) for slot in range(2)] == before


@pytest.mark.slow
def test_addresses_of_init_addr_stay_until_the_first_answer(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "A", SILENT)
    # not even `hold obsolete` keeps an address that no answer brought
    settings = one_name(section_of(nameserver, holds=Holds(obsolete_ms=HOUR_MS)), 2)
    segment = make_segment(settings)
    for server in settings.resolutions[0].servers:
        place_address(segment, server, FOUR, Cause.LIBC)
    with ResolverdProcess(settings, segment) as resolverd:
        wait_runs(resolverd, 1)
        assert resolverd.addresses() == [FOUR, FOUR]
        nameserver.set("app.test", "A", [ONE, TWO])
        resolverd.wait_addresses(ONE, TWO)


@pytest.mark.slow
def test_the_heart_beats_and_sigterm_ends_it(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    with ResolverdProcess(one_name(section_of(nameserver))) as resolverd:
        beats = [resolverd.status.main_beat_ms]
        for _ in range(5):
            resolverd.wait(lambda: resolverd.status.main_beat_ms > beats[-1], "the next beat")
            beats.append(resolverd.status.main_beat_ms)
        gaps_ms = [later - beat for beat, later in itertools.pairwise(beats)]
        assert min(gaps_ms) < 1_000  # a busy machine may delay most of them
        assert os.WTERMSIG(resolverd.kill(signal.SIGTERM)) == signal.SIGTERM


def test_no_second_process_writes_slots(nameserver: ScriptedNameserver) -> None:
    with (
        ResolverdProcess(one_name(section_of(nameserver))) as resolverd,
        pytest.raises(SecondWriterError),
    ):
        take_role(resolverd.segment.fd, SLOT_WRITER)


class BellBreaks(ResolverdProcess):
    def _ring(self) -> None:
        raise OSError("no bell")


def test_an_unforeseen_error_ends_the_process_and_is_told(nameserver: ScriptedNameserver) -> None:
    nameserver.set("app.test", "A", ONE)
    with BellBreaks(one_name(section_of(nameserver))) as resolverd:
        wait_for(resolverd.log_lines, 5, "a log line")
        wait_for(lambda: "OSError('no bell')" in resolverd.log_lines()[-1], 5, "the reason")
        assert os.WEXITSTATUS(resolverd.reap()) == 70


@pytest.mark.slow
def test_five_hundred_names_are_resolved_at_once(nameserver: ScriptedNameserver) -> None:
    resolutions: list[ResolutionSettings] = []
    for index in range(500):
        name = f"n{index}.test"
        nameserver.set(name, "A", f"127.1.{index // 250}.{index % 250 + 1}")
        one = servers(1, backend=index, first_slot=index)
        resolutions.append(resolution_settings(one, name=name, index=index))
    section = section_of(nameserver, resolve_ms=HOUR_MS, retry_ms=2_000, retries=5)
    with ResolverdProcess(settings_of(section, *resolutions)) as resolverd:
        resolverd.wait(lambda: None not in resolverd.addresses(), "all addresses", seconds=20)


@pytest.mark.slow
def test_a_name_with_only_ipv6_is_found_by_the_other_question(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "AAAA", "::1")
    settings = settings_of(
        section_of(nameserver),
        resolution_settings(servers(1)),
        families=(Family.IPV4, Family.IPV6),
    )
    with ResolverdProcess(settings) as resolverd:
        resolverd.wait_addresses("::1")
        assert resolverd.slot(0).family == Family.IPV6
        assert [query.rtype for query in nameserver.queries[:2]] == ["A", "AAAA"]


@pytest.mark.slow
def test_runs_come_early_by_up_to_a_tenth_and_spread(nameserver: ScriptedNameserver) -> None:
    resolutions = []
    for index in range(40):
        nameserver.set(f"n{index}.test", "A", ONE)
        one = servers(1, backend=index, first_slot=index)
        resolutions.append(resolution_settings(one, name=f"n{index}.test", index=index))
    section = section_of(nameserver, resolve_ms=5_000, retry_ms=30_000)
    with ResolverdProcess(settings_of(section, *resolutions)):
        for each in resolutions:
            nameserver.wait_queries(2, each.name)
    gaps = []
    for index in range(40):
        first, second = nameserver.asked(f"n{index}.test")[:2]
        gaps.append(second.at - first.at)
    assert 4.4 < min(gaps) < 5, "a busy machine delays many, but not each of forty"
    assert max(gaps) - min(gaps) > 0.2


def test_without_any_name_it_is_ready_and_beats() -> None:
    with ResolverdProcess(ResolverdSettings()) as resolverd:
        first = resolverd.status.main_beat_ms
        resolverd.wait(lambda: resolverd.status.main_beat_ms > first, "the next beat")
