"""Answers that are large, cut, or come over TCP (findings 27 to 33): a real resolverd."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from types import TracebackType

import dns.message
import dns.rrset
import pytest

from resolverd.config import PAYLOAD_DEFAULT, Holds, Nameserver, ResolversSection
from resolverd.config import Transport as Carrier
from tests.support.common import free_port
from tests.support.dns.resolution import resolution_settings
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import Answer, ScriptedNameserver, build_reply, forged, services
from tests.support.findings.scale import (
    HOST,
    LABEL,
    follows_host,
    follows_label,
    label_servers,
    quick_section,
    wait_more_runs,
)

pytestmark = pytest.mark.slow

ONE, TWO = "127.0.1.1", "127.0.1.2"


def many_addresses(count: int) -> list[str]:
    return [f"127.7.{number // 250}.{number % 250 + 1}" for number in range(count)]


def endpoints(numbers: range, network: int = 4) -> Answer:
    words = [f"1 {number + 1} h{number}.test" for number in numbers]
    hosts = {f"h{n}_test": f"127.{network}.{n // 250}.{n % 250 + 1}" for n in numbers}
    return services(*words, **hosts)


def test_finding_27_28_29_an_answer_that_udp_cuts_comes_whole_over_tcp_at_once() -> None:
    """From the same nameserver, with the default payload size of 512 bytes."""
    grown = many_addresses(60)
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver:
        nameserver.set(HOST, "A", grown[:24])
        section = quick_section(nameserver, retry_ms=2_000)
        with ResolverdProcess(follows_host(section, 60)) as resolverd:
            resolverd.wait_addresses(*grown[:24], *[None] * 36)
            assert {query.over for query in nameserver.queries} == {"udp"}
            nameserver.forget()
            nameserver.set(HOST, "A", grown)
            resolverd.wait_addresses(*grown)
            over_udp, over_tcp = [
                next(query for query in nameserver.queries if query.over == over)
                for over in ("udp", "tcp")
            ]
            assert over_udp.payload == PAYLOAD_DEFAULT == 512
            assert over_tcp.at - over_udp.at < 1.0, "no pause of `timeout retry` between them"
            counters = resolverd.counters()
            assert (counters["truncated"], counters["too_big"], counters["other"]) == (0, 0, 0)


def test_finding_27_what_a_cut_answer_holds_adds_where_there_is_no_tcp() -> None:
    grown = many_addresses(30)
    with ScriptedNameserver() as no_tcp:
        no_tcp.set(HOST, "A", grown[:24])
        with ResolverdProcess(follows_host(quick_section(no_tcp), 30)) as resolverd:
            resolverd.wait_addresses(*grown[:24], *[None] * 6)
            no_tcp.set(HOST, "A", Answer(records=tuple(grown[10:]), truncated=True))
            resolverd.wait_addresses(*grown)
            wait_more_runs(resolverd, 3)
            resolverd.wait_addresses(*grown)


def test_finding_30_six_hundred_servers_of_one_backend() -> None:
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver:
        nameserver.set(LABEL, "SRV", endpoints(range(600)))
        section = quick_section(nameserver, resolve_ms=200, retry_ms=2_000)
        with ResolverdProcess(follows_label(section, 600)) as resolverd:
            resolverd.wait(lambda: len({*resolverd.addresses()} - {None}) == 600, "600 addresses")
            nameserver.set(LABEL, "SRV", endpoints(range(1, 599)))
            resolverd.wait(lambda: resolverd.addresses().count(None) == 2, "two of them gone")


def test_finding_31_many_large_services_change_over_tcp_and_nothing_dies() -> None:
    labels = [f"_s{number}._tcp.test" for number in range(5)]
    slots = 200
    with ScriptedNameserver(tcp=True) as nameserver:
        section = quick_section(nameserver, carrier=Carrier.TCP, resolve_ms=500, retry_ms=20_000)
        settings = settings_of(
            section,
            *[
                resolution_settings(label_servers(slots, n, n * slots), name=name, index=n)
                for n, name in enumerate(labels)
            ],
        )
        for name in labels:
            nameserver.set(name, "SRV", endpoints(range(slots)))
        with ResolverdProcess(settings) as resolverd:
            pid = resolverd.pid
            resolverd.wait(lambda: None not in resolverd.addresses(), "all addresses")
            for network, numbers in ((5, range(3)), (6, range(100, 300)), (7, range(200))):
                for name in labels:
                    nameserver.set(name, "SRV", endpoints(numbers, network))
                nameserver.hang_up()
                empty = len(labels) * (slots - len(numbers))

                def changed(network: int = network, empty: int = empty) -> bool:
                    found = resolverd.addresses()
                    there = [address for address in found if address is not None]
                    return found.count(None) == empty and all(
                        address.startswith(f"127.{network}.") for address in there
                    )

                resolverd.wait(changed, f"addresses of 127.{network}")
            assert resolverd.pid == pid


def test_finding_32_an_authority_section_hides_no_additional_record() -> None:
    def forge(query: dns.message.Message) -> list[bytes]:
        found = services("1 81 h1.test", "1 82 h2.test", h1_test=ONE, h2_test=TWO)
        reply = dns.message.from_wire(build_reply(query, found))
        for data in ("NS ns1.app.test.", "NS h1.test.", "SOA ns1.test. root.test. 1 2 3 4 5"):
            kind, words = data.split(" ", 1)
            reply.authority.append(dns.rrset.from_text("app.test.", 0, "IN", kind, words))
        return [reply.to_wire()]

    with ScriptedNameserver() as nameserver:
        nameserver.set(LABEL, "SRV", forged(forge))
        with ResolverdProcess(follows_label(quick_section(nameserver), 2)) as resolverd:
            resolverd.wait_pairs(("h1.test", 81, ONE, 1), ("h2.test", 82, TWO, 1))
            assert {query.rtype for query in nameserver.queries} == {"SRV"}


class SlammingNameserver:
    """Accepts TCP connections and resets them at once; counts them."""

    def __init__(self) -> None:
        self.accepted = 0
        self.listener = socket.create_server(("127.0.0.1", free_port()), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while not self.over.is_set():
                for _ in selector.select(0.05):
                    connection, _ = self.listener.accept()
                    self.accepted += 1
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    connection.close()

    def __enter__(self) -> SlammingNameserver:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.thread.join()
        self.listener.close()


def test_finding_33_a_nameserver_over_tcp_that_cannot_be_used_is_tried_once_a_second() -> None:
    """While its name is due every 20 ms."""
    with SlammingNameserver() as nameserver:
        section = ResolversSection(
            name="r1",
            nameservers=(Nameserver("ns1", "127.0.0.1", nameserver.port, Carrier.TCP),),
            resolve_retries=1,
            timeout_resolve_ms=20,
            timeout_retry_ms=20,
            holds=Holds(),
        )
        with ResolverdProcess(follows_host(section, 1)) as resolverd:
            started = time.monotonic()
            wait_more_runs(resolverd, 25)
            seconds = time.monotonic() - started
            assert nameserver.accepted >= 1
            assert nameserver.accepted <= 2 * (seconds + 2), "each failure is tried once more"
