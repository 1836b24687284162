"""A spoofer that knows the question, against the open sockets: nothing is accepted or ended.

It reads the ports from /proc/net/udp, which is more than one on the network can know.
"""

from __future__ import annotations

import itertools
import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import dns.message
import pytest

from resolverd.config import Nameserver
from resolverd.dns.answer import Answer, Status
from resolverd.transport.udp import SOCKETS_MAX, STRANGERS_MAX, OpenQuery
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import NX, SILENT, ScriptedNameserver, build_reply, records
from tests.support.dns.steps import counted
from tests.support.dns.transport import Shell, shells_closed
from tests.support.generated import sample

PACKETS = sample(20_000, full=100_000)
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
        open_ones = itertools.chain.from_iterable(self.shell.transport._open.values())
        assert sum(isinstance(query, OpenQuery) for query in open_ones) == len(self.open)
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
def test_a_flood_of_wrong_ids_is_dropped_by_two_bytes(scene: Scene) -> None:
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
    questions = len(scene.open)
    assert scene.shell.counters == {
        "0.sent": questions,
        "0.outdated": PACKETS,
        "0.doubted": questions,  # and asked over TCP in vain: there is no nameserver there
    }
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
    received: list[int] = [0]  # datagrams taken in each turn of the loop
    loop = scene.shell.loop

    def turn() -> None:
        received.append(0)
        if sum(received) < BURST:
            loop.call_soon(turn)

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "on_datagram":
            received[-1] += 1

    loop.call_soon(turn)
    sys.setprofile(profile)
    try:
        scene.drain()
    finally:
        sys.setprofile(None)
    assert sum(received) == BURST
    assert max(received) == 1
    scene.expect_the_real_answer()


@pytest.fixture
def doubted() -> Iterator[Scene]:
    """Questions open over UDP at a nameserver that can be asked over TCP."""
    with ScriptedNameserver(tcp=True) as nameserver, shells_closed() as shells:
        shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        yield Scene(shell, nameserver)


def guess(scene: Scene, index: int, count: int) -> None:
    """Replies to a question under ids that were never used."""
    wire, query = scene.forge(index), scene.open[index]
    unused = (n for n in range(1 << 16) if n not in scene.ids[query.source])
    for wrong in itertools.islice(unused, count):
        scene.deliver(wrong.to_bytes(2, "big") + wire[2:], query.source[1])
    scene.drain()


def over_tcp(scene: Scene) -> int:
    return sum(query.over == "tcp" for query in scene.nameserver.queries)


def test_after_ten_guesses_the_questions_of_a_port_are_asked_over_tcp(doubted: Scene) -> None:
    scene, source = doubted, doubted.open[0].source
    questions = sum(query.source == source for query in scene.open)
    guess(scene, 0, STRANGERS_MAX - 1)
    assert (over_tcp(scene), scene.shell.log) == (0, [])
    scene.nameserver.set("app.test", "A", "127.0.1.1")
    guess(scene, 0, 1)
    scene.deliver(scene.forge(0), source[1])  # the right id at last, and too late
    scene.shell.until(lambda: len(scene.shell.delivered) == questions)
    assert [answer for *_, answer in scene.shell.delivered] == [TRUE] * questions
    assert over_tcp(scene) == scene.shell.counters["0.doubted"] == questions
    assert len([line for line in scene.shell.log if "r1/ns0: ten replies" in line]) == 1
    before = len(scene.nameserver.queries)
    for key in range(100, 200):
        scene.shell.ask(key)
    asked = scene.nameserver.wait_queries(before + 100)[before:]
    assert source[1] not in {query.source[1] for query in asked}, "the port is known"


def test_replies_that_do_not_fit_their_question_count_for_that_alone(doubted: Scene) -> None:
    scene, query = doubted, doubted.open[0]
    for _ in range(STRANGERS_MAX):
        scene.deliver(other_name(scene.forge(0)), query.source[1])
    scene.drain()
    assert scene.shell.counters["0.doubted"] == 1


def test_what_comes_over_udp_meanwhile_is_used_if_tcp_brings_nothing(doubted: Scene) -> None:
    scene, query = doubted, doubted.open[0]
    for _ in range(STRANGERS_MAX):
        scene.deliver(other_name(scene.forge(0)), query.source[1])
    scene.drain()
    scene.shell.until(lambda: over_tcp(scene) == 1)  # where it is silent
    asked = dns.message.make_query("app.test", "A", id=query.id, use_edns=0)
    reply = build_reply(asked, records("127.0.1.1"))
    scene.nameserver._socket.sendto(reply, query.source)
    scene.shell.until(lambda: any(scene.shell.transport._doubts.values()))
    assert scene.shell.delivered == []
    for _ in range(2):  # it is asked once more after the first close
        scene.nameserver.hang_up()
        scene.shell.until(lambda: scene.shell.delivered or over_tcp(scene) == 2)
    scene.shell.until(lambda: scene.shell.delivered)
    assert [answer for *_, answer in scene.shell.delivered] == [TRUE]
    assert not scene.shell.lost_questions


def test_late_and_repeated_replies_come_from_no_stranger(doubted: Scene) -> None:
    scene = doubted
    source = scene.open[0].source
    keys = [key for key, query in enumerate(scene.open) if query.source == source]
    for key in keys[1:]:
        scene.shell.transport.close_run(key)
    for _ in range(3 * STRANGERS_MAX):
        for key in keys[1:]:
            scene.deliver(scene.forge(key), source[1])
    scene.drain()
    assert scene.shell.counters["0.doubted"] == 0
