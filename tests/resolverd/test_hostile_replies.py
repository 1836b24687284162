"""Messages made to cost: the work that one causes is bounded by the bytes that were received.

Work is counted in lines of the reader that run, so that the machine's load does not matter.
"""

from __future__ import annotations

import struct
import sys
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.assignment.services import ServiceAssignment
from resolverd.config import Family, Holds, ResolvedServer
from resolverd.dns.answer import QueryType, Question, Status, build_query, read_reply
from resolverd.dns.reply_cache import ReplyReader
from resolverd.dns.wire import CLASS_IN, HEADER, HEADER_BYTES, TYPE_A, TYPE_CNAME, TYPE_SRV
from tests.support.dns.steps import counted
from tests.support.generated import examples

LINES_PER_BYTE = 4  # an address record has 16 bytes and takes some 20 lines
LINES_AT_LEAST = 100  # header, question, judgement
SIZE_MAX = 65_535
OPT_BYTES = 11
ASKED = Question("app.test", QueryType.A)
SERVICES = Question("app.test", QueryType.SRV)
SECTION = build_query(ASKED, 512)[HEADER_BYTES:-OPT_BYTES]
START = HEADER_BYTES + len(SECTION)  # of the answer section
PLACES = 1 << 14  # a pointer can lead to


def message(body: bytes, answers: int = 0xFFFF, asked: Question = ASKED) -> bytes:
    """A reply with this behind its question, as long as a message can be."""
    section = build_query(asked, 512)[HEADER_BYTES:-OPT_BYTES]
    return (HEADER.pack(7, 0x8180, 1, answers, 0, 0) + section + body)[:SIZE_MAX]


def pointer(place: int) -> bytes:
    return struct.pack(">H", 0xC000 | place)


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack(">HHIH", kind, CLASS_IN, 0, len(data)) + data


def a_chain_of_pointers() -> bytes:
    """Each pointer leads to the one before; records enter the chain at every place, last first."""
    hops = (PLACES - START - 11) // 2
    first = START + 11
    chain = pointer(12) + b"".join(pointer(first + 2 * n) for n in range(hops - 1))
    hoard = record(b"\0", 99, chain)
    entries = [record(pointer(first + 2 * n), TYPE_A, bytes(4)) for n in range(hops)][::-1]
    return message(hoard + b"".join(entries))


def names_within_names() -> bytes:
    """Labels of one letter, and records whose owners begin at each of them."""
    labels = b"\x01a" * 120 + pointer(12)
    hoard = record(b"\0", 99, labels * 60)
    places = range(START + 11, START + 11 + 60 * len(labels), 2)
    return message(hoard + b"".join(record(pointer(p), TYPE_A, bytes(4)) for p in places))


def one_name_for_all() -> bytes:
    """Every target is the longest name there is, for two bytes."""
    name = b"\1a" * 122 + pointer(12)
    first = record(name, TYPE_A, bytes(4))
    data = struct.pack(">HHH", 0, 1, 80) + pointer(START)
    return message(first + record(pointer(START), TYPE_SRV, data) * 4_000, asked=SERVICES)


def labels_over_everything() -> bytes:
    """The target of each record runs on over the following ones."""
    service = struct.pack(">HHH", 0, 1, 80) + b"\x3f"
    return message(record(pointer(12), TYPE_SRV, service) * 4_000, asked=SERVICES)


FIRST_HOST = 0x7F00_0000  # 127.0.0.0


def a_target_with_many_addresses() -> bytes:
    """All of the records have the target that all of the addresses belong to."""
    services = [
        record(pointer(12), TYPE_SRV, struct.pack(">HHH", 0, 1, 1 + n) + pointer(12))
        for n in range(1_200)
    ]
    hosts = [record(pointer(12), TYPE_A, (FIRST_HOST + n).to_bytes(4, "big")) for n in range(2_500)]
    section = build_query(SERVICES, 512)[HEADER_BYTES:-OPT_BYTES]
    header = HEADER.pack(7, 0x8180, 1, len(services), 0, len(hosts))
    return header + section + b"".join(services + hosts)


HOSTILE = {
    "a pointer to itself": message(pointer(START)),
    "pointers in a circle": message(record(pointer(START + 12), 1, pointer(START)) * 5_000),
    "a label and a pointer in a circle": message(b"\0\1a" + pointer(START + 1) * 30_000),
    "a pointer ahead": message(pointer(START + 2) * 30_000),
    "a pointer behind the end": message(pointer(PLACES - 1)),
    "half a pointer": message(b"\xc0"),
    "a chain of pointers": a_chain_of_pointers(),
    "names within names": names_within_names(),
    "one name for all": one_name_for_all(),
    "labels over everything": labels_over_everything(),
    "a target with many addresses": a_target_with_many_addresses(),
    "nothing behind the header": message(b""),
    "empty labels": message(bytes(SIZE_MAX)),
    "labels of one letter": message(b"\1a" * 32_000),
    "the longest labels": message((b"\x3f" + b"a" * 63) * 1_000),
    "labels of an unknown kind": message(b"\x40" * SIZE_MAX),
    "ones": message(b"\xff" * SIZE_MAX),
    "records of one byte": message(record(b"\0", 16, b"\0") * 5_000),
    "addresses of one byte": message(record(b"\0", TYPE_A, b"\0") * 5_000),
    "addresses": message(
        b"".join(record(pointer(12), 1, struct.pack(">I", n)) for n in range(4_000)), 4_000
    ),
    "aliases": message(record(pointer(12), TYPE_CNAME, pointer(12)) * 4_000, 4_000),
    "extensions": message(record(b"\0", 41, b"") * 5_000),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("asked", [ASKED, SERVICES], ids=["A", "SRV"])
def test_work_is_bounded_by_the_size_of_the_message(what: str, cut: bool, asked: Question) -> None:
    wire = bytearray(HOSTILE[what])
    wire[START - 4 : START - 2] = struct.pack(">H", asked.query_type)
    wire[2] |= 0x02 if cut else 0
    answer, lines = counted(lambda: ReplyReader().read(bytes(wire), "ns1", asked))
    assert answer is not None
    assert lines <= LINES_AT_LEAST + LINES_PER_BYTE * len(wire), f"{lines} for {len(wire)} bytes"


def test_records_with_one_target_share_its_addresses() -> None:
    answer = read_reply(HOSTILE["a target with many addresses"], SERVICES)
    assert answer is not None
    assert (len(answer.services), len(answer.services[0].addresses)) == (1_200, 2_500)
    assert len({id(service.addresses) for service in answer.services}) == 1


def test_a_message_without_end_is_invalid_unless_it_is_cut() -> None:
    for what in ("nothing behind the header", "a pointer to itself", "half a pointer", "ones"):
        wire = HOSTILE[what]
        answer = read_reply(wire, ASKED)
        assert answer is not None
        assert answer.status is Status.INVALID, what
        answer = read_reply(wire[:2] + bytes([wire[2] | 0x02]) + wire[3:], ASKED)
        assert answer is not None
        assert answer.status is Status.TRUNCATED, what


@pytest.mark.slow
@given(st.binary(max_size=600), st.sampled_from([ASKED, SERVICES]), st.integers(0, 0xFFFF))
@settings(max_examples=examples(200))
def test_random_bytes_raise_nothing_and_cost_what_they_weigh(
    noise: bytes, asked: Question, answers: int
) -> None:
    for wire in (noise, message(noise, answers, asked)):
        _, lines = counted(lambda wire=wire: ReplyReader().read(wire, "ns1", asked))
        assert lines <= LINES_AT_LEAST + LINES_PER_BYTE * len(wire)


def test_records_with_one_target_cost_its_addresses_once() -> None:
    answer = read_reply(HOSTILE["a target with many addresses"], SERVICES)
    assert answer is not None
    servers = tuple(
        ResolvedServer(slot, 0, "app", f"s{slot}", port=0, weight=1, networks=("10.0.0.0/8",))
        for slot in range(len(answer.services))
    )
    assignment = ServiceAssignment(servers, Family.IPV4, (Family.IPV4,), Holds())
    scored = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal scored
        scored += event == "call" and frame.f_code.co_name == "score"

    sys.setprofile(profile)
    try:
        changes = assignment.valid(answer, 1_000)
    finally:
        sys.setprofile(None)
    assert len(changes) == len(servers)
    assert scored <= 3 * len(answer.services[0].addresses)
