"""The protocol of the stats socket: lines, prompts, levels, limits, slow and silent clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.model.settings import Global, Origin, Proxy
from proxy.control.command import split_commands, split_words
from proxy.control.limits import (
    ANSWER_CHUNK_BYTES,
    COMMAND_LINE_BYTES_MAX,
    STATS_CONNECTIONS_MAX,
)
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.control.pair import Pair, pair
from tests.support.control.site import World, a_server, control_world, read_all

BACKENDS = "# name\nbe\n\n"


def small() -> list[Proxy]:
    return [Proxy("be", 2, "backend", Origin(), servers=(a_server("s1", "127.78.3.1", 80),))]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with control_world(small()) as made:
        yield made


def converse(made: World, data: bytes, level: str = "admin") -> str:
    with made.connect(level) as client:
        client.sendall(data)
        return read_all(client).decode()


@pytest.mark.parametrize(
    "line", [b"show backend\n", b"show backend\r\n", b"  show \t backend  \n", b"show backend;\n"]
)
def test_one_line_gets_one_answer_an_empty_line_and_the_end(world: World, line: bytes) -> None:
    assert converse(world, line) == BACKENDS


def test_commands_separated_by_semicolons_are_answered_in_turn(world: World) -> None:
    assert converse(world, b"show backend;show cli level\n") == BACKENDS + "admin\n\n"


def test_lines_that_came_together_are_all_answered(world: World) -> None:
    assert converse(world, b"show backend\nshow cli level\n") == BACKENDS + "admin\n\n"


def test_a_prompt_keeps_the_connection_until_quit(world: World) -> None:
    answer = converse(world, b"prompt\nshow backend\nshow cli level\nquit\n")
    assert answer == f"\n> {BACKENDS}> admin\n\n> "


def test_a_line_in_pieces_is_one_line(world: World) -> None:
    with world.connect() as client:
        for piece in (b"sh", b"ow back", b"end", b"\n"):
            client.sendall(piece)
        assert read_all(client).decode() == BACKENDS


def test_an_unfinished_line_is_not_a_command(world: World) -> None:
    with world.connect() as client:
        client.sendall(b"set server be/s1 state maint")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    assert " 0 0 " not in world.ask("show servers state").splitlines()[2][:30]


def test_an_unknown_command_lists_what_there_is(world: World) -> None:
    answer = converse(world, b"nonsense\n")
    assert answer.startswith("Unknown command. Please enter one of the following commands only:\n")
    assert "\n  show servers state [<backend>]" in answer
    assert "\n  quit " in answer
    nearer = converse(world, b"show nonsense\n")
    assert nearer.startswith("Unknown command, but maybe one of the following ones is a better")
    assert "set server" not in nearer


def test_help_lists_commands_or_those_that_begin_so(world: World) -> None:
    assert "set weight" in converse(world, b"help\n")
    assert "set weight" not in converse(world, b"help show\n")
    begin = "The following commands are valid at this level:\n"
    for words in ("", " show", " show map", " show map x", " quit"):
        assert converse(world, f"help{words}\n".encode()).startswith(begin), words
    for word in ("map", "show nonsense"):
        answer = converse(world, f"help {word}\n".encode())
        assert answer.startswith(f"No command begins with '{word}'. {begin}")


@pytest.mark.parametrize(
    "command",
    ["set server be/s1 state maint", "disable server be/s1", "enable server be/s1",
     "set weight be/s1 3"],
)  # fmt: skip
@pytest.mark.parametrize("level", ["user", "operator"])
def test_changes_need_the_level_admin(world: World, command: str, level: str) -> None:
    assert world.ask(command, level) == "Permission denied\n\n"


def test_a_lowered_level_stays_low(world: World) -> None:
    answer = converse(world, b"operator;show cli level;user;show cli level;operator\n")
    assert answer == "\noperator\n\n\nuser\n\nPermission denied\n\n"


def test_a_line_without_end_is_refused_when_it_is_too_long(world: World) -> None:
    with world.connect() as client:
        client.sendall(b"x" * (COMMAND_LINE_BYTES_MAX + 5_000))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"Command line too long.\n\n"


def test_too_many_commands_of_one_line_are_refused(world: World) -> None:
    answer = converse(world, b";" * (COMMAND_LINE_BYTES_MAX // 2) + b"\n")
    assert answer.startswith("Too many commands")


def test_bytes_that_are_no_text_are_an_unknown_command(world: World) -> None:
    assert converse(world, b"\xff\xfe\x00\n").startswith("Unknown command")


def test_more_connections_than_the_limit_wait_their_turn(world: World) -> None:
    clients = [world.connect() for _ in range(STATS_CONNECTIONS_MAX)]
    late = world.connect()
    late.sendall(b"show backend\n")
    late.settimeout(0.2)
    with pytest.raises(TimeoutError):
        late.recv(1)
    clients.pop().close()
    late.settimeout(PATIENCE_SECONDS)
    assert read_all(late).decode() == BACKENDS
    for client in (*clients, late):
        client.close()


@pytest.mark.slow
def test_a_silent_client_is_closed_after_the_stats_timeout() -> None:
    with (
        control_world(small(), globals_=Global(stats_timeout_ms=150)) as made,
        made.connect() as client,
    ):
        client.settimeout(PATIENCE_SECONDS)
        assert client.recv(1) == b""


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.slow
def test_slow_readers_of_large_answers_hold_no_memory() -> None:
    servers = tuple(a_server(f"s{number}", "127.78.3.1", 80) for number in range(2_000))
    proxies = [Proxy("be", 2, "backend", Origin(), servers=servers)]
    with control_world(proxies) as made:
        whole = made.ask("show stat")
        assert len(whole) > 400_000
        before = resident_kib(made.pid)
        clients = [made.connect() for _ in range(30)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.sendall(b"show stat\n")
        for client in clients:
            assert client.recv(100)
        wait_for(lambda: made.ask("show cli level") == "admin\n\n", 10, "others are served")
        assert resident_kib(made.pid) - before < 30 * 4 * ANSWER_CHUNK_BYTES // 1024 + 4_096
        rest = read_all(clients[0]).decode()
        assert rest.endswith("\n\n")
        assert abs(len(rest) + 100 - len(whole)) < 5_000  # counters of seconds grew meanwhile
        for client in clients:
            client.close()


ERRORS = [
    "set server", "set server l1", "set server nope/a state ready", "set server l1/zz state ready",
    "set server l1/a state", "set server l1/a state sideways", "set server l1/a weight",
    "set server l1/a weight 300", "set server l1/a weight -5", "set server l1/a weight 1x",
    "set server l1/a weight -5%",
    "set server l1/a addr", "set server l1/a addr nonsense", "set server l1/a fqdn x",
    "set server b1/web1 addr 127.0.0.3", "disable server", "disable server l1/q",
    "enable server q/q", "get weight", "get weight l1", "get weight l1/q", "get weight l1/e",
    "get weight #2/#1", "show resolvers nowhere", "show servers conn nowhere", "show backend",
    "set server 2/1 state ready", "show servers state 2",
]  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("command", ERRORS)
def test_errors_and_small_answers_are_haproxys(both: Pair, command: str) -> None:
    theirs, ours = both.both(command)
    assert ours.strip() == theirs.strip()  # 2.6 forgets the empty line after some errors


@pytest.mark.slow
def test_nameservers_are_shown_as_haproxy_shows_them(both: Pair) -> None:
    theirs, ours = both.both("show resolvers r1")
    numbers = str.maketrans("123456789", "000000000")
    strip = [line.translate(numbers).rstrip("0") for line in theirs.splitlines()]
    own = ("  unusable:", "  doubted:")  # counters that HAProxy has not
    assert [
        line.translate(numbers).rstrip("0")
        for line in ours.splitlines()
        if not line.startswith(own)
    ] == strip
    assert [ours.count(each) for each in own] == [theirs.count("  outdated:")] * 2
    theirs, ours = (a.splitlines()[0] for a in both.both("show stat domain resolvers"))
    assert ours == theirs


def test_a_backslash_takes_the_next_character_as_it_is() -> None:
    assert split_words(r"a\ b c\\d ") == ["a b", r"c\d"]
    assert split_commands(r"a\;b;c") == [r"a\;b", "c"]
    assert split_commands("") == [""]
