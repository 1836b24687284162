"""Slots that stay empty, lose their port, or hold an address too many (findings 9, 10, 13)."""

from __future__ import annotations

import pytest

from resolverd.config import Family, Holds
from shm.states import SlotFlag
from tests.support.dns.resolution import BOTH, servers
from tests.support.dns.resolverd import ResolverdProcess
from tests.support.dns.scripted import NX, REFUSED, SERVFAIL, ScriptedNameserver
from tests.support.findings.scale import HOST, follows_host, quick_section, wait_more_runs

pytestmark = pytest.mark.slow

ONE, TWO, THREE = "127.0.1.1", "127.0.1.2", "127.0.1.3"
PORT = 8080
BACKENDS = 1_000
AT_ONCE = Holds(nx_ms=0, refused_ms=0, timeout_ms=0, other_ms=0)


def test_finding_09_a_thousand_backends_of_one_name_all_come_back_after_an_outage() -> None:
    of_servers = tuple(servers(1, number, number)[0] for number in range(BACKENDS))
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", ONE)
        section = quick_section(nameserver, holds=AT_ONCE)
        with ResolverdProcess(follows_host(section, of_servers)) as resolverd:
            resolverd.wait(lambda: set(resolverd.addresses()) == {ONE}, "all of them")
            nameserver.set(HOST, "A", SERVFAIL)
            resolverd.wait(lambda: set(resolverd.addresses()) == {None}, "none of them")
            nameserver.set(HOST, "A", TWO)
            resolverd.wait(lambda: set(resolverd.addresses()) == {TWO}, "all of them again")
            assert {query.rtype for query in nameserver.queries} == {"A"}


def test_finding_10_a_server_comes_back_from_a_flap_with_its_port() -> None:
    with ScriptedNameserver() as nameserver:
        settings = follows_host(quick_section(nameserver, holds=AT_ONCE), 2, BOTH)
        with ResolverdProcess(settings) as resolverd:
            for failure in (NX, REFUSED, SERVFAIL):
                for rtype, address, family in (
                    ("A", ONE, Family.IPV4),
                    ("AAAA", "::1", Family.IPV6),
                ):
                    nameserver.set(HOST, "*", failure)
                    resolverd.wait_addresses(None, None)
                    assert [resolverd.slot(slot).port for slot in (0, 1)] == [PORT, PORT]
                    nameserver.set(HOST, rtype, address)
                    resolverd.wait_addresses(address, None)
                    slot = resolverd.slot(resolverd.addresses().index(address))
                    assert (slot.family, slot.port) == (family, PORT)


def test_finding_13_no_more_slots_have_an_address_than_dns_has_records() -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(HOST, "A", [ONE, TWO, TWO, ONE])
        with ResolverdProcess(follows_host(quick_section(nameserver), 200)) as resolverd:
            for found in ([ONE, TWO], [ONE, TWO, THREE], [THREE]):
                nameserver.set(HOST, "A", found)
                resolverd.wait_addresses(*found, *[None] * (200 - len(found)))
                wait_more_runs(resolverd, 3)
                slots = [resolverd.slot(number) for number in range(200)]
                assert sorted(slot.address for slot in slots if slot.address) == found
                empty = [slot for slot in slots if slot.address is None]
                assert all(slot.flags & SlotFlag.RMAINT for slot in empty)
