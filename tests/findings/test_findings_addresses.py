"""Stale, wrong and lost addresses (findings 1 to 6, 8): a real resolverd, scripted nameservers."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.renderer
import dns.rrset
import pytest

from resolverd.config import Holds
from resolverd.config import Transport as Carrier
from shm.slots import SlotTableWriter
from shm.states import Cause, SlotFlag
from tests.support.common import wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, make_segment, place_address, settings_of
from tests.support.dns.scripted import (
    NODATA,
    NX,
    SILENT,
    Answer,
    ScriptedNameserver,
    build_reply,
    forged,
    records,
    services,
)
from tests.support.findings.scale import (
    HOST,
    LABEL,
    follows_host,
    follows_label,
    quick_section,
    wait_more_runs,
)

pytestmark = pytest.mark.slow

ONE, TWO, THREE, FOUR = "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"
RRSIG = "SRV 8 4 0 20300101000000 20200101000000 1 app.test. AAAA"


def test_finding_01_a_reused_slot_never_keeps_the_former_address() -> None:
    both = services("1 8001 h1.test", "1 8002 h2.test", h1_test=ONE, h2_test=TWO)
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", both)
        with ResolverdProcess(follows_label(quick_section(nameserver), 2)) as resolverd:
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h2.test", 8002, TWO, 1))
            nameserver.set(LABEL, "SRV", services("1 8001 h1.test", h1_test=ONE))
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1))

            # a newcomer whose address is not known yet takes the slot that was freed
            nameserver.set(LABEL, "SRV", services("1 8001 h1.test", "1 8003 h3.test", h1_test=ONE))
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h3.test", 8003, None, 1))
            nameserver.set("h3.test", "A", THREE)
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h3.test", 8003, THREE, 1))

            known = services("1 8001 h1.test", "1 8003 h3.test", h1_test=ONE, h3_test=TWO)
            nameserver.set(LABEL, "SRV", known)
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h3.test", 8003, TWO, 1))
            # both slots change hands in one answer, to one with an address and one without
            nameserver.set(LABEL, "SRV", services("1 8002 h2.test", "1 8004 h4.test", h2_test=FOUR))
            resolverd.wait_pairs(("h2.test", 8002, FOUR, 1), ("h4.test", 8004, None, 1))

            # what becomes known of a former target concerns its slot no more
            nameserver.set("h4.test", "A", ONE)
            resolverd.wait_pairs(("h2.test", 8002, FOUR, 1), ("h4.test", 8004, ONE, 1))
            nameserver.set(LABEL, "SRV", services("1 8005 h5.test", h5_test=THREE))
            resolverd.wait_pairs(("h5.test", 8005, THREE, 1))
            nameserver.set("h4.test", "A", TWO)
            wait_more_runs(resolverd, 3)
            assert resolverd.pairs() == [("h5.test", 8005, THREE, 1)]
            assert sorted(map(str, resolverd.addresses())) == [THREE, "None"]


def test_finding_02_a_changed_address_reaches_every_instance_of_its_target() -> None:
    ports = (8001, 8002, 8003, 8004)

    def instances(of: tuple[int, ...], address: str) -> Answer:
        return services(*[f"1 {port} h1.test" for port in of], h1_test=address)

    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", instances(ports, ONE))
        with ResolverdProcess(follows_label(quick_section(nameserver), 4)) as resolverd:
            resolverd.wait_pairs(*[("h1.test", port, ONE, 1) for port in ports])
            for of, address in (
                (ports[2:], TWO),
                (ports, THREE),
                (ports[::-2], FOUR),
                (ports, ONE),
            ):
                nameserver.set(LABEL, "SRV", instances(of, address))
                resolverd.wait_pairs(*[("h1.test", port, address, 1) for port in of])
            assert {query.rtype for query in nameserver.queries} == {"SRV"}


def mixed(query: dns.message.Message) -> list[bytes]:
    """SRV records and their addresses among records of other types, OPT in the middle."""
    name = query.question[0].name.to_text()
    output = dns.renderer.Renderer(query.id, dns.flags.QR | dns.flags.AA, 65_535)
    output.add_question(query.question[0].name, dns.rdatatype.SRV)

    def add(section: int, owner: str, kind: str, data: str) -> None:
        output.add_rrset(section, dns.rrset.from_text(owner, 0, "IN", kind, data))

    add(1, name, "TXT", '"id=1"')
    add(1, name, "SRV", "0 1 8001 h1.test.")
    add(1, name, "RRSIG", RRSIG)
    add(1, name, "SRV", "0 1 8002 h2.test.")
    add(2, "app.test.", "NS", "ns.app.test.")
    add(2, "app.test.", "SOA", "ns.app.test. root.app.test. 1 2 3 4 5")
    add(3, "h1.test.", "TXT", '"consul-network-segment="')
    add(3, "h1.test.", "A", ONE)
    output.add_edns(0, 0, 1232)
    add(3, "h1.test.", "RRSIG", RRSIG)
    add(3, "h2.test.", "TXT", '""')
    add(3, "h2.test.", "A", TWO)
    output.write_header()
    return [output.get_wire()]


def test_finding_03_records_of_other_types_in_any_section_are_passed_over() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", forged(mixed))
        with ResolverdProcess(follows_label(quick_section(nameserver), 3)) as resolverd:
            resolverd.wait_pairs(("h1.test", 8001, ONE, 1), ("h2.test", 8002, TWO, 1))
            wait_more_runs(resolverd, 3)
            assert resolverd.counters()["invalid"] == 0
            assert {query.name for query in nameserver.queries} == {LABEL}


COLLAPSES = (range(7, 8), range(7, 14), range(13, 14), range(14, 21), range(20, 21), range(1, 8))


def crowd(hosts: range) -> Answer:
    words = [f"1 80 h{number}.test" for number in hosts]
    return services(*words, **{f"h{number}_test": f"127.0.2.{number}" for number in hosts})


def pairs_of(hosts: range) -> list[tuple[str, int, str | None, int]]:
    return [(f"h{number}.test", 80, f"127.0.2.{number}", 1) for number in hosts]


def test_finding_04_slots_freed_by_a_collapse_are_filled_again_and_unusable_ones_are_told() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", crowd(range(1, 8)))
        with ResolverdProcess(follows_label(quick_section(nameserver), 7)) as resolverd:
            resolverd.wait_pairs(*pairs_of(range(1, 8)))
            for hosts in COLLAPSES:
                nameserver.set(LABEL, "SRV", crowd(hosts))
                resolverd.wait_pairs(*pairs_of(hosts))

            # records, but of no use to any server: said once, while every answer is valid
            nameserver.set(LABEL, "SRV", services(*[f"1 80 gone{n}.test" for n in range(7)]))
            alarm = "bring 7 records, but none of 7 servers has an address"
            wait_for(lambda: alarm in "".join(resolverd.log_lines()), 10, "the alarm")
            nameserver.set(LABEL, "SRV", crowd(range(1, 8)))
            resolverd.wait_pairs(*pairs_of(range(1, 8)))
            assert "".join(resolverd.log_lines()).count(alarm) == 1


def test_finding_05_the_last_server_goes_when_its_service_is_deleted() -> None:
    only = services("1 80 h1.test", h1_test=ONE)
    holds = Holds(nx_ms=300, other_ms=300)
    with (
        ScriptedNameserver() as nameserver,
        ResolverdProcess(follows_label(quick_section(nameserver, holds=holds), 2)) as resolverd,
    ):
        for deleted in (NX, NODATA):
            nameserver.set(LABEL, "*", only)
            resolverd.wait_pairs(("h1.test", 80, ONE, 1))
            nameserver.set(LABEL, "*", deleted)
            resolverd.wait_pairs()
            assert resolverd.addresses() == [None, None]
            freed_ms = max(resolverd.slot(slot).changed_ms for slot in range(2))
            assert freed_ms - resolverd.record()["last_valid_ms"] >= 300  # its hold, no less


def test_finding_06_restored_servers_that_no_answer_confirms_go_with_a_nameserver_over_tcp() -> (
    None
):
    with ScriptedNameserver(tcp=True) as nameserver:
        nameserver.set(HOST, "A", [ONE])
        settings = follows_host(quick_section(nameserver, carrier=Carrier.TCP), 3)
        segment = make_segment(settings)
        of_servers = settings.resolutions[0].servers
        for server, address in zip(of_servers, (THREE, ONE, TWO), strict=True):
            place_address(segment, server, address, Cause.STATE_FILE)
        with ResolverdProcess(settings, segment) as resolverd:
            resolverd.wait(
                lambda: resolverd.addresses() == [None, ONE, None], "the one that is true"
            )
            assert {query.over for query in nameserver.queries} == {"tcp"}


def test_finding_06_restored_slots_of_records_go_with_a_nameserver_over_tcp() -> None:
    with ScriptedNameserver(tcp=True) as nameserver:
        nameserver.set(LABEL, "SRV", services("1 80 h1.test", h1_test=ONE))
        settings = follows_label(quick_section(nameserver, carrier=Carrier.TCP), 3)
        segment = make_segment(settings)
        for slot, address in enumerate((ONE, TWO, THREE)):
            SlotTableWriter(segment).publish(
                slot, address, 80, cause=Cause.STATE_FILE, flags=SlotFlag(0), now_ms=1
            )
        with ResolverdProcess(settings, segment) as resolverd:
            resolverd.wait_pairs(("h1.test", 80, ONE, 1))
            resolverd.wait_addresses(ONE, None, None)


def test_finding_08_after_an_outage_no_answer_is_applied_to_another_name() -> None:
    """The late answer to one name's question, under an id that is open for the other name."""
    other = "b.test"
    section_words = {"retries": 3, "retry_ms": 60}
    with ScriptedNameserver() as nameserver:
        section = quick_section(nameserver, **section_words)
        settings = settings_of(
            section,
            resolution_settings(servers(1), name="a.test"),
            resolution_settings(servers(1, 1, 1), name=other, index=1),
        )
        for name in ("a.test", other):
            nameserver.set(name, "A", SILENT)
        with ResolverdProcess(settings) as resolverd:
            asked = nameserver.wait_queries(6, "a.test") + nameserver.wait_queries(6, other)
            assert len({(query.source, query.id) for query in asked}) == len(asked)

            def swapped(query: dns.message.Message) -> list[bytes]:
                """What was asked, answered for the other name under the same id."""
                wrong = dns.message.make_query(other, "A", id=query.id)
                return [build_reply(wrong, records(TWO))]

            before = resolverd.counters()["invalid"]
            nameserver.set("a.test", "A", forged(swapped))
            resolverd.wait(lambda: resolverd.counters()["invalid"] >= before + 3, "such answers")
            assert resolverd.addresses() == [None, None]
            nameserver.set("a.test", "A", ONE)
            nameserver.set(other, "A", TWO)
            resolverd.wait(lambda: resolverd.addresses() == [ONE, TWO], "each its own address")
