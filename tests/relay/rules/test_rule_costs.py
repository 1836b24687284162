"""What rules cost a connection, in system calls: none of their own; a refused client next to none."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.relay.test_relay_syscalls import ROUNDS, SystemCalls
from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.program.program import Program
from tests.support.servers import Server, receive_all, receive_count

FILE = """
global
  nbthread 1
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen edge
  bind 127.0.0.1:{port}
{rules}
  server s {host}:{server}
"""
PASSING = (
    "tcp-request connection reject if { src 192.0.2.0/24 } or { dst 192.0.2.0/24 }",
    "tcp-request session reject if !{ src 127.0.0.0/8 }",
    "tcp-request content reject if { dst_port 1 } or { src_port 1 }",
    "use-server s if { dst 127.0.0.1 }",
)


def answer(connection: socket.socket) -> None:
    connection.sendall(receive_count(connection, 7))


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        client.sendall(b"request")
        return receive_all(client)


def calls_of(folder: Path, rules: Sequence[str], what: bytes) -> SystemCalls:
    """The worker's calls for so many connections, each of which gets this answer."""
    port = free_port()
    lines = "\n".join(f"  {rule}" for rule in rules)
    folder.mkdir()
    with Server(answer) as server:
        host, server_port = server.address
        text = FILE.format(port=port, rules=lines, host=host, server=server_port)
        with Program(folder, text) as program:
            [worker] = program.children()["worker"]
            with SystemCalls(worker, folder) as calls:
                for _ in range(ROUNDS):
                    heard = b""
                    with suppress(ConnectionError):
                        heard = ask(port)
                    assert heard == what
    return calls


@pytest.mark.slow
def test_rules_that_let_a_client_in_cost_no_call(tmp_path: Path) -> None:
    without = calls_of(tmp_path / "without", (), b"request")
    passing = calls_of(tmp_path / "passing", PASSING, b"request")
    assert passing.each("accept4") <= 2.05
    for name in ("getsockname", "getpeername", "fcntl", "brk"):
        assert passing.each(name) <= without.each(name) + 0.2, name
    for name in ("recvfrom", "sendto", "setsockopt", "epoll_ctl", "close", "socket", "connect"):
        assert abs(passing.each(name) - without.each(name)) <= 0.6, name


TRACKING = (
    "stick-table type ip size 1k expire 1h store conn_cur,conn_rate(10s),bytes_in_cnt,gpc0",
    "tcp-request connection track-sc0 src",
    "tcp-request connection reject if { sc0_conn_cur gt 100 } or { src_get_gpc0 gt 1000000 }",
    "tcp-request connection sc-inc-gpc0(0)",
    "tcp-request content track-sc1 dst",
    "tcp-request content reject if { src,table_conn_cur gt 100 }",
)


@pytest.mark.slow
def test_a_client_whose_entries_are_followed_costs_no_call(tmp_path: Path) -> None:
    without = calls_of(tmp_path / "without", (), b"request")
    tracking = calls_of(tmp_path / "tracking", TRACKING, b"request")
    for name in without.counts.keys() | tracking.counts.keys():
        if name not in ("epoll_wait", "futex", "read", "write"):  # those differ between two runs
            assert abs(tracking.each(name) - without.each(name)) <= 0.6, name


@pytest.mark.slow
def test_a_refused_client_is_accepted_and_closed_and_nothing_else(tmp_path: Path) -> None:
    calls = calls_of(
        tmp_path / "refused", ["tcp-request connection reject if { src 127.0.0.1 }"], b""
    )
    assert calls.each("accept4") <= 2.05
    assert calls.each("setsockopt") == 1  # its close is a reset
    assert 1 <= calls.each("close") <= 1.05
    for name in ("recvfrom", "sendto", "epoll_ctl", "socket", "connect", "getsockname"):
        assert calls.each(name) <= 0.2, name


@pytest.mark.slow
def test_a_client_that_sends_byte_by_byte_is_received_byte_by_byte(tmp_path: Path) -> None:
    """And no byte twice: each costs one receive, and the wait for it."""
    port, size = free_port(), 2_000
    rules = [
        "tcp-request inspect-delay 60s",
        f"tcp-request content accept if {{ req.len ge {size} }}",
    ]
    lines = "\n".join(f"  {rule}" for rule in rules)
    with Server(answer) as server:
        host, server_port = server.address
        text = FILE.format(port=port, rules=lines, host=host, server=server_port)
        with Program(tmp_path, text) as program:
            [worker] = program.children()["worker"]
            with (
                SystemCalls(worker, tmp_path) as calls,
                socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client,
            ):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for _ in range(size):
                    client.send(b"x")
                assert client.recv(7) == b"x" * 7
    assert calls.counts["recvfrom"] <= size + 20
    assert calls.counts["epoll_ctl"] <= size // 20  # those of its other threads
    assert calls.counts["brk"] + calls.counts["mmap"] <= 30


@pytest.mark.slow
def test_what_only_the_kernel_knows_is_asked_once_for_a_look(tmp_path: Path) -> None:
    asking = (
        "tcp-request content reject if { fc_rtt gt 60000 } or { fc_lost gt 60000 }",
        "tcp-request content reject if { fc_rttvar(us) gt 4000000000 } or { fc_sacked gt 60000 }",
    )
    without = calls_of(tmp_path / "without", (), b"request")
    asked = calls_of(tmp_path / "asked", asking, b"request")
    assert asked.each("getsockopt") - without.each("getsockopt") == pytest.approx(1, abs=0.1)
    for name in ("getsockname", "getpeername", "socket", "bind"):
        assert abs(asked.each(name) - without.each(name)) <= 0.2, name


@pytest.mark.slow
def test_whether_an_address_is_local_takes_a_socket(tmp_path: Path) -> None:
    rule = "tcp-request content reject if !{ src_is_local }"
    without = calls_of(tmp_path / "without", (), b"request")
    asked = calls_of(tmp_path / "asked", [rule], b"request")
    for name in ("socket", "bind"):
        assert asked.each(name) - without.each(name) == pytest.approx(1, abs=0.1), name


SETTING = (
    "tcp-request connection set-src ipv4(192.0.2.1)",
    "tcp-request session set-src-port src_port,add(1)",
    "tcp-request content set-dst ipv4(192.0.2.2)",
    "tcp-request content set-log-level debug",
    "tcp-request content set-retries 5",
    "force-persist if { src 192.0.2.1 }",
    "persist rdp-cookie",
    "balance hash src,ipmask(24)",
    "option persist",
)


@pytest.mark.slow
def test_a_client_whose_addresses_are_set_costs_no_call(tmp_path: Path) -> None:
    without = calls_of(tmp_path / "without", (), b"request")
    setting = calls_of(tmp_path / "setting", SETTING, b"request")
    for name in without.counts.keys() | setting.counts.keys():
        if name not in ("epoll_wait", "futex", "read", "write"):  # those differ between two runs
            assert abs(setting.each(name) - without.each(name)) <= 0.6, name


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="marks need CAP_NET_ADMIN")
def test_each_mark_costs_a_call_and_no_other(tmp_path: Path) -> None:
    marking = [
        "tcp-request connection set-mark 1",
        "tcp-request content set-tos 8",
        "tcp-request content set-bc-mark 2",
        "tcp-request content set-bc-tos 16",
    ]
    without = calls_of(tmp_path / "without", (), b"request")
    marked = calls_of(tmp_path / "marked", marking, b"request")
    assert marked.each("setsockopt") - without.each("setsockopt") == pytest.approx(4, abs=0.6)
    for name in ("getsockopt", "getsockname", "getpeername", "socket", "connect", "close"):
        assert abs(marked.each(name) - without.each(name)) <= 0.6, name
