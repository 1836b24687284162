"""Replies that were misread by others, or might be: each is one message and what it means."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdata
import dns.renderer
import dns.rrset
import pytest

from resolverd.config import Nameserver
from resolverd.dns.answer import (
    Answer,
    QueryType,
    Question,
    ServiceRecord,
    Status,
    build_query,
    read_reply,
)
from resolverd.dns.wire import HEADER_BYTES, NAME_MAX
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import ScriptedNameserver, services
from tests.support.dns.transport import Shell, shells_closed

OPT_BYTES = 11
ASKED = Question("app.test", QueryType.A)
LABEL = Question("_web._tcp.app.test", QueryType.SRV)
SIGNATURE = "RRSIG A 8 3 0 20300101000000 20200101000000 1 test. AAAA"
STRANGERS = (
    "app.test. TXT 127.9.9.9",
    f"app.test. {SIGNATURE}",
    "app.test. TYPE65280 \\# 4 7f090909",
    "app.test. NS ns.test.",
    ". TXT root",
)
ONE = addresses("127.0.1.1")


def rendered(
    question: Question,
    answer: tuple[str, ...] = (),
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
    *,
    extensions: int = 1,
    rcode: int = 0,
) -> bytes:
    """A reply with these records in this order, "owner type data" each."""
    query = dns.message.from_wire(build_query(question, 4096))
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    renderer = dns.renderer.Renderer(0, reply.flags, 65_535)
    renderer.add_question(query.question[0].name, query.question[0].rdtype)
    for number, section in enumerate((answer, authority, additional), 1):
        for text in section:
            owner, kind, data = text.split(None, 2)
            rdata = dns.rdata.from_text("IN", kind, data)
            renderer.add_rrset(number, dns.rrset.from_rdata(owner, 0, rdata))
    for _ in range(extensions):
        assert reply.opt is not None
        renderer.add_opt(reply.opt)
    renderer.write_header()
    return renderer.get_wire()


def between(*wanted: str) -> tuple[str, ...]:
    """The records with all that is none of our business around each of them."""
    return tuple(text for each in wanted for text in (*STRANGERS, each, *STRANGERS))


def test_strangers_in_every_section_hide_nothing() -> None:
    found = read_reply(
        rendered(ASKED, between("app.test. A 127.0.1.1"), STRANGERS, STRANGERS), ASKED
    )
    assert found == Answer(Status.VALID, ONE)
    host = between("h1.test. A 127.0.1.1")
    wire = rendered(LABEL, between(f"{LABEL.name}. SRV 0 1 80 h1.test."), STRANGERS, host)
    assert read_reply(wire, LABEL) == Answer(
        Status.VALID, services=(ServiceRecord("h1.test", 80, 1, 0, ONE),)
    )


def test_an_extension_before_the_addresses_of_the_targets_hides_nothing() -> None:
    wire = rendered(
        LABEL, (f"{LABEL.name}. SRV 0 1 80 h1.test.",), (), ("h1.test. A 127.0.1.1",), extensions=0
    )
    extension = build_query(LABEL, 4096)[-OPT_BYTES:]
    host = wire.rindex(b"\x02h1")
    moved = wire[: HEADER_BYTES - 1] + b"\x02" + wire[HEADER_BYTES:host] + extension + wire[host:]
    found = read_reply(moved, LABEL)
    assert found is not None
    assert found.services[0].addresses == ONE


def test_owners_in_another_case_belong_to_the_name() -> None:
    chain = ("APP.tEST. CNAME rEAL.Test.", "ReaL.teSt. A 127.0.1.1")
    assert read_reply(rendered(ASKED, chain), ASKED) == Answer(Status.VALID, ONE, aliased=True)


@pytest.mark.parametrize("length", [63, 62, 1])
def test_labels_as_long_as_letters_are_high_are_no_letters(length: int) -> None:
    asked = Question(f"{'A' * length}.test", QueryType.A)
    found = read_reply(rendered(asked, (f"{'a' * length}.TEST. A 127.0.1.1",)), asked)
    assert found == Answer(Status.VALID, ONE)


def test_names_of_the_greatest_length_are_names_and_longer_ones_are_not() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * (NAME_MAX - 2 - 3 * 64)])
    asked = Question(longest, QueryType.A)
    assert len(build_query(asked, 512)) == HEADER_BYTES + NAME_MAX + 4 + OPT_BYTES
    found = read_reply(rendered(asked, (f"{longest}. A 127.0.1.1",)), asked)
    assert found == Answer(Status.VALID, ONE)
    with pytest.raises(ValueError, match="longer than 255 bytes"):
        build_query(Question(longest + "b", QueryType.A), 512)
    with pytest.raises(ValueError, match="long label"):
        build_query(Question("a" * 64, QueryType.A), 512)


def test_a_dot_at_the_end_of_a_name_changes_nothing() -> None:
    dotted = Question("app.test.", QueryType.A)
    assert build_query(dotted, 512) == build_query(ASKED, 512)
    assert read_reply(rendered(ASKED, ("app.test. A 127.0.1.1",)), dotted) == Answer(
        Status.VALID, ONE
    )


@pytest.mark.parametrize(
    "owner", ["app.test2.", "app.", "pp.test.", "app.test.a.", "xapp.test.", "."]
)
def test_a_name_that_begins_or_ends_alike_is_another(owner: str) -> None:
    assert read_reply(rendered(ASKED, (f"{owner} A 127.9.9.9",)), ASKED) == Answer(Status.INVALID)
    both = ("app.test. A 127.0.1.1", f"{owner} A 127.9.9.9")
    assert read_reply(rendered(ASKED, both), ASKED) == Answer(Status.CNAME_ERROR)


@pytest.mark.parametrize(
    ("rcode", "status"), [(16, Status.OTHER), (19, Status.OTHER), (3, Status.NX)]
)
def test_the_upper_bits_of_the_code_are_in_the_extension(rcode: int, status: Status) -> None:
    wire = rendered(ASKED, ("app.test. A 127.0.1.1",), rcode=rcode)
    assert read_reply(wire, ASKED) == Answer(status, extension_refused=rcode == 16)


def test_two_extensions_or_one_out_of_place_are_no_message() -> None:
    record = ("app.test. A 127.0.1.1",)
    assert read_reply(rendered(ASKED, record, extensions=2), ASKED) == Answer(Status.INVALID)
    wire = rendered(ASKED, record)
    swapped = wire[:7] + b"\x02" + wire[8:11] + b"\x00" + wire[12:]  # all records are answers now
    assert read_reply(swapped, ASKED) == Answer(Status.INVALID)


@pytest.mark.parametrize(
    ("order", "status"),
    [
        (("app.test. CNAME b.test.", "b.test. A 127.0.1.1"), Status.VALID),
        (("b.test. A 127.0.1.1", "app.test. CNAME b.test."), Status.VALID),
        (
            ("app.test. CNAME b.test.", "c.test. A 127.0.1.1", "b.test. CNAME c.test."),
            Status.VALID,
        ),
        (("app.test. CNAME app.test.",), Status.CNAME_ERROR),
        (("app.test. CNAME b.test.", "b.test. CNAME app.test."), Status.CNAME_ERROR),
        (
            ("app.test. CNAME b.test.", "app.test. CNAME c.test.", "b.test. A 127.0.1.1"),
            Status.CNAME_ERROR,
        ),
    ],
)
def test_aliases_are_followed_by_their_owners(order: tuple[str, ...], status: Status) -> None:
    found = read_reply(rendered(ASKED, order), ASKED)
    assert found is not None
    assert found.status is status


SOA = "SOA ns.test. root.test. 1 2 3 4 5"
ALIAS = "app.test. CNAME b.zone.test."


@pytest.mark.parametrize(
    ("answer", "authority", "status"),
    [
        ((ALIAS,), (f"zone.test. {SOA}",), Status.NODATA),
        ((ALIAS,), (f"b.zone.test. {SOA}",), Status.NODATA),
        ((ALIAS,), (f". {SOA}", "zone.test. NS ns.test."), Status.NODATA),
        ((ALIAS,), (), Status.CNAME_ERROR),
        ((ALIAS,), (f"one.test. {SOA}",), Status.CNAME_ERROR),  # says nothing of that name
        ((ALIAS,), (f"a.b.zone.test. {SOA}",), Status.CNAME_ERROR),
        ((ALIAS,), ("zone.test. NS ns.test.",), Status.CNAME_ERROR),
        ((ALIAS, "b.zone.test. CNAME app.test."), (f"test. {SOA}",), Status.CNAME_ERROR),
        ((), (f"test. {SOA}", "test. NS ns.test."), Status.NODATA),
        ((), (), Status.NODATA),
        ((), ("test. NS ns.test.",), Status.OTHER),  # a referral
        ((), (". NS ns.test.",), Status.OTHER),  # and one upward
    ],
)
@pytest.mark.parametrize("question", [ASKED, Question("app.test", QueryType.SRV)])
def test_what_nothing_means_says_the_zone(
    question: Question, answer: tuple[str, ...], authority: tuple[str, ...], status: Status
) -> None:
    assert read_reply(rendered(question, answer, authority), question) == Answer(status)


def test_who_answers_with_authority_refers_nobody() -> None:
    wire = rendered(ASKED, (), ("test. NS ns.test.",))
    authoritative = wire[:2] + bytes([wire[2] | 0x04]) + wire[3:]
    assert read_reply(authoritative, ASKED) == Answer(Status.NODATA)


def test_a_service_that_is_not_available_by_an_alias_is_none() -> None:
    lines = (f"{LABEL.name}. CNAME other.test.", "other.test. SRV 0 0 0 .")
    assert read_reply(rendered(LABEL, lines), LABEL) == Answer(Status.NODATA)


def test_an_address_that_is_told_twice_is_one() -> None:
    twice = ("app.test. A 127.0.1.1",) * 2
    assert read_reply(rendered(ASKED, twice), ASKED) == Answer(Status.VALID, ONE)
    host = ("h1.test. A 127.0.1.1",) * 2
    wire = rendered(LABEL, (f"{LABEL.name}. SRV 0 1 80 h1.test.",), (), host)
    found = read_reply(wire, LABEL)
    assert found is not None
    assert found.services[0].addresses == ONE


@pytest.mark.parametrize("priority", [0, 65_535])
@pytest.mark.parametrize("weight", [0, 65_535])
@pytest.mark.parametrize("port", [1, 65_535])
def test_the_extremes_of_a_service_are_kept(priority: int, weight: int, port: int) -> None:
    wire = rendered(LABEL, (f"{LABEL.name}. SRV {priority} {weight} {port} h1.test.",))
    assert read_reply(wire, LABEL) == Answer(
        Status.VALID, services=(ServiceRecord("h1.test", port, weight, priority),)
    )


def test_a_service_that_is_decidedly_not_available_has_no_record() -> None:
    """RFC 2782: the target "." says so; HAProxy would look for a host without a name."""
    assert read_reply(rendered(LABEL, (f"{LABEL.name}. SRV 0 0 0 .",)), LABEL) == Answer(
        Status.NODATA
    )


def test_a_thousand_services_with_addresses_come_over_tcp() -> None:
    script = services(
        *[f"{n} {n + 1} h{n}.test" for n in range(1_000)],
        **{f"h{n}_test": f"127.3.{n // 250}.{n % 250 + 1}" for n in range(1_000)},
    )
    with ScriptedNameserver(tcp=True, truncates=True) as nameserver, shells_closed() as shells:
        nameserver.set(LABEL.name, "SRV", script)
        shell: Shell = shells(Nameserver("ns0", nameserver.host, nameserver.port))
        shell.ask(question=LABEL)
        shell.until(lambda: shell.delivered)
        ((_, _, _, answer),) = shell.delivered
    assert len({(each.target, each.port) for each in answer.services}) == 1_000
    assert all(len(each.addresses) == 1 for each in answer.services)
    assert [query.over for query in nameserver.queries] == ["udp", "tcp"]
