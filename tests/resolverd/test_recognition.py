"""Large replies known by comparison: the same answer, read once; whatever differs is read."""

from __future__ import annotations

import random
import struct

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.dns import reply_cache
from resolverd.dns.answer import QueryType, Question, build_query, read_reply
from resolverd.dns.reply_cache import ReplyReader
from resolverd.dns.wire import HEADER, HEADER_BYTES
from tests.support.dns.steps import counted
from tests.support.generated import examples

ASKED = Question("_web._tcp.app.test", QueryType.SRV)
LIFE_S = 60
OPT_BYTES = 11


def reply(count: int = 60, life_s: int = LIFE_S, *, seed: int = 0) -> bytes:
    """SRV records in an order of their own, each with an address."""
    response = dns.message.make_response(dns.message.from_wire(build_query(ASKED, 4096)))
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    for n in numbers:
        for section, owner, kind, data in (
            (response.answer, ASKED.name, "SRV", f"0 {n} 80 h{n}.test."),
            (response.additional, f"h{n}.test", "A", f"127.3.{n // 250}.{n % 250}"),
        ):
            section.append(dns.rrset.from_text(f"{owner}.", life_s, "IN", kind, data))
    return response.to_wire(max_size=65_535)


def records_read(reader: ReplyReader, wire: bytes) -> int:
    """How many lines of the loop over records ran for this answer."""
    return counted(lambda: reader.read(wire, "ns1", ASKED), ("_read_section",))[1]


def test_what_says_the_same_is_not_read_again() -> None:
    reader = ReplyReader()
    first = reader.read(reply(), "ns1", ASKED)
    assert records_read(reader, b"\x12\x34" + reply()[2:]) == 0
    assert reader.read(reply(), "ns1", ASKED) is first


def test_a_reply_that_is_recognised_tells_its_own_time_to_live() -> None:
    reader = ReplyReader()
    reader.read(reply(), "ns1", ASKED)
    for life_s in (59, 1, 0, 300):
        assert records_read(reader, reply(life_s=life_s)) == 0
        answer = reader.read(reply(life_s=life_s), "ns1", ASKED)
        assert answer is not None
        assert answer.ttl_s == life_s
        assert answer == read_reply(reply(life_s=life_s), ASKED)


def test_another_order_other_times_to_live_and_another_nameserver_are_read() -> None:
    reader = ReplyReader()
    reader.read(reply(), "ns1", ASKED)
    shuffled = reply(seed=1)
    assert records_read(reader, shuffled) > 0
    wire = bytearray(shuffled)
    place = wire.index(LIFE_S.to_bytes(4, "big"))
    wire[place : place + 4] = (7).to_bytes(4, "big")
    answer = reader.read(bytes(wire), "ns1", ASKED)
    assert answer is not None
    assert answer.ttl_s == 7
    assert reader.read(shuffled, "ns2", ASKED) == read_reply(shuffled, ASKED)


@given(st.data())
@settings(max_examples=examples(100))
def test_with_any_byte_changed_the_answer_is_that_of_a_reader_without_memory(
    data: st.DataObject,
) -> None:
    whole = reply(20)
    reader = ReplyReader()
    reader.read(whole, "ns1", ASKED)
    for _ in range(5):
        wire = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 3))):
            wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
        assert reader.read(bytes(wire), "ns1", ASKED) == read_reply(bytes(wire), ASKED)


def test_a_target_that_is_written_in_a_time_to_live_is_read_each_time() -> None:
    question = build_query(ASKED, 4096)[HEADER_BYTES:-OPT_BYTES]
    header = HEADER.pack(7, 0x8180, 1, 3, 0, 0)
    place = HEADER_BYTES + len(question) + 6  # of the first TTL, behind owner, type and class

    def named(letter: bytes) -> bytes:
        life = b"\x01" + letter + b"\0\0"  # all of them grow alike
        service = struct.pack(">HHH", 0xC00C, 33, 1) + life
        service += struct.pack(">HHHHH", 8, 0, 1, 80, 0xC000 | place)
        text = struct.pack(">HHH", 0xC00C, 16, 1) + life + struct.pack(">H", 600) + b"\0" * 600
        return header + question + text + service + text

    reader = ReplyReader()
    for letter in (b"a", b"b"):
        answer = reader.read(named(letter), "ns1", ASKED)
        assert answer is not None
        assert [each.target for each in answer.services] == [letter.decode()]


def test_no_more_than_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_cache, "KNOWN_MAX", 3)
    reader = ReplyReader()
    for n in range(5):
        reader.read(reply(), f"ns{n}", ASKED)
    assert [name for name, _ in reader._known] == ["ns2", "ns3", "ns4"]


def test_small_replies_and_cut_ones_are_not_remembered() -> None:
    reader = ReplyReader()
    reader.read(reply(3), "ns1", ASKED)
    whole = reply()
    reader.read(whole[:2] + bytes([whole[2] | 0x02]) + whole[3:], "ns1", ASKED)
    assert not reader._known
