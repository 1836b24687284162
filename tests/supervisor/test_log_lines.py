"""Operational log lines: formats, targets, and that nothing blocks."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import pytest

from proxy.config.model.settings import Endpoint, Global, LogTarget, SocketFamily
from proxy.log import LineFacts, error_line, format_line, open_log
from proxy.log_thread import finish_log_threads
from tests.support.common import PATIENCE_SECONDS

NOON = 1_795_176_900.25
FACTS = LineFacts(Global(log_host="edge1"), 4242)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("style", "line"),
    [
        ("rfc3164", "<29>Nov 20 12:15:00 edge1 haproxy[4242]: text"),
        ("local", "<29>Nov 20 12:15:00 haproxy[4242]: text"),
        ("rfc5424", "<29>1 2026-11-20T12:15:00.250000+00:00 edge1 haproxy 4242 - - text"),
        ("raw", "text"),
        ("short", "<5>text"),
        ("priority", "<29>text"),
        ("timed", "<5>2026-11-20T12:15:00.250000+00:00 text"),
        ("iso", "2026-11-20T12:15:00.250000+00:00 text"),
    ],
)
def test_formats(style: str, line: str) -> None:
    assert format_line(style, 3, 5, "text", facts=FACTS, now_s=NOON) == line


def test_a_host_that_is_not_sent() -> None:
    facts = LineFacts(Global(), 1)
    line = format_line("rfc3164", 3, 5, "x", facts=facts, now_s=NOON)
    assert line == "<29>Nov 20 12:15:00 localhost haproxy[1]: x"
    assert " - haproxy 1 " in format_line("rfc5424", 3, 5, "x", facts=facts, now_s=NOON)


def test_days_before_the_tenth_are_padded_with_a_blank() -> None:
    line = format_line("rfc3164", 3, 5, "x", facts=FACTS, now_s=NOON - 15 * 86_400)
    assert line.startswith("<29>Nov  5 12:15:00 ")


def test_the_line_of_an_error_begins_with_what_went_wrong() -> None:
    """Lines are cut at their end; what a group of tasks died of is what its errors are."""
    inner = ExceptionGroup("tasks", [KeyError("slot"), ValueError("two\nlines")])
    outer = ExceptionGroup("more", [OSError(24, "too many"), inner])
    start = "OSError: [Errno 24] too many | KeyError: 'slot' | ValueError: two | lines | "
    assert error_line(outer).startswith(start)
    assert error_line(KeyError("slot")).startswith("KeyError: 'slot' | ")


def udp_target(receiver: socket.socket, **changes: int) -> LogTarget:
    host, port = receiver.getsockname()
    return LogTarget(endpoint=Endpoint(SocketFamily.IPV4, host, port), facility=16, **changes)


@pytest.fixture
def receiver() -> socket.socket:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.44.5.1", 0))
        receiver.settimeout(PATIENCE_SECONDS)
        yield receiver


def test_datagrams_carry_the_main_pid_and_one_line_each(receiver: socket.socket) -> None:
    log = open_log(Global(logs=(udp_target(receiver),), log_tag="edge"), 4242)
    log(4, "Server be/a\nis DOWN")
    line = receiver.recv(2_000).decode()
    assert re.fullmatch(
        r"<132>\w{3} [ \d]\d \d\d:\d\d:\d\d edge\[4242\]: Server be/a is DOWN\n", line
    )
    log.close()


def test_levels_above_the_limit_are_left_out_and_those_below_the_least_are_lifted(
    receiver: socket.socket,
) -> None:
    log = open_log(Global(logs=(udp_target(receiver, max_level=5, min_level=3),)), 1)
    log(6, "too chatty")
    log(0, "no server left")
    assert receiver.recv(2_000).startswith(b"<131>")
    log.close()


def test_a_server_that_is_not_there_costs_nothing_and_is_found_when_it_comes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "dev-log"
    target = LogTarget(endpoint=Endpoint(SocketFamily.UNIX, str(path)), facility=3)
    log = open_log(Global(logs=(target,)), 1)
    log(5, "nobody hears this")
    assert log.dropped == 1
    for round_number in range(2):  # the second is a restart of the syslog server
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(path))
            receiver.settimeout(PATIENCE_SECONDS)
            log(5, f"round {round_number}")
            assert f"round {round_number}" in receiver.recv(2_000).decode()
        path.unlink()
    log.close()


def test_a_full_pipe_drops_lines_instead_of_blocking() -> None:
    reader, writer = os.pipe()
    log = open_log(Global(logs=(LogTarget(None, 3, descriptor=writer, format="raw"),)), 1)
    for _ in range(500):
        log(5, "x" * 500)
    assert log.dropped > 0
    assert os.read(reader, 501) == b"x" * 500 + b"\n"
    os.close(reader)
    os.close(writer)


def test_a_full_receiver_drops_datagrams_instead_of_blocking(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        target = LogTarget(endpoint=Endpoint(SocketFamily.UNIX, path), facility=3)
        log = open_log(Global(logs=(target,)), 1)
        for _ in range(2_000):
            log(5, "x")
        assert log.dropped > 0
        log.close()


def test_without_targets_notices_and_worse_go_to_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = open_log(Global(), 4242)
    log(1, "worker 0 died")
    log(4, "Server be/a is DOWN")
    log(5, "Server be/a is UP")
    log(6, "a connection")
    log.close()
    finish_log_threads(PATIENCE_SECONDS)  # standard error is a file here
    assert capfd.readouterr().err.splitlines() == [
        "[ALERT]    (4242) : worker 0 died",
        "[WARNING]  (4242) : Server be/a is DOWN",
        "[NOTICE]   (4242) : Server be/a is UP",
    ]
    open_log(Global(), 4242, fallback=False)(1, "quiet")
    assert capfd.readouterr().err == ""


def test_beside_targets_warnings_and_worse_go_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        target = LogTarget(endpoint=Endpoint(SocketFamily.UNIX, path), facility=3)
        for beside in ((), (LogTarget(endpoint=None, facility=3, descriptor=2, format="raw"),)):
            log = open_log(Global(logs=(target, *beside)), 4242)
            log(1, "reload failed")
            log(4, "worse than it was")
            log(5, "all is well")
            log.close()
            finish_log_threads(PATIENCE_SECONDS)  # standard error is a file here
            told = capfd.readouterr().err.splitlines()
            if beside:  # once
                assert told == ["reload failed", "worse than it was", "all is well"]
            else:
                assert told == [
                    "[ALERT]    (4242) : reload failed",
                    "[WARNING]  (4242) : worse than it was",
                ]
        quiet = open_log(Global(logs=(target,)), 4242, fallback=False)
        quiet(1, "quiet")
        quiet.close()
        assert capfd.readouterr().err == ""


def test_long_lines_are_cut() -> None:
    reader, writer = os.pipe()
    log = open_log(Global(logs=(LogTarget(None, 3, descriptor=writer),)), 1)
    log(5, "ü" * 3_000)
    assert len(os.read(reader, 5_000)) == 1_024
    target = LogTarget(None, 3, descriptor=writer, format="raw", length_max=64)
    open_log(Global(logs=(target,)), 1)(5, "x" * 100)
    assert os.read(reader, 5_000) == b"x" * 63 + b"\n"
    os.close(reader)
    os.close(writer)
