"""The reader of replies against dnspython: the same answer for every message that both accept.

It is wider on purpose than dnspython in these points, and only in these:

- the data of types that bear no address is not looked at (signatures, texts, options of OPT, TSIG);
- records of another class than IN are passed over;
- a pointer may lead to anything before it: dnspython wants what it leads to to end before the name,
  and at most 16 pointers in a row.

And narrower: of a cut message nothing is read behind the first error, and the name in the question
has no compression, as there is nothing before it.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rdata
import dns.renderer
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from resolverd.dns.answer import QueryType, Question, Status, build_query, read_reply
from tests.resolverd.reply_oracle import read_by_oracle
from tests.support.generated import examples

NAMES = ("app.test", "APP.test", "real.test", "a.app.test", "app.test2", "x" * 63 + ".test", ".")
HOSTS = st.sampled_from([f"{name.rstrip('.')}." for name in NAMES])
DATA = {
    "A": st.sampled_from(
        ["127.0.1.1", "127.0.1.2", "127.0.1.3", "0.0.0.0", "224.0.0.1", "255.255.255.255"]
    ),
    "AAAA": st.sampled_from(
        ["::1", "2001:db8::1", "::", "ff02::1", "fe80::1", "::ffff:0.0.0.0", "::ffff:127.0.0.1"]
    ),
    "CNAME": HOSTS,
    "SRV": st.builds(
        "{} {} {} {}".format,
        *[st.sampled_from((0, 1, 80, 65_535))] * 3,
        st.one_of(HOSTS, st.just(r"h\032.test.")),
    ),
    "TXT": st.just("hello"),
    "SOA": st.just("ns.test. root.test. 1 2 3 4 5"),
    "NS": HOSTS,
    "DNAME": HOSTS,
    "RRSIG": st.just("A 8 3 0 20300101000000 20200101000000 1 test. AAAA"),
    "TYPE65280": st.just(r"\# 3 010203"),
}
TTLS = st.sampled_from((0, 1, 60, 0x7FFF_FFFF))
RECORDS = st.sampled_from(sorted(DATA)).flatmap(
    lambda kind: st.tuples(HOSTS, TTLS, st.just(kind), DATA[kind])
)
SECTIONS = st.tuples(*[st.lists(RECORDS, max_size=5)] * 3)
QUESTIONS = st.sampled_from([Question("app.test", each) for each in QueryType])
FLAGS = st.sampled_from((0, dns.flags.AA, dns.flags.TC, dns.flags.RA | dns.flags.AD))
RCODES = st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5, 16, 23))

CUT = dns.flags.TC >> 8  # in the third byte of a message


def rendered(
    question: Question,
    sections: tuple[list[tuple[str, int, str, str]], ...],
    flags: int,
    rcode: int,
) -> bytes:
    """The reply, its records in this very order."""
    query = dns.message.from_wire(build_query(question, 4096))
    reply = dns.message.make_response(query)
    reply.flags |= flags
    reply.set_rcode(rcode)
    renderer = dns.renderer.Renderer(0, reply.flags, 65_535)
    asked = query.question[0]
    renderer.add_question(asked.name, asked.rdtype)
    for number, section in enumerate(sections, 1):
        for owner, ttl, kind, data in section:
            rdata = dns.rdata.from_text("IN", kind, data)
            renderer.add_rrset(number, dns.rrset.from_rdata(owner, ttl, rdata))
    if reply.opt is not None:
        renderer.add_opt(reply.opt)
    renderer.write_header()
    return renderer.get_wire()


@pytest.mark.slow
@given(QUESTIONS, SECTIONS, FLAGS, RCODES)
@settings(max_examples=examples(60))
def test_every_reply_that_is_whole_is_read_alike(
    question: Question,
    sections: tuple[list[tuple[str, int, str, str]], ...],
    flags: int,
    rcode: int,
) -> None:
    wire = rendered(question, sections, flags, rcode)
    assert read_reply(wire, question) == read_by_oracle(wire, question), wire.hex()


@pytest.mark.slow
@given(QUESTIONS, SECTIONS, FLAGS, RCODES, st.data())
@settings(max_examples=examples(120))
def test_a_damaged_reply_is_read_alike_or_by_one_of_them_not_at_all(
    question: Question,
    sections: tuple[list[tuple[str, int, str, str]], ...],
    flags: int,
    rcode: int,
    data: st.DataObject,
) -> None:
    wire = bytearray(rendered(question, sections, flags, rcode))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(wire[: data.draw(st.integers(len(wire) // 2, len(wire)))])
    ours, theirs = read_reply(damaged, question), read_by_oracle(damaged, question)
    if damaged[2] & CUT or ours is None or theirs is None:
        return  # what a cut message brings behind its first error is not read
    ours, theirs = (replace(each, extension_refused=False) for each in (ours, theirs))
    assert ours == theirs or Status.INVALID in (ours.status, theirs.status), damaged.hex()
