"""`observe layer4`: errors of sessions count for a server's health, beside HAProxy."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command

EDGE = "127.67.3.1"
SERVER = "127.67.3.2"
LIMIT = 3
TEXT = """\
global
    nbthread {threads}
    log {{log}} local0
    stats socket {{folder}}/s level admin
defaults
    mode tcp
    log global
    {option}
    retries 0
    timeout connect 2s
    timeout client 600s
    timeout server 600s
listen edge
    bind {edge}:{port}
    server s {server}:{server_port} check port {check_port} {words}
"""
Health = tuple[str, ...]


def health(program: OneProgram) -> Health:
    """Operational state, and status, result and health of the check."""
    row = program.rows()["s"]
    return tuple(
        row[name]
        for name in ("srv_op_state", "srv_check_status", "srv_check_result", "srv_check_health")
    )


class Edge:
    """One program with one server, whose port is closed until it is opened, and its checks pass."""

    def __init__(
        self,
        command: tuple[str, ...],
        folder: Path,
        words: str,
        stack: ExitStack,
        threads: int = 1,
        option: str = "",
    ) -> None:
        checked = stack.enter_context(socket.create_server((SERVER, 0)))
        self.port = free_port()
        self.server_port = free_port()
        text = TEXT.format(
            threads=threads,
            option=option,
            edge=EDGE,
            port=self.port,
            server=SERVER,
            server_port=self.server_port,
            check_port=checked.getsockname()[1],
            words=f"observe layer4 error-limit {LIMIT} {words}",
        )
        self.program = stack.enter_context(one_program(command, folder, text, {}))
        wait_for(lambda: health(self.program)[1] == "6", 20, "the first check has passed")
        self.seen: list[Health] = []

    def refuse(self, times: int) -> None:
        """So many sessions in a row find the port closed."""
        for _ in range(times):
            with socket.create_connection((EDGE, self.port), PATIENCE_SECONDS) as client:
                client.settimeout(PATIENCE_SECONDS)
                assert client.recv(1) == b""

    def serve(self) -> None:
        """One session finds the port open."""
        with (
            socket.create_server((SERVER, self.server_port)) as server,
            socket.create_connection((EDGE, self.port), PATIENCE_SECONDS) as client,
        ):
            server.settimeout(PATIENCE_SECONDS)
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"x")
                client.settimeout(PATIENCE_SECONDS)
                assert client.recv(1) == b"x"  # the program knows that it is connected

    def told(self) -> list[str]:
        """The lines of the log that say what sessions found."""
        self.program.read()
        found = f"Detected {LIMIT} consecutive errors"
        return [text.split(": ", 1)[1] for _, text in self.program.lines if found in text]

    def changes(self) -> list[str]:
        """The lines that say that the server went down."""
        self.program.read()
        texts = [text.split(": ", 1)[1] for _, text in self.program.lines]
        return [text for text in texts if " is DOWN" in text]

    def reach(self, *expected: str) -> None:
        wait_for(lambda: health(self.program) == expected, 5, f"health {expected}")


def both(folder: Path, words: str) -> list[tuple[tuple[str, ...], Path, str]]:
    return [
        (haproxy_command(), folder / "haproxy", words),
        (millrace_command(), folder / "millrace", words),
    ]


TOP = ("2", "6", "3", "4")  # up, the last check passed


@pytest.mark.parametrize(
    ("on_error", "after"),
    [
        ("fail-check", ("2", "4", "2", "3")),
        ("sudden-death", ("2", "4", "2", "2")),
        ("mark-down", ("0", "4", "2", "0")),
    ],
)
def test_errors_in_a_row_count_as_the_line_says(
    tmp_path: Path, on_error: str, after: tuple[str, ...]
) -> None:
    lines = []
    for command, folder, words in both(tmp_path, f"inter 60s on-error {on_error}"):
        with ExitStack() as stack:
            edge = Edge(command, folder, words, stack)
            edge.refuse(LIMIT - 1)
            assert health(edge.program) == TOP
            edge.refuse(1)
            edge.reach(*after)
            if on_error == "mark-down":
                wait_for(edge.told, 5, "the log line")
            lines += edge.told()
    assert len(lines) == (2 if on_error == "mark-down" else 0)
    assert [line.split(". ")[0] for line in lines[1:]] == [
        line.split(". ")[0] for line in lines[:1]
    ]


@pytest.mark.parametrize(
    ("words", "healths"),
    [
        (
            "on-error fail-check",
            [("2", "4", "2", "3"), ("2", "4", "2", "2"), ("0", "4", "2", "0")],
        ),
        ("fall 1 on-error fail-check backup", [("0", "4", "2", "0")]),
        ("on-error sudden-death", [("2", "4", "2", "2"), ("0", "4", "2", "0")]),
        ("on-error mark-down", [("0", "4", "2", "0")]),
        ("on-error fastinter fastinter 60s", []),
    ],
)
def test_the_log_of_checks_says_what_each_row_of_errors_meant(
    tmp_path: Path, words: str, healths: list[Health]
) -> None:
    """With `option log-health-checks` the line of the change has no reason: these have it."""
    said = []
    for command, folder, all_words in both(tmp_path, f"inter 60s {words}"):
        with ExitStack() as stack:
            edge = Edge(command, folder, all_words, stack, option="option log-health-checks")
            if not healths:
                edge.refuse(2 * LIMIT)
            for after in healths:
                edge.refuse(LIMIT)
                edge.reach(*after)
            down = bool(healths)
            wait_for(lambda e=edge, n=down: len(e.changes()) == n, 5, "the line of the change")
            said.append((edge.told(), [line.split(". ")[0] for line in edge.changes()]))
    assert said[0] == said[1]
    assert [len(lines) for lines in said[1]] == [len(healths), bool(healths)]


def test_a_success_begins_the_row_anew_and_the_default_is_fail_check(tmp_path: Path) -> None:
    for command, folder, words in both(tmp_path, "inter 60s"):
        with ExitStack() as stack:
            edge = Edge(command, folder, words, stack)
            edge.refuse(LIMIT - 1)
            edge.serve()
            edge.refuse(LIMIT - 1)
            assert health(edge.program) == TOP, folder
            edge.refuse(1)
            edge.reach("2", "4", "2", "3")
            edge.refuse(LIMIT - 1)
            assert health(edge.program) == ("2", "4", "2", "3"), "the count begins anew"
            edge.refuse(1)
            edge.reach("2", "4", "2", "2")


def test_the_next_check_comes_after_fastinter(tmp_path: Path) -> None:
    """It passes and brings the health back to the top; with `inter` alone that takes a minute."""
    for command, folder, words in both(tmp_path, "inter 60s fastinter 300ms on-error mark-down"):
        with ExitStack() as stack:
            edge = Edge(command, folder, words, stack)
            edge.refuse(LIMIT)
            edge.reach("0", "4", "2", "0")
            edge.reach(*TOP)


def test_a_row_is_counted_over_all_workers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        words = "inter 60s on-error mark-down"
        edge = Edge(millrace_command(), tmp_path / "millrace", words, stack, 2)
        edge.refuse(LIMIT - 1)
        assert health(edge.program) == TOP
        edge.refuse(1)
        edge.reach("0", "4", "2", "0")


def test_who_observes_nothing_is_not_told_of_errors(tmp_path: Path) -> None:
    with ExitStack() as stack:
        edge = Edge(millrace_command(), tmp_path / "millrace", "observe none", stack)
        edge.refuse(3 * LIMIT)
        assert health(edge.program) == TOP
