"""`show sess` and `shutdown session`: the same sessions, answers, levels, ends and log lines."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

CONFIGURATION = """global
  nbthread 1
  stats socket {folder}/s level admin
  stats socket {folder}/operator level operator
  stats socket {folder}/user level user
  log {log} local0
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 30s
  timeout client 50s
  timeout server 60s
frontend fe
  bind 127.0.0.1:FE
  bind [::1]:FE
  bind {folder}/unix
  default_backend be
backend be
  server s 127.0.0.1:SERVER
listen full
  bind 127.0.0.1:FULL
  server q 127.0.0.1:SERVER maxconn 1
listen waits
  bind 127.0.0.1:WAITS
  tcp-request inspect-delay 40s
  tcp-request content accept if {{ req.len 10 }}
  server w 127.0.0.1:SERVER
listen stuck
  bind 127.0.0.1:STUCK
  server full 127.0.0.1:BACKLOG
"""
WORDS = re.compile(r"(\w+)=(\S*)")
SAME = ("proto", "fe", "be", "srv", "age", "rc", "exp", "c_exp")
AGED_SECONDS = 1.2
ORDERS = (
    *("show sess 0x123", "shutdown session", "shutdown session 0x12"),
    *("shutdown session nope", "shutdown sessions server", "shutdown sessions server be"),
    *("shutdown sessions server nope/s", "shutdown sessions server be/nope"),
)


class Scene(NamedTuple):
    """A program with a session in each state; `clients` by the section that they came to."""

    program: OneProgram
    clients: dict[str, socket.socket]
    servers: list[socket.socket]


@contextmanager
def scene(name: str, folder: Path) -> Iterator[Scene]:
    """Two sessions with a server, by IPv4, IPv6 and a Unix socket, and one in each other state."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        closed.listen(0)
        for _ in range(2):  # its backlog is full now
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(closed.getsockname())
        ports = {word: free_port() for word in ("FE", "FULL", "WAITS", "STUCK")}
        text = CONFIGURATION.replace("SERVER", str(listening.getsockname()[1]))
        text = text.replace("BACKLOG", str(closed.getsockname()[1]))
        for word, port in ports.items():
            text = text.replace(f":{word}", f":{port}")
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        servers: list[socket.socket] = []
        clients: dict[str, socket.socket] = {}

        def come(label: str, client: socket.socket, *, served: bool = True) -> None:
            clients[label] = stack.enter_context(client)
            if served:
                servers.append(stack.enter_context(listening.accept()[0]))

        listening.settimeout(PATIENCE_SECONDS)
        come("four", socket.create_connection(("127.0.0.1", ports["FE"])))
        come("six", socket.create_connection(("::1", ports["FE"])))
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(str(folder / name / "unix"))
        come("unix", unix)
        come("first", socket.create_connection(("127.0.0.1", ports["FULL"])))
        come("queued", socket.create_connection(("127.0.0.1", ports["FULL"])), served=False)
        come("waits", socket.create_connection(("127.0.0.1", ports["WAITS"])), served=False)
        come("stuck", socket.create_connection(("127.0.0.1", ports["STUCK"])), served=False)
        yield Scene(program, clients, servers)


def rows(program: OneProgram, command: str = "show sess") -> dict[str, dict[str, str]]:
    """Words of each session by its client's address; that of the question itself is left out."""
    found = {}
    for line in program.ask(command).splitlines():
        words = dict(WORDS.findall(line))
        if words and words["fe"] != "GLOBAL":
            words["id"] = line.partition(":")[0]
            found[words["src"]] = words
    return found


def by_label(there: Scene, command: str = "show sess") -> dict[str, dict[str, str]]:
    """The same by our name of the client."""
    found = rows(there.program, command)
    told = {}
    for label, client in there.clients.items():
        name = client.getsockname() if client.family != socket.AF_UNIX else None
        source = f"{name[0]}:{name[1]}" if name else "unix:3"
        if source in found:
            told[label] = found[source]
    return told


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    folder = tmp_path_factory.mktemp("sessions")
    with ExitStack() as stack:
        yield {name: stack.enter_context(scene(name, folder)) for name in PROGRAMS}


def settled(there: Scene) -> dict[str, dict[str, str]]:
    """All sessions, once each is as old that no second begins while both are asked."""

    def old() -> dict[str, dict[str, str]] | None:
        found = by_label(there, "show sess older 1")
        return found if len(found) == len(there.clients) else None

    wait_for(old, PATIENCE_SECONDS, "all sessions are a second old")
    return by_label(there)


def test_the_same_sessions_are_shown(scenes: dict[str, Scene]) -> None:
    found = {name: settled(there) for name, there in scenes.items()}
    assert set(found["millrace"]) == set(found["haproxy"]) == set(scenes["millrace"].clients)
    for label, theirs in found["haproxy"].items():
        ours = found["millrace"][label]
        same = [word for word in SAME if word not in ("age", "exp", "c_exp")]
        assert {word: ours[word] for word in same} == {word: theirs[word] for word in same}, label
        assert ours["scb"].split(",")[0] == theirs["scb"].split(",")[0], label
    assert re.fullmatch(r"[1-9]s", found["millrace"]["four"]["age"])
    assert re.fullmatch(r"4\ds", found["millrace"]["four"]["exp"])
    assert re.fullmatch(r"[23]\ds", found["millrace"]["stuck"]["c_exp"])
    assert re.fullmatch(r"3\ds", found["millrace"]["waits"]["exp"])


def test_one_session_is_told_in_full(scenes: dict[str, Scene]) -> None:
    told = {}
    for name, there in scenes.items():
        one = by_label(there)["four"]
        text = there.program.ask(f"show sess {one['id']}")
        told[name] = re.findall(
            r"^  (frontend|backend|server)=(\S+) \(id=(\d+)", text, re.MULTILINE
        )
        assert f"source={one['src']}" in text
        ends = there.servers[0]
        assert "addr={}:{}".format(*ends.getpeername()) in text  # from where the server is called
        assert "addr={}:{}".format(*ends.getsockname()) in text
        assert re.match(rf"{one['id']}: \[\d\d/\w{{3}}/\d{{4}}:[\d:]{{8}}\.\d{{6}}\] ", text)
    assert told["millrace"] == told["haproxy"]


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_answered_alike(scenes: dict[str, Scene], order: str) -> None:
    assert scenes["millrace"].program.ask(order) == scenes["haproxy"].program.ask(order)


@pytest.mark.parametrize(
    ("level", "order"), [("user", "show sess"), ("operator", "shutdown session 0x1")]
)
def test_levels_are_the_same(scenes: dict[str, Scene], level: str, order: str) -> None:
    answers = set()
    for there in scenes.values():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(there.program.folder / level))
            client.sendall(order.encode() + b"\n")
            answers.add(b"".join(iter(lambda c=client: c.recv(4096), b"")))
    assert answers == {b"Permission denied\n\n"}


def ended(there: Scene, label: str) -> tuple[str, str]:
    """How a killed session ends for its client, and the termination state in its log line."""
    wait_for(lambda: label in by_label(there), PATIENCE_SECONDS, "it is shown")
    one = by_label(there)[label]
    assert there.program.ask(f"shutdown session {one['id']}") == "\n"
    client = there.clients[label]
    client.settimeout(PATIENCE_SECONDS)
    try:
        heard = "end" if client.recv(1) == b"" else "bytes"
    except ConnectionResetError:
        heard = "reset"
    port = client.getsockname()[1]

    def line() -> str | None:
        there.program.read()
        return next((text for _, text in there.program.lines if f":{port} [" in text), None)

    text = wait_for(line, PATIENCE_SECONDS, "the session's log line")
    return heard, text.split()[-3]


@pytest.mark.parametrize("label", ["queued", "stuck", "six"])
def test_a_session_is_ended(tmp_path: Path, label: str) -> None:
    told = {}
    for name in PROGRAMS:
        with scene(name, tmp_path) as there:
            told[name] = ended(there, label)
            wait_for(
                lambda there=there: label not in by_label(there), PATIENCE_SECONDS, "it is gone"
            )
            assert len(by_label(there)) == len(there.clients) - 1
            assert "No such session" in there.program.ask("shutdown session 0x1")
    assert told["millrace"] == told["haproxy"]


def test_a_session_that_rules_look_at_is_ended_at_once(tmp_path: Path) -> None:
    """HAProxy ends it when its inspect-delay is over."""
    with scene("millrace", tmp_path) as there:
        assert ended(there, "waits") == ("end", "KC")


def test_the_sessions_of_a_server_are_ended(tmp_path: Path) -> None:
    left = {}
    for name in PROGRAMS:
        with scene(name, tmp_path) as there:
            assert there.program.ask("shutdown sessions server be/s") == "\n"
            gone = ("four", "six", "unix")
            wait_for(
                lambda there=there, gone=gone: not set(by_label(there)) & set(gone),
                PATIENCE_SECONDS,
                "its sessions are gone",
            )
            left[name] = set(by_label(there))
    assert left["millrace"] == left["haproxy"] == {"first", "queued", "waits", "stuck"}
