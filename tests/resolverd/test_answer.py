"""Replies judged: what matches, which status it has, and that noise is never an answer."""

from __future__ import annotations

import random

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from resolverd.config import Family
from resolverd.dns.answer import (
    Address,
    Answer,
    QueryType,
    Question,
    Status,
    build_query,
    read_reply,
)
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    SERVFAIL,
    TRUNCATED,
    build_reply,
    records,
)
from tests.support.dns.scripted import Answer as Script

ASKED = Question("app.test", QueryType.A)


def reply(script: Script, question: Question = ASKED) -> bytes:
    query = dns.message.from_wire(build_query(question, 512))
    return build_reply(query, script)


def edited(script: Script, *lines: str, question: str | None = "app.test. IN A") -> bytes:
    """A reply whose question and answer section are given as text."""
    message = dns.message.from_wire(reply(script))
    text = ["id 77", "opcode QUERY", f"rcode {message.rcode().name}", "flags QR RD RA", ";QUESTION"]
    text += [question] if question else []
    written = "\n".join([*text, ";ANSWER", *lines])
    return dns.message.from_text(written, one_rr_per_rrset=True).to_wire()  # keeps their order


def test_a_query_has_one_question_recursion_and_the_payload_size() -> None:
    query = dns.message.from_wire(build_query(ASKED, 8192))
    (question,) = query.question
    assert (query.id, question.name.to_text(), question.rdtype.name) == (0, "app.test.", "A")
    assert query.flags == dns.flags.RD
    assert (query.edns, query.payload, query.ednsflags) == (0, 8192, 0)


def test_addresses_come_in_order_and_once() -> None:
    wire = edited(NODATA, *[f"app.test. 0 IN A 127.0.1.{n}" for n in (3, 1, 3, 2)])
    assert read_reply(wire, ASKED) == Answer(
        Status.VALID, addresses("127.0.1.3", "127.0.1.1", "127.0.1.2")
    )


def test_the_time_to_live_is_the_smallest_of_the_chain() -> None:
    alias, owner = "app.test. {} IN CNAME b.test.", "b.test. {} IN A"
    lines = [alias, f"{owner} 127.0.1.1", f"{owner} 127.0.1.2"]
    for lives in ((30, 60, 90), (60, 30, 90), (60, 90, 30), (30, 30, 30)):
        wire = edited(NODATA, *[line.format(ttl) for line, ttl in zip(lines, lives, strict=True)])
        answer = read_reply(wire, ASKED)
        assert answer is not None
        assert answer.ttl_s == 30


def test_a_time_to_live_that_is_none_counts_as_0() -> None:
    wire = bytearray(edited(NODATA, "app.test. 1 IN A 127.0.1.1"))
    place = wire.index(b"\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04") + 4
    wire[place : place + 4] = b"\x80\x00\x00\x01"
    answer = read_reply(bytes(wire), ASKED)
    assert answer is not None
    assert (answer.status, answer.ttl_s) == (Status.VALID, 0)


def test_ipv6_addresses() -> None:
    question = Question("app.test", QueryType.AAAA)
    answer = read_reply(reply(records("2001:db8::0:1"), question), question)
    assert answer is not None
    assert [address.text for address in answer.addresses] == ["2001:db8::1"]
    assert answer.addresses[0].family is Family.IPV6


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (NX, Status.NX),
        (REFUSED, Status.REFUSED),
        (SERVFAIL, Status.OTHER),
        (Script(rcode=dns.rcode.NOTIMP), Status.OTHER),
        (Script(rcode=dns.rcode.BADVERS), Status.OTHER),
        (NODATA, Status.NODATA),
    ],
)
def test_every_error_has_its_status(script: Script, status: Status) -> None:
    refused = script.rcode in (dns.rcode.NOTIMP, dns.rcode.BADVERS)
    assert read_reply(reply(script), ASKED) == Answer(status, extension_refused=refused)


def test_a_cut_message_is_truncated_and_a_broken_one_invalid() -> None:
    broken = reply(records("127.0.1.1", "127.0.1.2"))[:-14]
    assert read_reply(broken, ASKED) == Answer(Status.INVALID)
    cut = broken[:2] + bytes([broken[2] | 0x02]) + broken[3:]
    answer = read_reply(cut, ASKED)  # the records come in any order
    assert answer is not None
    assert (answer.status, answer.partial) == (Status.TRUNCATED, True)
    assert answer.addresses in (addresses("127.0.1.1"), addresses("127.0.1.2"))


def test_of_a_truncated_reply_the_records_present_are_kept() -> None:
    assert read_reply(reply(TRUNCATED), ASKED) == Answer(Status.TRUNCATED, partial=True)
    with_record = reply(Script(records=("127.0.1.1",), truncated=True))
    assert read_reply(with_record, ASKED) == Answer(
        Status.TRUNCATED, addresses("127.0.1.1"), partial=True
    )
    failed = reply(Script(rcode=dns.rcode.NXDOMAIN, truncated=True))
    assert read_reply(failed, ASKED) == Answer(Status.NX)


def test_aliases_are_followed_inside_the_reply() -> None:
    wire = reply(records("127.0.1.1", aliases=("one.test", "two.test")))
    assert read_reply(wire, ASKED) == Answer(Status.VALID, addresses("127.0.1.1"), aliased=True)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["app.test. 0 IN CNAME one.test."], Status.CNAME_ERROR),
        (["app.test. 0 IN CNAME one.test.", "two.test. 0 IN A 127.0.1.1"], Status.CNAME_ERROR),
        (["app.test. 0 IN A 127.0.1.1", "other.test. 0 IN A 127.0.1.2"], Status.CNAME_ERROR),
        (["other.test. 0 IN A 127.0.1.1"], Status.INVALID),
        (["app.test2. 0 IN A 127.0.1.1"], Status.INVALID),
        (["app.test. 0 IN TXT hello"], Status.NODATA),
        (["app.test. 0 IN AAAA ::1"], Status.NODATA),
    ],
)
def test_chains_that_break_and_foreign_owners(lines: list[str], status: Status) -> None:
    assert read_reply(edited(NODATA, *lines), ASKED) == Answer(status)


def test_records_of_other_types_are_passed_over() -> None:
    wire = edited(NODATA, "app.test. 0 IN TXT hello", "app.test. 0 IN A 127.0.1.1")
    assert read_reply(wire, ASKED) == Answer(Status.VALID, addresses("127.0.1.1"))


def test_the_case_of_names_does_not_matter() -> None:
    wire = edited(NODATA, "aPP.Test. 0 IN A 127.0.1.1", question="APP.test. IN A")
    assert read_reply(wire, ASKED) == Answer(Status.VALID, addresses("127.0.1.1"))


@pytest.mark.parametrize(
    "question", ["other.test. IN A", "app.test. IN AAAA", "app.test. CH A", "app.test.a. IN A"]
)
@pytest.mark.parametrize("script", [NODATA, NX])
def test_another_question_is_no_reply_whatever_its_code(question: str, script: Script) -> None:
    assert read_reply(edited(script, question=question), ASKED) is None


def test_a_query_or_another_opcode_is_no_reply() -> None:
    assert read_reply(build_query(ASKED, 512), ASKED) is None
    message = dns.message.from_wire(reply(NX))
    message.set_opcode(dns.opcode.STATUS)
    assert read_reply(message.to_wire(), ASKED) is None


def test_an_error_may_come_without_its_question_but_an_answer_may_not() -> None:
    assert read_reply(edited(REFUSED, question=None), ASKED) == Answer(Status.REFUSED)
    assert read_reply(edited(NODATA, question=None), ASKED) is None


@pytest.mark.slow
def test_random_damage_never_raises() -> None:
    seed = random.randrange(1 << 30)
    generator = random.Random(seed)
    whole = reply(records("127.0.1.1", "127.0.1.2", aliases=("one.test",)))
    for _ in range(3_000):
        wire = bytearray(whole)
        for _ in range(generator.randrange(1, 6)):
            wire[generator.randrange(len(wire))] = generator.randrange(256)
        cut = bytes(wire[: generator.randrange(len(wire) + 1)])
        try:
            for candidate in (bytes(wire), cut):
                read_reply(candidate, ASKED)
        except Exception as error:
            error.add_note(f"seed {seed}, wire {bytes(wire).hex()}")
            raise


def test_addresses_are_parsed_and_written_alike() -> None:
    for text in ("127.0.0.1", "::1", "2001:db8::ff"):
        assert Address.parse(text).text == text
    with pytest.raises(OSError, match="illegal IP address"):
        Address.parse("localhost")
