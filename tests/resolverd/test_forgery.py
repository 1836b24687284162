"""A spoofer that knows the question, against the open sockets: nothing is accepted or ended.

It reads the ports from /proc/net/udp, which is more than one on the network can know.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import dns.message
import pytest

from resolverd.answer import Answer, Status
from resolverd.config import Nameserver
from resolverd.nameserver_sockets import SOCKETS_MAX
from tests.support_dns import NX, SILENT, ScriptedNameserver, build_reply, records
from tests.support_resolution import addresses
from tests.support_steps import counted
from tests.support_transport import Shell, shells_closed

PACKETS = 100_000
BURST = 64  # packets before the loop has its turn: less than a socket's buffer holds
FORGED = records("127.9.9.9")
TRUE = Answer(Status.VALID, addresses("127.0.1.1"))


class Scene:
    """A nameserver that is silent for now, and questions open at it."""

    def __init__(self, shell: Shell, nameserver: ScriptedNameserver) -> None:
        self.shell = shell
        self.nameserver = nameserver
        self.packets = 0
        nameserver.set("app.test", "A", SILENT)
        for key in range(4 * SOCKETS_MAX):
            shell.ask(key)
        self.open = nameserver.wait_queries(4 * SOCKETS_MAX)
        self.ids: dict[tuple[str, int], set[int]] = {}
        for query in self.open:
            self.ids.setdefault(query.source, set()).add(query.id)

    def forge(self, index: int) -> bytes:
        """A reply to one of the questions, but for its id and its source."""
        query = dns.message.make_query("app.test", "A", id=self.open[index].id, use_edns=0)
        return build_reply(query, FORGED)

    def deliver(self, wire: bytes, port: int) -> None:
        """Send it from the nameserver's own address and port: the spoofing has succeeded."""
        self.nameserver._socket.sendto(wire, ("127.0.0.1", port))
        self.packets += 1
        if self.packets % BURST == 0:
            self.drain()

    def drain(self) -> None:
        """Until all that was delivered has been counted."""
        counters = self.shell.counters
        self.shell.until(lambda: counters["0.outdated"] + counters["0.invalid"] == self.packets)

    def expect_the_real_answer(self) -> None:
        """The first open question is still answered by who was asked, and by nobody before."""
        assert self.shell.delivered == []
        assert not self.shell.lost_questions
        assert sum(len(queries) for queries in self.shell.transport._open.values()) == len(
            self.open
        )
        query = dns.message.make_query("app.test", "A", id=self.open[0].id, use_edns=0)
        reply = build_reply(query, records("127.0.1.1"))
        self.nameserver._socket.sendto(reply, self.open[0].source)
        self.shell.until(lambda: self.shell.delivered)
        assert [answer for *_, answer in self.shell.delivered] == [TRUE]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ScriptedNameserver() as nameserver, shells_closed() as shells:
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        yield Scene(shell, nameserver)


def ports_towards(port: int) -> list[int]:
    """The local ports of the sockets that are connected to this port."""
    rows = [row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return [int(row[1][-4:], 16) for row in rows if int(row[2][-4:], 16) == port]


@pytest.mark.slow
def test_a_hundred_thousand_wrong_ids_are_dropped_by_two_bytes(scene: Scene) -> None:
    ports = ports_towards(scene.nameserver.port)
    assert set(ports) == {query.source[1] for query in scene.open}
    wire = scene.forge(0)
    chance = random.Random(1)
    wrong = {
        port: [
            n for n in chance.sample(range(1 << 16), 6_000) if n not in scene.ids["127.0.0.1", port]
        ]
        for port in ports
    }

    def flood() -> None:
        for n in range(PACKETS):
            port = ports[n % len(ports)]
            scene.deliver(chance.choice(wrong[port]).to_bytes(2, "big") + wire[2:], port)
        scene.drain()

    _, lines = counted(flood)
    assert lines == 0  # of the reader: no message was looked into
    assert scene.shell.counters == {"0.sent": len(scene.open), "0.outdated": PACKETS}
    scene.expect_the_real_answer()


def other_name(wire: bytes) -> bytes:
    return wire.replace(b"\x03app", b"\x03apq")


def other_type(wire: bytes) -> bytes:
    return wire.replace(b"\0\0\x01\0\x01", b"\0\0\x1c\0\x01", 1)


def other_class(wire: bytes) -> bytes:
    return wire.replace(b"\0\0\x01\0\x01", b"\0\0\x01\0\x03", 1)


def no_reply(wire: bytes) -> bytes:
    return wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:]


def other_opcode(wire: bytes) -> bytes:
    return wire[:2] + bytes([wire[2] | 0x10]) + wire[3:]


def no_question(wire: bytes) -> bytes:
    return wire[:5] + b"\0" + wire[6:]


def two_questions(wire: bytes) -> bytes:
    return wire[:5] + b"\2" + wire[6:]


def no_header(wire: bytes) -> bytes:
    return wire[:11]


WRONG: list[Callable[[bytes], bytes]] = [
    other_name,
    other_type,
    other_class,
    no_reply,
    other_opcode,
    no_question,
    two_questions,
    no_header,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_the_right_id_and_port_are_not_enough(
    scene: Scene, wrong: Callable[[bytes], bytes]
) -> None:
    for index, query in enumerate(scene.open):
        wire = scene.forge(index)
        assert wrong(wire) != wire
        for _ in range(3):
            scene.deliver(wrong(wire), query.source[1])
    scene.drain()
    packets = 3 * len(scene.open)
    assert scene.shell.counters == {"0.sent": len(scene.open), "0.invalid": packets}
    scene.expect_the_real_answer()


def test_an_error_for_another_question_ends_nothing(scene: Scene) -> None:
    for query in scene.open:
        asked = dns.message.make_query("other.test", "A", id=query.id, use_edns=0)
        scene.deliver(build_reply(asked, NX), query.source[1])
    scene.drain()
    assert scene.shell.counters["0.invalid"] == len(scene.open)
    scene.expect_the_real_answer()


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2", "127.9.9.9"])
def test_from_another_address_or_port_nothing_arrives(scene: Scene, source: str) -> None:
    before = dict(scene.shell.counters)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((source, scene.nameserver.port if source != "127.0.0.1" else 0))
        for index, query in enumerate(scene.open):
            stranger.sendto(scene.forge(index), query.source)
    scene.deliver(b"\0", scene.open[0].source[1])  # what comes behind them is there, they are not
    scene.drain()
    assert scene.shell.counters == before | {"0.invalid": 1}
    scene.expect_the_real_answer()


def test_a_flood_on_one_port_leaves_the_others_their_turn(scene: Scene) -> None:
    for _ in range(BURST):
        scene.nameserver._socket.sendto(b"\0", scene.open[0].source)
    scene.packets += BURST
    received: list[int] = []  # datagrams taken in each event

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "_readable":
            received.append(0)
        elif event == "c_call" and getattr(argument, "__name__", "") == "recv_into":
            received[-1] += 1

    sys.setprofile(profile)
    try:
        scene.drain()
    finally:
        sys.setprofile(None)
    assert received == [1] * BURST
    scene.expect_the_real_answer()
