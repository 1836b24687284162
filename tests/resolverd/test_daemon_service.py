"""SRV labels served by resolverd as a real process: real nameservers, a real segment, real kills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from resolverd.config import Holds, Nameserver, ResolverdSettings, ResolversSection
from resolverd.daemon import now_ms
from shm.names import NameOrderWriter, TargetWriter
from shm.requests import CheckRequests
from shm.slots import SlotTableWriter
from shm.states import Cause, SlotFlag
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, make_segment, settings_of
from tests.support.dns.scripted import NX, REFUSED, SILENT, Answer, ScriptedNameserver, services

HOUR_MS = 3_600_000
LABEL = "_web._tcp.app.test"
ONE, TWO, THREE = "127.0.1.1", "127.0.1.2", "127.0.1.3"
LIVE, FREED, NEVER = 64, 96, 32


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        yield started


def label(
    nameserver: ScriptedNameserver,
    count: int = 3,
    resolve_ms: int = 100,
    retries: int = 2,
    holds: Holds | None = None,
) -> ResolverdSettings:
    section = ResolversSection(
        name="r1",
        nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
        resolve_retries=retries,
        timeout_resolve_ms=resolve_ms,
        timeout_retry_ms=200,
        holds=holds or Holds(),
        accepted_payload_size=4096,
    )
    of_servers = tuple(msgspec.structs.replace(each, port=0) for each in servers(count))
    return settings_of(section, resolution_settings(of_servers, name=LABEL))


def wait_runs(resolverd: ResolverdProcess, runs: int) -> None:
    resolverd.wait(lambda: resolverd.record()["runs"] >= runs, f"{runs} runs")


def flags(resolverd: ResolverdProcess) -> list[int]:
    return [resolverd.slot(slot).flags for slot in range(resolverd.segment.shape.slots)]


@pytest.mark.slow
def test_records_with_addresses_fill_slots_and_leave_them_free(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set(
        LABEL, "SRV", services("256 8001 h1.test", "768 8002 h2.test", h1_test=ONE, h2_test=TWO)
    )
    with ResolverdProcess(label(nameserver)) as resolverd:
        resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h2.test", 8002, TWO, 3))
        assert sorted(flags(resolverd)) == [NEVER, LIVE, LIVE]
        assert {resolverd.slot(slot).cause for slot in range(2)} == {Cause.DNS}

        nameserver.set(
            LABEL, "SRV", services("0 8001 h1.test", "1 80 h3.test", h1_test=THREE, h3_test=ONE)
        )
        resolverd.wait_pairs(("h1.test", 8001, THREE, 0), ("h3.test", 80, ONE, 1))
        nameserver.set(LABEL, "SRV", services("0 8001 h1.test", h1_test=THREE))
        resolverd.wait_pairs(("h1.test", 8001, THREE, 1))
        assert sorted(flags(resolverd)) == [LIVE, FREED, FREED]
        freed = [slot for slot in map(resolverd.slot, range(3)) if slot.flags == FREED]
        assert {(slot.address, slot.port, slot.cause) for slot in freed} == {
            (None, 0, Cause.REMOVED)
        }
        assert {query.rtype for query in nameserver.queries} == {"SRV"}
        rings = 0

        def all_rung() -> bool:  # each after its change can be seen
            nonlocal rings
            with suppress(BlockingIOError):
                rings += os.eventfd_read(resolverd.bell)
            return rings >= 3

        wait_for(all_rung, PATIENCE_SECONDS, "readers are told of each change")


@pytest.mark.slow
def test_targets_without_addresses_are_resolved_on_their_own_and_once(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set(LABEL, "SRV", services("1 8001 h1.test", "1 8002 h1.test", "1 80 h2.test"))
    nameserver.set("h1.test", "A", ONE)
    settings = label(nameserver, 4, resolve_ms=HOUR_MS, holds=Holds(valid_ms=0))
    with ResolverdProcess(settings) as resolverd:
        resolverd.wait_pairs(
            ("h1.test", 8001, ONE, 1), ("h1.test", 8002, ONE, 1), ("h2.test", 80, None, 1)
        )
        assert len(nameserver.asked("h1.test")) == 1
        assert sorted(flags(resolverd)) == [NEVER, LIVE, LIVE, FREED]

        asked = len(nameserver.asked(LABEL))
        nameserver.set("h1.test", "A", TWO)
        moved = [resolverd.target(slot) for slot in range(4)].index("h1.test")
        CheckRequests(resolverd.segment, 0).timed_out(moved, now_ms())
        os.eventfd_write(resolverd.doorbell, 1)
        resolverd.wait_pairs(
            ("h1.test", 8001, TWO, 1), ("h1.test", 8002, TWO, 1), ("h2.test", 80, None, 1)
        )
        nameserver.wait_queries(asked + 1, LABEL)


@pytest.mark.slow
def test_a_target_is_forgotten_when_no_slot_needs_it(nameserver: ScriptedNameserver) -> None:
    nameserver.set(LABEL, "SRV", services("1 80 h1.test"))
    nameserver.set("h1.test", "A", ONE)
    with ResolverdProcess(label(nameserver, resolve_ms=50)) as resolverd:
        resolverd.wait_pairs(("h1.test", 80, ONE, 1))
        nameserver.set(LABEL, "SRV", services("1 80 h1.test", h1_test=TWO))
        resolverd.wait_pairs(("h1.test", 80, TWO, 1))
        nameserver.forget()
        nameserver.wait_queries(5, LABEL)
        assert nameserver.asked("h1.test") == []
        nameserver.set(LABEL, "SRV", services("1 80 h1.test"))
        resolverd.wait_pairs(("h1.test", 80, ONE, 1))


@pytest.mark.slow
def test_errors_free_all_slots_after_their_hold(nameserver: ScriptedNameserver) -> None:
    nameserver.set(LABEL, "SRV", services("1 80 h1.test", h1_test=ONE))
    holds = Holds(nx_ms=800, refused_ms=HOUR_MS)
    with ResolverdProcess(label(nameserver, 1, retries=1, holds=holds)) as resolverd:
        resolverd.wait_pairs(("h1.test", 80, ONE, 1))
        nameserver.set(LABEL, "*", REFUSED)
        resolverd.wait(lambda: resolverd.counters()["refused"] >= 3, "refused answers")
        assert resolverd.pairs() == [("h1.test", 80, ONE, 1)]
        nameserver.set(LABEL, "*", NX)
        resolverd.wait_pairs()
        slot = resolverd.slot(0)
        assert (slot.address, slot.port, slot.flags) == (None, 0, FREED)
        assert slot.changed_ms - resolverd.record()["last_valid_ms"] >= 800
        nameserver.set(LABEL, "*", services("1 80 h1.test", h1_test=TWO))
        resolverd.wait_pairs(("h1.test", 80, TWO, 1))
        name = "Server be0/s1 ('h1.test') is UP/READY (resolves again)."

        def of_servers() -> list[str]:
            return [line for line in resolverd.log_lines() if "(resolvers r1)" not in line]

        wait_for(lambda: len(of_servers()) == 6, 5, "six lines")
        assert of_servers() == [
            f"<5> be0/s1: IP changed from '(none)' to '{ONE}' by 'DNS additional record'.",
            f"<5> {name}",
            "<1> Server be0/s1 is going DOWN for maintenance (entry removed from SRV record). 0 active "
            "and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "<0> backend be0 has no server available!",
            f"<5> be0/s1: IP changed from '(none)' to '{TWO}' by 'DNS additional record'.",
            f"<5> {name}",
        ]
        assert resolverd.counters()["update"] == 2


@pytest.mark.slow
def test_kills_change_no_slot_and_graces_run_on(nameserver: ScriptedNameserver) -> None:
    answer = services("256 8001 h1.test", "768 8002 h2.test", h1_test=ONE)
    nameserver.set(LABEL, "SRV", answer)
    nameserver.set("h2.test", "A", TWO)
    holds = Holds(timeout_ms=4_000)
    settings = label(nameserver, 3, retries=1, holds=holds)
    wanted = [("h1.test", 8001, ONE, 1), ("h2.test", 8002, TWO, 3)]
    with ResolverdProcess(settings) as resolverd:
        resolverd.wait_pairs(*wanted)
        before = [resolverd.slot(slot) for slot in range(3)]
        for _ in range(4):
            runs = resolverd.record()["runs"]
            resolverd.kill()
            resolverd.start()
            wait_runs(resolverd, runs + 1)
            assert [resolverd.slot(slot) for slot in range(3)] == before
            assert resolverd.pairs() == wanted
        nameserver.set("h2.test", "A", SILENT)
        resolverd.kill()
        silent_from = now_ms()
        resolverd.start()
        resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h2.test", 8002, None, 3))
        assert now_ms() - silent_from >= 2_500
        nameserver.set(LABEL, "SRV", SILENT)
        resolverd.wait_pairs()


@pytest.mark.slow
def test_slots_of_a_state_file_are_confirmed_or_freed(nameserver: ScriptedNameserver) -> None:
    nameserver.set(LABEL, "SRV", SILENT)
    settings = label(nameserver, 3, retries=2)
    segment = make_segment(settings)
    writer, targets = SlotTableWriter(segment), TargetWriter(segment)
    for slot, target in ((1, "h1.test"), (2, "h2.test")):
        writer.publish(slot, ONE, 8000 + slot, cause=Cause.STATE_FILE, flags=64, now_ms=now_ms())
        targets.publish(slot, target, 0)
    with ResolverdProcess(settings, segment) as resolverd:
        wait_runs(resolverd, 2)
        assert len(resolverd.pairs()) == 2
        nameserver.set(LABEL, "SRV", services("1 8002 h2.test", h2_test=TWO))
        resolverd.wait_pairs(("h2.test", 8002, TWO, 1))
        assert resolverd.slot(2).address == TWO


@pytest.mark.slow
def test_an_operator_orders_another_name_and_takes_it_back(
    nameserver: ScriptedNameserver,
) -> None:
    nameserver.set("app.test", "A", [ONE, TWO])
    nameserver.set("other.test", "A", THREE)
    section = label(nameserver).sections[0]
    settings = settings_of(section, resolution_settings(servers(2)))
    with ResolverdProcess(settings) as resolverd:
        resolverd.wait_addresses(ONE, TWO)
        orders = NameOrderWriter(resolverd.segment)
        orders.publish(1, "other.test", now_ms())
        os.eventfd_write(resolverd.doorbell, 1)
        resolverd.wait(lambda: resolverd.slot(1).address == THREE, "the other address")
        assert resolverd.target(1) == "other.test"
        assert resolverd.slot(1).flags == SlotFlag.FQDN_CHANGED
        assert resolverd.slot(1).port == 8080
        resolverd.kill()
        resolverd.start()
        nameserver.forget()
        nameserver.wait_queries(2, "other.test")
        assert resolverd.slot(1).address == THREE
        orders.publish(1, "no..name", now_ms())
        orders.publish(1, "", now_ms())  # no bell rings: the tick finds it
        resolverd.wait_addresses(ONE, TWO)
        assert resolverd.target(1) == ""


@pytest.mark.slow
def test_a_thousand_records_fill_a_thousand_slots(nameserver: ScriptedNameserver) -> None:
    """Over the scripted nameserver's UDP: as many as 65,535 bytes hold."""
    count = 1_000
    hosts = {f"h{n}": f"127.2.{n // 250}.{n % 250 + 1}" for n in range(count)}
    answer = services(*[f"1 {n + 1} h{n}" for n in range(count)], **hosts)
    nameserver.set(LABEL, "SRV", answer)
    settings = label(nameserver, count)
    # the nameserver needs its time to write such an answer, and more on a busy machine
    section = msgspec.structs.replace(
        settings.sections[0], accepted_payload_size=65_535, timeout_retry_ms=120_000
    )
    settings = settings_of(section, *settings.resolutions)
    with ResolverdProcess(settings) as resolverd:
        resolverd.wait(lambda: resolverd.record()["slots_used"] == count, "all slots", 20)
        resolverd.wait_pairs(*[(f"h{n}", n + 1, hosts[f"h{n}"], 1) for n in range(count)])


def test_an_answer_without_records_is_nodata(nameserver: ScriptedNameserver) -> None:
    nameserver.set(LABEL, "SRV", Answer())
    with ResolverdProcess(label(nameserver)) as resolverd:
        resolverd.wait(lambda: resolverd.counters()["any_err"] >= 1, "NODATA")
