"""What fails keeps nothing else waiting: nameservers that are silent, names that do not exist."""

from __future__ import annotations

import msgspec

from resolverd.config import Nameserver, ResolversSection
from resolverd.dns.answer import Answer, QueryType, Status
from resolverd.resolution.transitions import State
from tests.resolverd.test_core import World
from tests.support.dns.resolution import addresses, resolution_settings, servers


def two_nameservers() -> ResolversSection:
    """ns1 answers, ns2 is dead."""
    return ResolversSection(
        "r1",
        (Nameserver("ns1", "127.0.0.1"), Nameserver("ns2", "127.0.0.2", index=1)),
        resolve_retries=3,
        timeout_resolve_ms=60_000,
    )


def deny(world: World, key: int, nameserver: str = "ns1") -> None:
    world.core.answered(key, nameserver, QueryType.A, Answer(Status.NX), world.now_ms)
    world.run(0)


def plain(count: int) -> World:
    """Names without a search list."""
    names = [
        resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
        for index in range(count)
    ]
    return World(*names, of=(two_nameservers(),))


def test_a_nameserver_that_falls_silent_is_told_once_and_that_it_answers_again() -> None:
    world = plain(4)

    def told() -> list[str]:
        return [line for line in world.log if "Nameserver r1/ns2" in line]

    for key in (0, 1, 2):
        deny(world, key)
    world.run(1_000)  # three attempts have expired at ns2
    expected = (
        "<4> Nameserver r1/ns2 has answered none of the last 3 attempts: no name waits for it "
        "while another answers."
    )
    assert told() == [expected]
    world.run(1_000)
    assert told() == [expected]
    deny(world, 0, "ns2")
    assert told()[1:] == ["<5> Nameserver r1/ns2 answers again."]


def test_a_nameserver_that_left_three_attempts_unanswered_is_waited_for_no_longer() -> None:
    world = plain(4)
    state = {key: world.core.names[key].resolution for key in range(4)}
    for key in (0, 1, 2):
        deny(world, key)
        assert state[key].state is State.PREFERRED, "ns2 may answer"
    world.run(1_000)  # three attempts have expired at ns2, and the fourth at both
    deny(world, 3)
    assert state[3].state is State.PAUSED
    world.core.answered(0, "ns2", QueryType.A, Answer(Status.NX), world.now_ms)  # it is alive
    world.run(1_000)
    deny(world, 3)
    assert state[3].state is State.PREFERRED


def test_where_all_nameservers_are_silent_each_is_waited_for() -> None:
    world = World(resolution_settings(servers(1), index=0), of=(two_nameservers(),))
    world.run(63_000)  # a whole run in silence, the next has begun
    assert len(world.names) == 4
    deny(world, 0, "ns2")
    world.run(100)
    assert len(world.names) == 4


def test_names_that_fail_keep_no_good_name_waiting() -> None:
    section = msgspec.structs.replace(two_nameservers(), timeout_resolve_ms=1_000)
    names = [
        resolution_settings(servers(1, index, index), name=f"n{index}.test", index=index)
        for index in range(1_500)
    ]
    world = World(*names, of=(section,))
    good = 0

    def answer_good(milliseconds: int) -> int:
        """Silence for all but one; how often that one is asked."""
        asked, done = 0, len(world.names)
        for _ in range(milliseconds // 50):
            world.run(50)
            new, done = world.names[done:], len(world.names)
            if "n0.test" in new:
                asked += 1
                world.core.answered(
                    good, "ns1", QueryType.A, Answer(Status.VALID, addresses("127.0.1.1")),
                    world.now_ms,
                )  # fmt: skip
        return asked

    world.core.answered(
        good, "ns1", QueryType.A, Answer(Status.VALID, addresses("127.0.1.1")), world.now_ms
    )
    answer_good(20_000)  # each of the others has failed once
    assert answer_good(20_000) >= 18
    failing = set(world.names[-1_000:])
    assert len(failing) > 300, "these go on as well"
