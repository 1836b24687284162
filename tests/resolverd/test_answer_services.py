"""SRV replies, judged: what records say, what the additional section adds, what is passed over."""

from __future__ import annotations

import random

import dns.message
import dns.rrset
import pytest

from resolverd.dns.answer import (
    Answer,
    QueryType,
    Question,
    ServiceRecord,
    Status,
    build_query,
    read_reply,
)
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import Answer as Script
from tests.support.dns.scripted import build_reply, services

LABEL = "_web._tcp.app.test"
ASKED = Question(LABEL, QueryType.SRV)
QUERY = dns.message.from_wire(build_query(ASKED, 4096))


def read(script: Script) -> Answer:
    answer = read_reply(build_reply(QUERY, script), ASKED)
    assert answer is not None
    return answer


def raw(*lines: str, additional: tuple[str, ...] = ()) -> Answer:
    """A reply whose answer section is exactly this."""
    response = dns.message.make_response(QUERY)
    for section, texts in ((response.answer, lines), (response.additional, additional)):
        for line in texts:
            owner, ttl, rclass, kind, data = line.split(None, 4)
            section.append(dns.rrset.from_text(owner, int(ttl), rclass, kind, data))
    answer = read_reply(response.to_wire(max_size=65_535), ASKED)
    assert answer is not None
    return answer


def by_target(answer: Answer) -> dict[tuple[str, int], ServiceRecord]:
    return {(each.target, each.port): each for each in answer.services}


def test_the_query_asks_for_srv_records() -> None:
    assert QUERY.question[0].to_text() == f"{LABEL}. IN SRV"


def test_records_carry_weight_priority_and_the_addresses_of_their_target() -> None:
    script = services("10 80 H1.Test", "0 81 h2.test", h1_test="127.0.1.1 ::1")
    found = by_target(read(script))
    assert set(found) == {("h1.test", 80), ("h2.test", 81)}
    assert (found["h1.test", 80].weight, found["h1.test", 80].priority) == (10, 0)
    assert set(found["h1.test", 80].addresses) == set(addresses("127.0.1.1", "::1"))
    assert found["h2.test", 81] == ServiceRecord("h2.test", 81, 0)


def test_each_record_of_one_target_has_its_addresses() -> None:
    found = read(services("1 80 h1.test", "1 81 h1.test", h1_test="127.0.1.1")).services
    assert [each.addresses for each in found] == [addresses("127.0.1.1")] * 2


def test_other_types_between_the_records_are_passed_over() -> None:
    answer = raw(
        f"{LABEL}. 0 IN RRSIG SRV 8 3 0 20300101000000 20200101000000 1 test. AAAA",
        f"{LABEL}. 0 IN SRV 0 1 80 h1.test.",
        f"{LABEL}. 0 IN TXT hello",
        f"{LABEL}. 0 IN SRV 0 1 80 h2.test.",
        additional=(
            "h1.test. 0 IN TXT about-h1",
            "h9.test. 0 IN A 127.0.9.9",
            "h2.test. 0 IN A 127.0.1.2",
            "H1.TEST. 0 IN A 127.0.1.1",
            "h1.test.example. 0 IN A 127.0.1.3",
        ),
    )
    assert {each.target: each.addresses for each in answer.services} == {
        "h1.test": addresses("127.0.1.1"),
        "h2.test": addresses("127.0.1.2"),
    }


@pytest.mark.parametrize(
    "data", ["0 1 80 .", "0 1 0 h1.test.", r"0 1 80 h\0321.test.", r"0 1 80 h1\.test."]
)
def test_a_record_that_leads_nowhere_is_passed_over(data: str) -> None:
    assert raw(f"{LABEL}. 0 IN SRV {data}") == Answer(Status.NODATA)
    both = raw(f"{LABEL}. 0 IN SRV {data}", f"{LABEL}. 0 IN SRV 0 1 81 h2.test.")
    assert [each.target for each in both.services] == ["h2.test"]


def test_targets_of_one_label_are_names() -> None:
    assert [each.target for each in read(services("1 80 host1")).services] == ["host1"]


def test_of_a_record_that_is_told_twice_the_greater_weight_holds() -> None:
    lines = [f"{LABEL}. 0 IN SRV 0 {weight} 80 h1.test." for weight in (5, 9, 7)]
    assert raw(*lines).services == (ServiceRecord("h1.test", 80, 9),)


def test_an_alias_of_the_label_is_followed_wherever_it_stands() -> None:
    lines = [f"{LABEL}. 0 IN CNAME other.test.", "other.test. 0 IN SRV 0 1 80 h1.test."]
    for order in (lines, lines[::-1]):
        assert raw(*order) == Answer(
            Status.VALID, aliased=True, services=(ServiceRecord("h1.test", 80, 1),)
        )
    assert raw(lines[0]) == Answer(Status.CNAME_ERROR)


def test_a_cut_reply_has_the_records_that_are_present() -> None:
    whole = build_reply(QUERY, services(*[f"1 {n} h{n}.test" for n in range(1, 30)]))
    for _ in range(50):
        end = random.randrange(80, len(whole))
        wire = whole[:2] + bytes([whole[2] | 0x02]) + whole[3:end]
        answer = read_reply(wire, ASKED)
        assert answer is not None
        assert answer.partial
        assert len(answer.services) < 30
        assert answer.status is (Status.VALID if answer.services else Status.TRUNCATED)


def test_a_thousand_records_are_read() -> None:
    names = [f"{n} {n + 1} h{n}.test" for n in range(1_000)]
    hosts = {f"h{n}_test": f"127.3.{n // 250}.{n % 250 + 1}" for n in range(1_000)}
    answer = read(services(*names, **hosts))
    assert len(answer.services) == 1_000
    assert all(len(each.addresses) == 1 for each in answer.services)


def test_the_time_to_live_is_the_smallest_of_records_and_their_targets_addresses() -> None:
    def life_s(label: int, target: int, stranger: int) -> int:
        additional = (f"h1.test. {target} IN A 127.0.1.1", f"h9.test. {stranger} IN A 127.0.1.9")
        records = (f"{LABEL}. {label} IN SRV 0 1 80 h1.test.",)
        return raw(*records, additional=additional).ttl_s

    assert life_s(60, 30, 5) == 30
    assert life_s(20, 30, 5) == 20
    assert raw(f"{LABEL}. 40 IN CNAME b.test.", "b.test. 50 IN SRV 0 1 80 h1.test.").ttl_s == 40
