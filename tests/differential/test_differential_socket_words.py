"""Words that set options of sockets: the same sockets as HAProxy's, seen through copies of them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import OneProgram, one_program
from tests.support.differential.pair import haproxy_command, millrace_command
from tests.support.servers import Server as Echo
from tests.support.servers import echo
from tests.support.sockets import (
    connected,
    copied_sockets,
    interface,
    listening,
    option,
    require_root,
)

EDGE = "127.67.1.1"
SOURCE = "127.67.1.3"
GLOBAL = """\
global
    nbthread 1
    stats socket {folder}/s level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 600s
    timeout server 600s
"""
PROBES = "\n    ".join(
    (
        "option tcpka",
        *("clitcpka-cnt 4", "clitcpka-idle 61s", "clitcpka-intvl 7"),
        *("srvtcpka-cnt 5", "srvtcpka-idle 62s", "srvtcpka-intvl 1500ms"),
    )
)
Seen = dict[str, Any]
Look = Callable[[OneProgram, socket.socket, Echo], Seen]


def pid_of(program: OneProgram) -> int:
    fields = dict(
        line.split(": ", 1) for line in program.ask("show info").split("\n") if ": " in line
    )
    return int(fields["Pid"])


def both(folder: Path, bind: str, server: str, more: str, look: Look) -> tuple[Seen, Seen]:
    """What `look` sees in HAProxy and in Millrace, each with an established session."""
    require_root()
    found = []
    for name, command in (("haproxy", haproxy_command()), ("millrace", millrace_command())):
        with ExitStack() as stack:
            echoing = stack.enter_context(Echo(echo, "127.67.1.2"))
            port = free_port()
            text = (
                f"{GLOBAL}listen edge\n    bind {EDGE}:{port} {bind}\n    {more}\n"
                f"    server s {echoing.address[0]}:{echoing.address[1]} {server}\n"
            )
            program = stack.enter_context(one_program(command, folder / name, text, {}))
            client = stack.enter_context(socket.create_connection((EDGE, port), PATIENCE_SECONDS))
            client.sendall(b"hello")
            assert client.recv(10) == b"hello"
            found.append(look(program, client, echoing))
    return found[0], found[1]


def test_listening_sockets_and_what_clients_inherit(tmp_path: Path) -> None:
    names = ("keepalive", "count", "idle", "interval", "tcp-ut", "mss")

    def look(program: OneProgram, client: socket.socket, _: Echo) -> Seen:
        with copied_sockets(pid_of(program)) as copies:
            listener = listening(copies, client.getpeername())
            accepted = connected(copies, client.getsockname())
            return {
                "listener": {n: option(listener, n) for n in ("transparent", "tcp-ut", "mss")},
                "deferred": option(listener, "defer-accept"),
                "interface": interface(listener),
                "client": {name: option(accepted, name) for name in names},
            }

    words = "interface lo mss 1200 tcp-ut 33s tfo defer-accept transparent"
    theirs, ours = both(tmp_path, words, "", PROBES, look)
    assert ours == theirs
    assert ours["interface"] == "lo"
    assert ours["listener"] == {"transparent": 1, "tcp-ut": 33_000, "mss": 1200}
    assert ours["client"]["idle"] == 61
    assert ours["deferred"] == 1


def test_a_negative_mss_shortens_what_the_path_allows(tmp_path: Path) -> None:
    def look(program: OneProgram, client: socket.socket, _: Echo) -> Seen:
        with copied_sockets(pid_of(program)) as copies:
            return {"mss": option(connected(copies, client.getsockname()), "mss")}

    theirs, ours = both(tmp_path, "mss -100", "", "", look)
    assert ours == theirs


def test_connections_to_a_server(tmp_path: Path) -> None:
    names = ("keepalive", "count", "idle", "interval", "tcp-ut")

    def look(program: OneProgram, client: socket.socket, server: Echo) -> Seen:
        with copied_sockets(pid_of(program)) as copies:
            outgoing = connected(copies, server.address)
            return {
                **{name: option(outgoing, name) for name in names},
                "interface": interface(outgoing),
                "source": outgoing.getsockname()[0],
            }

    words = f"tcp-ut 44s source {SOURCE} interface lo"
    theirs, ours = both(tmp_path, "", words, PROBES, look)
    assert ours == theirs
    assert ours["source"] == SOURCE
    assert (ours["count"], ours["idle"], ours["interval"], ours["tcp-ut"]) == (5, 62, 2, 44_000)


@pytest.mark.parametrize(
    ("server", "more", "address"),
    [
        ("", f"source {SOURCE}", SOURCE),
        ("source 127.67.1.4", f"source {SOURCE}", "127.67.1.4"),
        (f"source {SOURCE} usesrc clientip", "", "127.0.0.1"),
        ("", "source 0.0.0.0 usesrc 127.67.1.5", "127.67.1.5"),
    ],
)
def test_where_connections_come_from(tmp_path: Path, server: str, more: str, address: str) -> None:
    def look(program: OneProgram, client: socket.socket, echoing: Echo) -> Seen:
        with copied_sockets(pid_of(program)) as copies:
            outgoing = connected(copies, echoing.address)
            return {
                "source": outgoing.getsockname()[0],
                "transparent": option(outgoing, "transparent"),
            }

    theirs, ours = both(tmp_path, "", server, more, look)
    assert ours == theirs
    assert ours["source"] == address


def test_a_range_of_ports_is_used_up_and_never_left(tmp_path: Path) -> None:
    def look(program: OneProgram, client: socket.socket, server: Echo) -> Seen:
        others = []
        ports = set()
        for _ in range(3):
            other = socket.create_connection(client.getpeername(), PATIENCE_SECONDS)
            others.append(other)
            other.sendall(b"x")
            answer = other.recv(1)
            assert answer in (b"x", b"")
            if not answer:
                others.pop().close()
        with copied_sockets(pid_of(program)) as copies:
            for copy in copies:
                try:
                    if copy.family == socket.AF_INET and copy.getpeername() == server.address:
                        ports.add(copy.getsockname()[1] - first)
                except OSError:
                    continue
        for other in others:
            other.close()
        return {"ports": ports}

    first = free_port()
    theirs, ours = both(tmp_path, "", f"source {SOURCE}:{first}-{first + 2}", "retries 0", look)
    assert ours == theirs == {"ports": {0, 1, 2}}


def received(subject: socket.socket) -> str:
    """What comes next: text, nothing at a FIN, or the error's name."""
    try:
        return subject.recv(10).decode()
    except OSError as error:
        return type(error).__name__


def endings(command: tuple[str, ...], folder: Path) -> dict[str, list[str]]:
    """What each side sees of the other's end with `option nolinger`."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.67.1.2", 0)))
        server.settimeout(PATIENCE_SECONDS)
        port = free_port()
        place = "{}:{}".format(*server.getsockname())
        text = f"{GLOBAL}listen edge\n    bind {EDGE}:{port}\n    option nolinger\n    server s {place}\n"
        stack.enter_context(one_program(command, folder, text, {}))

        def pair() -> tuple[socket.socket, socket.socket]:
            client = stack.enter_context(socket.create_connection((EDGE, port), PATIENCE_SECONDS))
            client.sendall(b"hello")
            peer = stack.enter_context(server.accept()[0])
            peer.settimeout(PATIENCE_SECONDS)
            assert peer.recv(10) == b"hello"
            return client, peer

        found = {}
        client, peer = pair()
        client.shutdown(socket.SHUT_WR)
        found["client's FIN"] = [received(peer), received(client)]
        client, peer = pair()
        client.close()
        found["client's close"] = [received(peer)]
        client, peer = pair()
        peer.sendall(b"bye")
        peer.shutdown(socket.SHUT_WR)
        found["server's FIN"] = [received(client), received(client)]
        client.sendall(b"more")
        found["after it"] = [received(peer)]
        client, peer = pair()
        peer.sendall(b"bye")
        peer.close()
        found["server's close"] = [received(client), received(client)]
        return found


def test_a_session_ends_by_resets_where_nobody_lingers(tmp_path: Path) -> None:
    """A client's FIN is the end of the session; a server's is passed on first."""
    theirs = endings(haproxy_command(), tmp_path / "haproxy")
    ours = endings(millrace_command(), tmp_path / "millrace")
    assert ours == theirs
    assert ours["client's FIN"] == ["ConnectionResetError", "ConnectionResetError"]
    assert ours["server's FIN"] == ["bye", ""]
