"""Runs that change nothing are repeated by the compiled transport; whatever differs comes back.

Real sockets and a real nameserver; the receiver is the test.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from resolverd.config import Family, Nameserver, ResolversSection, Transport
from resolverd.dns.answer import QueryType, Status, build_query, read_reply
from resolverd.dns.reply_cache import keeps_its_meaning
from resolverd.transport.repeats import form_of
from tests.support.dns import scripted
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import (
    NODATA,
    NX,
    REFUSED,
    TRUNCATED,
    ScriptedNameserver,
    forged,
    records,
)
from tests.support.dns.transport import QUESTION, Shell, shells_closed
from tests.support.generated import examples

ONE, TWO = "127.0.1.1", "127.0.1.2"


@pytest.fixture
def shells() -> Iterator[Callable[..., Shell]]:
    with shells_closed() as make:
        yield make


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver(tcp=True) as running:
        yield running


def line(nameserver: ScriptedNameserver, index: int = 0) -> Nameserver:
    return Nameserver(f"ns{index}", nameserver.host, nameserver.port, index=index)


def kept(
    shells: Callable[..., Shell],
    *nameservers: ScriptedNameserver,
    bounds_ms: tuple[int, int] = (0, 0),
) -> Shell:
    """A shell whose name has been answered once, and is repeated."""
    shell = shells(*(line(each, index) for index, each in enumerate(nameservers)), retry_ms=300)
    shell.repeating, shell.ttl_bounds_ms = True, bounds_ms
    shell.ask()
    shell.until(lambda: shell.kept)
    assert shell.kept == [True]
    return shell


def test_equal_replies_are_not_read_and_say_the_same(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", records(ONE, TWO, aliases=("real.test",)))
    shell = kept(shells, nameserver)
    nameserver.set("app.test", "A", records(TWO, ONE, aliases=("real.test",)))  # rotated
    shell.repeat(40)
    assert len(shell.delivered) == 1
    assert shell.counters == {"0.sent": 41, "0.valid": 41, "0.cname": 41}
    assert {each[:2] for each in shell.repeats} == {(0, Family.IPV4)}
    numbers = [number for number, _ in shell.batches]
    assert shell.batches == [(n, runs) for n in numbers[::2] for runs in (1, 0)], "begun, ended"
    queries = nameserver.queries
    assert len({query.id for query in queries}) > 35, "ids are drawn"
    assert len({query.source for query in queries}) > 8, "ports are drawn"
    assert {query.payload for query in queries} == {512}
    past = shell.transport.take_back(0)
    assert (past.runs, past.nameserver, past.asked_ms) == (40, "ns0", None)
    assert past.ended_ms == shell.repeats[-1][2] == dict(past.heard)["ns0"]
    assert not shell.transport._open


def test_a_time_to_live_is_told_and_makes_no_difference(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver, bounds_ms=(20, 4_000))
    for ttl_s, pause_ms in ((0, 20), (3, 3_000), (900, 4_000)):
        nameserver.set("app.test", "A", scripted.Answer((ONE,), ttl=ttl_s))
        shell.transport.serve_repeats(shell.transport.next_repeat_ms() or 0)
        shell.until(lambda ttl_s=ttl_s: len(shell.repeats) == (0, 3, 900).index(ttl_s) + 1)
        due_ms = shell.transport.next_repeat_ms()
        assert due_ms is not None
        assert 0.9 * pause_ms <= due_ms - shell.repeats[-1][2] <= pause_ms


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (records(TWO), Status.VALID),
        (records(ONE, TWO), Status.VALID),
        (records(ONE, aliases=("real.test",)), Status.VALID),
        (NX, Status.NX),
        (NODATA, Status.NODATA),
        (REFUSED, Status.REFUSED),
    ],
)
def test_another_reply_gives_the_name_back_and_is_passed_on(
    shells: Callable[..., Shell],
    nameserver: ScriptedNameserver,
    answer: scripted.Answer,
    status: Status,
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    shell.repeat(2)
    shell.repeating = False
    nameserver.set("app.test", "A", answer)
    shell.transport.serve_repeats(shell.now_ms)
    shell.until(lambda: len(shell.delivered) == 2)
    key, name, kind, answered = shell.delivered[1]
    assert (key, name, kind, answered.status) == (0, "ns0", QueryType.A, status)
    past = shell.given_back[0]
    assert past.runs == 2
    assert past.asked_ms is not None
    assert past.asked_ms >= past.ended_ms
    assert shell.transport.next_repeat_ms() is None
    assert shell.counters["0.sent"] == 4
    assert shell.counters[f"0.{status.counter}"] == (4 if status is Status.VALID else 1)


def test_a_cut_reply_is_asked_for_again_over_tcp(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    shell.repeating = False
    nameserver.set("app.test", "A", TRUNCATED)
    nameserver.set("app.test", "A", records(ONE, TWO), over="tcp")
    shell.transport.serve_repeats(shell.now_ms)
    shell.until(lambda: len(shell.delivered) == 2)
    answer = shell.delivered[1][3]
    assert (answer.status, set(answer.addresses)) == (Status.VALID, set(addresses(ONE, TWO)))
    assert shell.fetched == [0]


def test_silence_gives_the_name_back_with_its_question_open(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    shell.repeating = False
    nameserver.set("app.test", "A", records(ONE, delay_s=0.6))
    shell.transport.serve_repeats(shell.now_ms)
    due_ms = shell.transport.next_repeat_ms()
    assert due_ms is not None
    shell.transport.serve_repeats(due_ms - 1)
    assert not shell.given_back
    shell.transport.serve_repeats(due_ms)
    past = shell.given_back[0]
    assert past.asked_ms == due_ms - 300
    shell.transport.unanswered(0, ("ns0",))
    shell.until(lambda: len(shell.delivered) == 2)  # late, and not lost
    assert shell.counters == {"0.sent": 2, "0.timeout": 1, "0.valid": 2}


def test_an_answer_in_the_socket_counts_though_its_time_has_passed(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    nameserver.forget()
    shell.transport.serve_repeats(shell.now_ms)
    nameserver.wait_queries(1)
    deadline = time.monotonic() + 10
    while (
        not shell.repeats and time.monotonic() < deadline
    ):  # the process was stopped: no loop runs
        shell.transport.serve_repeats(shell.now_ms + 300)
        if shell.given_back:
            pytest.skip("the reply was not there yet")
    assert shell.repeats


def test_the_first_of_two_nameservers_counts_and_the_other_is_outdated(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    with ScriptedNameserver("127.0.0.2") as slow:
        nameserver.set("app.test", "A", ONE)
        slow.set("app.test", "A", records(ONE, delay_s=0.05))
        shell = kept(shells, nameserver, slow)
        shell.repeat()
        shell.until(lambda: shell.counters["1.outdated"] == 2)
        shell.transport.unanswered(7, ("ns0", "ns1"))  # the attempt of another name
        shell.repeat(2)
        shell.until(lambda: shell.counters["1.outdated"] == 4)
        assert shell.heard_again == ["ns0"], "once, and of the one that has answered"
        slow.set("app.test", "A", TWO)  # lies, and is late
        nameserver.set("app.test", "A", records(ONE, delay_s=0.2))
        shell.repeating = False
        shell.transport.serve_repeats(shell.now_ms)
        shell.until(lambda: len(shell.delivered) == 3)
        assert [each[1] for each in shell.delivered] == ["ns0", "ns1", "ns0"]  # both are open


def test_a_nameserver_that_cannot_be_asked_gives_the_name_back(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    nobody = Nameserver("nobody", "255.255.255.255", index=1)  # EACCES without SO_BROADCAST
    shell = shells(line(nameserver), nobody)
    shell.repeating = True
    shell.ask()
    shell.until(lambda: shell.kept)
    shell.repeating = False
    shell.transport.serve_repeats(shell.now_ms)
    assert shell.given_back[0].unsent == ("nobody",)
    shell.until(lambda: len(shell.delivered) == 2)
    assert shell.counters["1.snd_error"] == 2


def test_without_places_names_are_given_back_unasked(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    shell.admits = False
    shell.transport.serve_repeats(shell.now_ms)
    assert shell.given_back[0].asked_ms is None
    assert shell.counters["0.sent"] == 1


def test_other_nameservers_take_what_is_asked_now_and_get_the_next_run(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    shell = kept(shells, nameserver)
    with ScriptedNameserver("127.0.0.2") as other:
        other.set("app.test", "A", ONE)
        section = ResolversSection("r1", (line(other, 1),))
        shell.transport.follow(section)
        assert not shell.given_back
        shell.transport.serve_repeats(shell.now_ms)
        assert shell.given_back[0].asked_ms is None  # it comes back when it is due, and unasked
        shell.given_back.clear()
        shell.ask()
        shell.until(lambda: len(shell.kept) == 2)
        shell.transport.serve_repeats(shell.now_ms)
        shell.transport.follow(ResolversSection("r1", (line(nameserver),)))
        assert shell.given_back[0].asked_ms is not None
        shell.repeating = False
        shell.until(lambda: len(shell.delivered) == 3)  # the former one's answer counts
        assert shell.delivered[2][1] == "ns1"


def test_a_nameserver_without_edns_is_asked_without_it(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    def plain_only(query: dns.message.Message) -> list[bytes]:
        reply = dns.message.make_response(query)
        if query.edns >= 0:
            reply.set_rcode(dns.rcode.FORMERR)
            reply.use_edns(False)
        else:
            reply.answer.append(dns.rrset.from_text("app.test.", 0, "IN", "A", ONE))
        return [reply.to_wire()]

    nameserver.set("app.test", "A", forged(plain_only))
    shell = shells(line(nameserver))
    shell.repeating = True
    shell.ask()
    shell.until(lambda: shell.kept)
    assert shell.kept == [False]  # it was refused: the next run is asked for in another way
    shell.ask()
    shell.until(lambda: len(shell.kept) == 2)
    shell.repeat(3)
    assert [query.payload for query in nameserver.queries] == [512, None, None, None, None, None]


def test_nothing_is_repeated_where_a_nameserver_is_asked_over_tcp(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", ONE)
    over_tcp = Nameserver("t", nameserver.host, nameserver.port, Transport.TCP, index=1)
    shell = shells(line(nameserver), over_tcp)
    shell.repeating = True
    shell.ask()
    shell.until(lambda: shell.kept)
    assert shell.kept == [False]


def reply_with(chance: random.Random) -> bytes:
    """A reply as some nameserver might send it."""
    query = dns.message.from_wire(build_query(QUESTION, chance.choice((None, 1232))))
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    owner = "app.test."
    for number in range(chance.choice((0, 0, 1, 2))):
        alias = f"alias{number}.test."
        reply.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", alias))
        owner = alias
    data = [f"127.0.1.{n}" for n in chance.sample(range(1, 250), chance.randrange(1, 6))]
    reply.answer.append(dns.rrset.from_text(owner, chance.randrange(100), "IN", "A", *data))
    if chance.random() < 0.3:
        reply.authority.append(dns.rrset.from_text("test.", 60, "IN", "NS", "ns.app.test."))
    return reply.to_wire()


def said(wire: bytes) -> object:
    answer = read_reply(wire, QUESTION)
    if answer is None:
        return None
    return answer.status, set(answer.addresses), answer.aliased, answer.partial, answer.unusable


def test_replies_of_one_form_say_the_same(seed: int) -> None:
    """Of messages that differ in some bytes, those of an equal form are equal answers."""
    equal = 0
    for number in range(seed, seed + examples(400)):
        chance = random.Random(number)
        wire = reply_with(chance)
        assert keeps_its_meaning(wire, QUESTION)
        form = form_of(wire)
        assert form is not None
        for _ in range(60):
            mutated = bytearray(wire)
            for _ in range(chance.choice((1, 1, 2, 4))):
                mutated[chance.randrange(len(wire))] = chance.choice((0, 1, 4, 12, 192, 255))
            if form_of(bytes(mutated)) == form:
                equal += 1
                assert said(bytes(mutated)) == said(wire), f"seed {number}: {mutated.hex()}"
    assert equal > 0


def test_a_pointer_into_what_may_differ_has_no_lasting_meaning() -> None:
    """The owner of a second record leads into the address of the first."""
    wire = bytearray(reply_with(random.Random(3)))
    query = build_query(QUESTION, None)
    first = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x03app"
    place = 0xC000 | len(query) + 12
    second = place.to_bytes(2, "big") + b"\0\1\0\1\0\0\0\0\0\4\x7f\0\1\2"
    wire = bytearray(query + first + second)
    wire[2:4], wire[6:8] = b"\x81\x80", b"\0\2"
    assert not keeps_its_meaning(bytes(wire), QUESTION)
