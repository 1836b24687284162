"""Questions over TCP, by configuration or after a cut reply, against real nameservers."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import dns.message
import pytest

from resolverd.config import Nameserver
from resolverd.config import Transport as Carrier
from resolverd.dns.answer import Answer, QueryType, Question, Status
from resolverd.transport import tcp as nameserver_streams
from resolverd.transport.tcp import PIPELINE_MAX, STREAMS_MAX
from tests.support.dns.resolution import addresses
from tests.support.dns.scripted import (
    NX,
    SILENT,
    TRUNCATED,
    ScriptedNameserver,
    build_reply,
    forged,
    records,
    services,
)
from tests.support.dns.scripted import Answer as Script
from tests.support.dns.transport import RETRY_MS, Shell, shells_closed
from tests.support.servers import Blackhole

ONE = "127.0.1.1"
MANY = [f"127.3.{n // 250}.{n % 250 + 1}" for n in range(1_000)]
VALID = Answer(Status.VALID, addresses(ONE))


@pytest.fixture
def shells() -> Iterator[Callable[..., Shell]]:
    with shells_closed() as make:
        yield make


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver(tcp=True, truncates=True) as started:
        started.set("app.test", "A", ONE)
        yield started


def over_udp(nameserver: ScriptedNameserver) -> Nameserver:
    return Nameserver("ns0", nameserver.host, nameserver.port)


def over_tcp(nameserver: ScriptedNameserver) -> Nameserver:
    return Nameserver("ns0", nameserver.host, nameserver.port, Carrier.TCP)


def answers(shell: Shell) -> list[Answer]:
    return [answer for _, _, _, answer in shell.delivered]


def test_a_cut_reply_is_asked_for_again_over_tcp_at_once(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", MANY)
    shell = shells(over_udp(nameserver))
    shell.ask()
    shell.until(lambda: shell.delivered)
    (answer,) = answers(shell)
    assert (answer.status, answer.partial) == (Status.VALID, False)
    assert set(answer.addresses) == set(addresses(*MANY))
    first, second = nameserver.queries
    assert (first.over, second.over) == ("udp", "tcp")
    assert second.at - first.at < RETRY_MS / 2_000, "it is no retry"
    assert shell.fetched == [0]
    assert shell.counters == {"0.sent": 1, "0.valid": 1}


def test_a_reply_larger_than_accepted_is_asked_for_again_too(
    shells: Callable[..., Shell],
) -> None:
    with ScriptedNameserver(tcp=True) as careless:
        careless.set("app.test", "A", MANY[:100])
        shell = shells(over_udp(careless))
        shell.ask()
        shell.until(lambda: shell.delivered)
        assert set(answers(shell)[0].addresses) == set(addresses(*MANY[:100]))
        assert shell.counters == {"0.sent": 1, "0.too_big": 1, "0.valid": 1}


def test_an_error_over_tcp_is_that_error(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", TRUNCATED)
    nameserver.set("app.test", "A", NX, over="tcp")
    shell = shells(over_udp(nameserver))
    shell.ask()
    shell.until(lambda: shell.delivered)
    assert answers(shell) == [Answer(Status.NX)]
    assert shell.counters == {"0.sent": 1, "0.nx": 1}


def test_without_tcp_the_records_of_a_cut_reply_are_handed_on(
    shells: Callable[..., Shell],
) -> None:
    with ScriptedNameserver() as no_tcp:
        no_tcp.set("app.test", "A", Script(records=(ONE,), truncated=True))
        shell = shells(over_udp(no_tcp))
        shell.ask()
        shell.until(lambda: shell.delivered)
        assert answers(shell) == [Answer(Status.TRUNCATED, addresses(ONE), partial=True)]
        shell.ask(1)  # no connect for a second: told at once
        shell.until(lambda: len(shell.delivered) == 2)
        assert shell.counters == {"0.sent": 2, "0.truncated": 2}


def test_of_a_cut_srv_reply_the_records_count(shells: Callable[..., Shell]) -> None:
    with ScriptedNameserver() as no_tcp:
        script = services("1 80 h1.test", h1_test=ONE)
        no_tcp.set("_a._tcp.test", "SRV", Script(script.records, truncated=True))
        shell = shells(over_udp(no_tcp))
        shell.ask(0, Question("_a._tcp.test", QueryType.SRV))
        shell.until(lambda: shell.delivered)
        (answer,) = answers(shell)
        assert (answer.status, answer.partial) == (Status.VALID, True)
        assert [(each.target, each.port) for each in answer.services] == [("h1.test", 80)]
        assert shell.counters == {"0.sent": 1, "0.truncated": 1}


@pytest.mark.slow
def test_silence_over_tcp_counts_as_truncated_after_the_time_of_a_retry(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", TRUNCATED)
    nameserver.set("app.test", "A", SILENT, over="tcp")
    shell = shells(over_udp(nameserver), retry_ms=300)
    started = time.monotonic()
    shell.ask()
    shell.until(lambda: shell.fetched)
    shell.until(lambda: shell.delivered)
    assert time.monotonic() - started >= 0.3
    assert answers(shell) == [Answer(Status.TRUNCATED, partial=True)]
    shell.ask(1)  # the connection that stayed silent gets no other question
    shell.until(lambda: len(nameserver.queries) == 4)
    shell.until(lambda: len(nameserver.connections) == 2)


@pytest.mark.slow
def test_a_run_that_ends_ends_its_questions_over_tcp(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", TRUNCATED)
    nameserver.set("app.test", "A", records(ONE, delay_s=0.2), over="tcp")
    shell = shells(over_udp(nameserver), retry_ms=300)
    shell.ask()
    shell.until(lambda: shell.fetched)
    shell.transport.close_run(0)
    nameserver.set("app.test", "A", records(ONE, delay_s=0.5))
    shell.ask(1)
    shell.until(lambda: shell.delivered)
    assert [key for key, _, _, _ in shell.delivered] == [1]
    assert shell.counters["0.outdated"] == 1
    assert not shell.transport._fetches


def test_questions_share_few_connections_each_under_its_own_id(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", records(ONE, delay_s=0.02))
    shell = shells(over_tcp(nameserver))
    for key in range(200):
        assert shell.ask(key) == []
    shell.until(lambda: len(shell.delivered) == 200)
    assert {query.over for query in nameserver.queries} == {"tcp"}
    assert len(nameserver.connections) <= STREAMS_MAX
    assert len({query.id for query in nameserver.queries}) > 190
    by_connection: dict[tuple[str, int], list[float]] = {}
    for query in nameserver.queries:
        by_connection.setdefault(query.source, []).append(query.at)
    for times in by_connection.values():  # the fifth comes after an answer, 20 ms later
        for early, late in zip(times, times[PIPELINE_MAX:], strict=False):
            assert late - early >= 0.015
    assert shell.counters == {"0.sent": 200, "0.valid": 200}


@pytest.mark.slow
def test_a_question_whose_connection_ends_is_asked_once_more(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(over_tcp(nameserver))
    nameserver.set("app.test", "A", SILENT)
    shell.ask()
    shell.until(lambda: len(nameserver.queries) == 1)
    nameserver.hang_up()
    shell.until(lambda: len(nameserver.queries) == 2)
    assert shell.lost_questions == []
    began = time.monotonic()
    nameserver.hang_up()
    shell.until(lambda: shell.lost_questions)
    assert shell.lost_questions == [(0, "ns0")]
    assert shell.counters == {"0.sent": 1, "0.snd_error": 1}
    nameserver.set("app.test", "A", ONE)
    assert shell.ask(1) == ["ns0"], "nobody connects for a second"
    shell.until(lambda: not shell.ask(2))
    assert time.monotonic() - began >= 0.99  # the clock of the loop goes by whole milliseconds
    shell.until(lambda: shell.delivered)
    assert answers(shell) == [VALID]


def test_a_nameserver_that_refuses_loses_all_questions_at_once(
    shells: Callable[..., Shell],
) -> None:
    with ScriptedNameserver() as no_tcp:
        shell = shells(over_tcp(no_tcp))
        for key in range(100):
            assert shell.ask(key) == []
        shell.until(lambda: len(shell.lost_questions) == 100)
        assert shell.ask() == ["ns0"]
        assert shell.counters == {"0.sent": 100, "0.snd_error": 101}


@pytest.mark.slow
def test_a_connection_that_does_not_come_about_in_time_is_given_up(
    shells: Callable[..., Shell],
) -> None:
    with Blackhole() as silent:
        shell = shells(Nameserver("ns0", "127.0.0.1", silent.port, Carrier.TCP))
        shell.transport._streams["ns0"]._connect_timeout_s = 0.1
        assert shell.ask() == []
        shell.until(lambda: shell.lost_questions)


def test_what_does_not_match_is_counted_and_ends_nothing_over_tcp_either(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    def answer(query: dns.message.Message) -> list[bytes]:
        good = build_reply(query, records(ONE))
        wrong_id = (query.id ^ 1).to_bytes(2, "big") + good[2:]
        return [b"", b"\x00", wrong_id, good.replace(b"\x03app", b"\x03apq"), good, good]

    nameserver.set("app.test", "A", forged(answer))
    shell = shells(over_tcp(nameserver))
    shell.ask()
    shell.until(lambda: shell.counters["0.outdated"] == 2)
    assert answers(shell) == [VALID]
    assert shell.counters == {"0.sent": 1, "0.outdated": 2, "0.invalid": 3, "0.valid": 1}


@pytest.mark.slow
def test_a_nameserver_that_takes_one_question_on_a_connection_answers_all(
    shells: Callable[..., Shell],
) -> None:
    count = 60
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                with accepted, accepted.makefile("rb") as incoming, suppress(OSError):
                    size = int.from_bytes(incoming.read(2), "big")
                    if size == 0:
                        continue
                    query = dns.message.from_wire(incoming.read(size))
                    reply = build_reply(query, records(ONE))
                    accepted.sendall(len(reply).to_bytes(2, "big") + reply)

        thread = threading.Thread(target=serve)
        thread.start()
        host, port = listening.getsockname()
        shell = shells(Nameserver("ns0", host, port, Carrier.TCP))
        for key in range(count):
            shell.ask(key)
        shell.until(lambda: len(shell.delivered) + len(shell.lost_questions) == count)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert shell.lost_questions == []
    assert answers(shell) == [VALID] * count


def test_a_connection_that_is_given_up_hands_on_what_has_not_expired(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(over_tcp(nameserver))
    full = PIPELINE_MAX * STREAMS_MAX
    for key in range(full + 1):
        nameserver.set(f"n{key}.test", "A", SILENT)
    for key in range(full):
        shell.ask(key, Question(f"n{key}.test", QueryType.A))
    shell.until(lambda: len(nameserver.queries) == full)
    shell.transport.unanswered(0, ("ns0",))  # the connection of the first questions is retired
    shell.ask(full, Question(f"n{full}.test", QueryType.A))  # and given up for this one
    shell.until(lambda: len(nameserver.queries) == full + PIPELINE_MAX)
    times = [len(nameserver.asked(f"n{key}.test")) for key in range(full + 1)]
    assert times == [1, *[2] * (PIPELINE_MAX - 1), *[1] * (full - PIPELINE_MAX + 1)]


def test_an_idle_connection_is_used_again_and_closed_after_a_while(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nameserver_streams, "IDLE_S", 0.3)
    shell = shells(over_tcp(nameserver))
    for key in range(3):
        shell.ask(key)
        shell.until(lambda: len(shell.delivered) == len(nameserver.queries) > 0)
    assert len(nameserver.connections) == 1
    shell.until(lambda: not shell.transport._streams["ns0"]._streams)
    shell.ask(9)
    shell.until(lambda: len(nameserver.connections) == 2)


@pytest.mark.slow
def test_a_silent_nameserver_holds_back_nobody_for_ever(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    nameserver.set("app.test", "A", SILENT)
    shell = shells(over_tcp(nameserver))
    for key in range(STREAMS_MAX * PIPELINE_MAX):
        shell.ask(key)
    shell.until(lambda: len(nameserver.queries) == STREAMS_MAX * PIPELINE_MAX)
    nameserver.set("app.test", "A", ONE)
    shell.ask(1_000)
    for key in range(STREAMS_MAX * PIPELINE_MAX):  # the time of their retry has come
        shell.transport.unanswered(key, ("ns0",))
    shell.until(lambda: shell.delivered)
    assert [key for key, _, _, _ in shell.delivered] == [1_000]
    assert len(shell.transport._streams["ns0"]._streams) <= STREAMS_MAX


def test_without_a_descriptor_a_question_is_lost_and_nothing_else(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    shell = shells(over_tcp(nameserver))
    shell.ask(0)
    shell.until(lambda: shell.delivered)
    shell.transport._streams["ns0"].close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def ask_without_descriptors() -> None:
        probe = os.dup(0)
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
        try:
            shell.ask(1)
            while not shell.lost_questions:
                await asyncio.sleep(0.002)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    shell.loop.run_until_complete(asyncio.wait_for(ask_without_descriptors(), 5))
    assert shell.lost_questions == [(1, "ns0")]
    assert len(shell.delivered) == 1


@pytest.mark.parametrize("carrier", list(Carrier))
def test_a_link_local_nameserver_whose_interface_is_gone_is_as_one_that_is_down(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver, carrier: Carrier
) -> None:
    gone = Nameserver("gone", "fe80::1%nosuch", 53, carrier, index=1)
    shell = shells(over_udp(nameserver), gone)
    unsent = shell.ask()
    shell.until(lambda: shell.delivered and shell.counters["1.snd_error"])
    assert answers(shell) == [VALID]
    assert [*unsent, *(name for _, name in shell.lost_questions)] == ["gone"]


def test_a_thousand_srv_records_come_whole(
    shells: Callable[..., Shell], nameserver: ScriptedNameserver
) -> None:
    script = services(*[f"{n} {n + 1} host{n}.test" for n in range(1_000)])
    nameserver.set("_a._tcp.test", "SRV", script)
    shell = shells(over_udp(nameserver))
    shell.ask(0, Question("_a._tcp.test", QueryType.SRV))
    shell.until(lambda: shell.delivered)
    found = Counter((each.target, each.port, each.weight) for each in answers(shell)[0].services)
    assert found == Counter((f"host{n}.test", n + 1, n) for n in range(1_000))
    pairs = itertools.pairwise(nameserver.queries)
    assert all(late.at - early.at < RETRY_MS / 2_000 for early, late in pairs), "none is a retry"
