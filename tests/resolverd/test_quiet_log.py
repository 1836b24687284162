"""Log lines that repeat are bounded, lines about servers that go or come are not; why names fail."""

from __future__ import annotations

import re

import msgspec
import pytest

from resolverd.dns.answer import Answer, QueryType, ServiceRecord, Status
from resolverd.log.throttle import LINES_MAX, WINDOW_MS, LogThrottle
from tests.resolverd.test_core import LABEL, ONE, TWO, World, section
from tests.support.dns.resolution import addresses, resolution_settings, servers


def test_the_first_lines_of_a_minute_are_said_and_the_rest_are_counted() -> None:
    said: list[tuple[int, str]] = []
    throttle = LogThrottle(lambda level, text: said.append((level, text)))
    for number in range(LINES_MAX + 37):
        throttle.log("be/s1", 5, f"line {number}", number, more="changes")
    throttle.log("be/s2", 4, "another", 100, more="changes")
    assert said == [*((5, f"line {number}") for number in range(LINES_MAX)), (4, "another")]
    throttle.flush(WINDOW_MS - 1)
    assert len(said) == LINES_MAX + 1
    throttle.flush(WINDOW_MS)
    assert said[LINES_MAX + 1 :] == [(5, "be/s1: ... and 37 more changes in the last minute.")]
    throttle.flush(9 * WINDOW_MS)
    assert len(said) == LINES_MAX + 2, "nothing was left out of the other"
    throttle.log("be/s1", 5, "again", 9 * WINDOW_MS, more="changes")
    assert said[-1] == (5, "again")


def test_a_line_after_the_minute_says_first_what_was_left_out() -> None:
    said: list[str] = []
    throttle = LogThrottle(lambda _, text: said.append(text))
    for _ in range(LINES_MAX + 1):
        throttle.log("be/s1", 5, "line", 0, more="changes")
    throttle.log("be/s1", 5, "new", WINDOW_MS, more="changes")
    assert said[LINES_MAX:] == ["be/s1: ... and 1 more changes in the last minute.", "new"]


def test_what_was_left_out_about_a_server_is_said_when_it_goes() -> None:
    world = World(resolution_settings(servers(2)), of=(section(resolve_ms=1_000),))
    for number in range(50):
        world.answer(0, (ONE, TWO)[number % 2])
        world.run(1_000)
    served = world.core.names.served
    before = len(world.log)
    for slot in (0, 1):
        served.drop(slot)
    assert "more changes of its IP in the last minute." in world.log[before]
    served.throttle.flush(world.now_ms + WINDOW_MS)
    assert len(world.log) == before + 1, "nothing is kept of either"


def test_a_server_that_moves_with_every_answer_does_not_fill_the_log() -> None:
    world = World(resolution_settings(servers(1)), of=(section(resolve_ms=1_000),))
    for number in range(50):
        world.answer(0, (ONE, TWO)[number % 2])
        world.run(1_000)
    moves = [line for line in world.log if "IP changed" in line]
    assert len(moves) == LINES_MAX
    world.core.names.served.throttle.flush(world.now_ms + WINDOW_MS)
    expected = f"<5> be0/s1: ... and {50 - LINES_MAX} more changes of its IP in the last minute."
    assert world.log[-1] == expected


def test_lines_about_going_and_coming_are_never_left_out() -> None:
    world = World(
        resolution_settings(servers(1)), of=(section(resolve_ms=1_000, other_ms=0, nx_ms=0),)
    )
    for _ in range(2 * LINES_MAX):
        world.answer(0, ONE)
        world.run(1_000)
        world.fail(0, Status.NX)
        world.run(1_000)
    text = "\n".join(world.log)
    assert text.count("is going DOWN for maintenance (DNS NX status). ") == 2 * LINES_MAX
    assert text.count("is UP/READY (resolves again)") == 2 * LINES_MAX
    assert text.count("IP changed") == LINES_MAX


def test_targets_that_are_new_with_each_answer_do_not_fill_the_log() -> None:
    of = msgspec.structs.replace(resolution_settings(servers(1)), name=LABEL)
    world = World(of, of=(section(resolve_ms=1_000),))
    for number in range(50):
        host = ServiceRecord(f"h{number}.test", 80, 1, 0, addresses((ONE, TWO)[number % 2]))
        world.answer_label(0, host)
        world.run(1_000)
    assert len(world.log) <= 1 + 2 * LINES_MAX  # the first is no replacement
    assert world.board.slot(0).address == TWO


def test_records_without_a_server_of_many_names_are_a_few_lines() -> None:
    of = tuple(
        msgspec.structs.replace(
            resolution_settings(servers(1, first_slot=number)), index=number, name=f"n{number}.test"
        )
        for number in range(50)
    )
    world = World(*of, of=(section(resolve_ms=1_000),))
    for turn in range(4):
        for number in range(50):
            world.answer(number, *(ONE, TWO)[: 1 + turn % 2])
        world.run(1_000)
    lines = [line for line in world.log if "have no server" in line or "server again" in line]
    assert len(lines) == LINES_MAX


def test_how_many_servers_are_left_counts_down_within_one_answer() -> None:
    world = World(resolution_settings(servers(3)), of=(section(resolve_ms=1_000, nx_ms=0),))
    world.answer(0, ONE, TWO, "127.0.1.3")
    world.run(1_000)
    world.fail(0, Status.NX)
    left = [
        int(n) for n in re.findall(r"(\d) active and 0 backup servers left", "".join(world.log))
    ]
    assert left == [2, 1, 0]


def of_names(world: World) -> list[str]:
    """The lines about names."""
    return [line for line in world.log if "(resolvers r1)" in line]


def test_a_failure_is_said_once_and_so_is_its_end() -> None:
    world = World(resolution_settings(servers(1)), of=(section(resolve_ms=5_000, nx_ms=60_000),))
    world.answer(0, ONE)
    world.run(5_000)
    for _ in range(3):
        world.fail(0, Status.NX)
        world.run(5_000)
    line = "No valid answer for 'app.test' (resolvers r1): nx. Its servers keep their addresses for"
    assert of_names(world) == [f"<4> {line} 54.0 s (hold nx)."]
    world.answer(0, ONE)
    assert of_names(world)[1:] == ["<5> 'app.test' (resolvers r1) is well again."]


def test_the_end_is_said_though_targets_are_still_on_their_way() -> None:
    of = msgspec.structs.replace(resolution_settings(servers(1)), name=LABEL)
    world = World(of, of=(section(resolve_ms=5_000, nx_ms=8_000),))
    world.answer_label(0, ServiceRecord("h1.test", 80, 1, 0, addresses(ONE)))
    for _ in range(2):
        world.run(5_000)
        world.core.answered(0, "ns1", QueryType.SRV, Answer(Status.NX), world.now_ms)
        world.run(1_000)
    assert len(of_names(world)) == 1, "its address has gone since"
    world.run(5_000)
    world.answer_label(0, ServiceRecord("h2.test", 80, 1))
    assert len(of_names(world)) == 1
    world.answer(1, TWO)
    world.run(5_000)
    world.answer_label(0, ServiceRecord("h2.test", 80, 1))
    assert of_names(world)[1:] == [f"<5> '{LABEL}' (resolvers r1) is well again."]


def test_an_outage_of_many_names_is_a_few_lines() -> None:
    of = tuple(
        msgspec.structs.replace(
            resolution_settings(servers(1, first_slot=number)), index=number, name=f"n{number}.test"
        )
        for number in range(100)
    )
    world = World(*of, of=(section(resolve_ms=1_000),))
    for number in range(100):
        world.answer(number, ONE)
    world.run(3_000)
    assert len(of_names(world)) == LINES_MAX
    world.core.names.served.throttle.flush(world.now_ms + WINDOW_MS)
    assert "resolvers r1: ... and 94 more lines about names in the last minute." in world.log[-1]


def test_a_cut_answer_is_told_with_what_it_held() -> None:
    world = World(resolution_settings(servers(2)), of=(section(resolve_ms=5_000, other_ms=30_000),))
    world.answer(0, ONE, TWO)
    world.run(5_000)
    for _ in range(2):
        cut = Answer(Status.TRUNCATED, addresses(ONE), partial=True)
        world.core.answered(0, "ns1", QueryType.A, cut, world.now_ms)
        world.run(6_000)
    assert of_names(world) == [
        "<4> The answer for 'app.test' (resolvers r1) was cut and could not be completed over TCP: "
        "it held 1 records, which confirm and add; servers of others are kept for 30.0 s after the "
        "last answer that had them."
    ]


@pytest.mark.parametrize("arrives", [False, True])
def test_valid_answers_that_help_nobody_are_told(arrives: bool) -> None:
    of = msgspec.structs.replace(resolution_settings(servers(2)), name=LABEL)
    world = World(of, of=(section(resolve_ms=5_000),))
    world.answer_label(0, ServiceRecord("h1.test", 80, 1))
    if arrives:  # the target was on its way, as always after a first answer
        world.answer(1, ONE)
    world.run(5_000)
    world.answer_label(0, ServiceRecord("h1.test", 80, 1))
    world.run(1_000)
    line = (
        f"<4> Valid answers for '{LABEL}' (resolvers r1) bring 1 records, but none of 2 servers "
        "has an address (`show resolution` tells why)."
    )
    assert of_names(world).count(line) == (0 if arrives else 1)


def test_a_name_that_never_resolves_is_told_after_its_first_run() -> None:
    world = World(resolution_settings(servers(2)), of=(section(resolve_ms=1_000, nx_ms=0),))
    for _ in range(3):
        world.fail(0, Status.NX)
        world.run(1_000)
    (told,) = of_names(world)
    assert told.startswith("<4> No valid answer for ")
    assert told.endswith(" yet: nx. None of 2 servers has an address.")
    world.answer(0, ONE)
    world.run(1_000)
    assert [line for line in of_names(world) if "well again" in line]
    world.fail(0, Status.NX)
    world.run(1_000)
    world.fail(0, Status.NX)
    assert "yet" not in "".join(of_names(world)[1:]), "it was answered once"
