"""HAProxy as the oracle: the same clients and servers, the same termination state, the same end.

Each case runs against Debian's HAProxy and against a relay with the same settings; what the client
sees and the log line must agree, field by field.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from proxy.config.model.settings import Timeouts
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.relay.log import FORMAT, Line, access_log, lines_of, syslog, udp_target
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Blackhole, Server, echo, receive_all, reset, silent_port

pytestmark = pytest.mark.slow

LONG = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=2_000)
REFUSES = "refuses"
UNREACHABLE = "unreachable"
NOWHERE = "nowhere"
Handler = Callable[[socket.socket], None]
Client = Callable[[socket.socket], object]


class Case(NamedTuple):
    name: str
    servers: tuple[Handler | str, ...]
    client: Client
    timeouts: dict[str, int] = {}  # noqa: RUF012  never changed
    fields: dict[str, Any] = {}  # noqa: RUF012
    bytes_vary: bool = False  # with what the sockets between hold


def answer(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"answer")


def answer_and_reset(connection: socket.socket) -> None:
    answer(connection)
    time.sleep(0.1)
    reset(connection)


def say_nothing(connection: socket.socket) -> None:
    time.sleep(2)


def answer_late(connection: socket.socket) -> None:
    connection.recv(100)
    time.sleep(0.5)
    connection.sendall(b"late answer")


def end_and_stay(connection: socket.socket) -> None:
    answer(connection)
    connection.shutdown(socket.SHUT_WR)
    time.sleep(2)


def send_much(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(bytes(8_000_000))


def everything(connection: socket.socket) -> object:
    try:
        received = receive_all(connection)
    except ConnectionResetError:
        return "reset"
    return received[:20], len(received)


def ask(connection: socket.socket) -> object:
    connection.sendall(b"question")
    return everything(connection)


def ask_and_finish(connection: socket.socket) -> object:
    connection.sendall(b"question")
    connection.shutdown(socket.SHUT_WR)
    return everything(connection)


def ask_and_reset(connection: socket.socket) -> object:
    connection.sendall(b"question")
    first = connection.recv(100)
    reset(connection)
    return first


def ask_and_stay(connection: socket.socket) -> object:
    found = ask(connection)
    time.sleep(0.8)
    return found


def leave(connection: socket.socket) -> object:
    time.sleep(0.1)
    return None


def ask_and_read_nothing(connection: socket.socket) -> object:
    connection.sendall(b"question")
    time.sleep(1)
    return None


def go_on_sending(connection: socket.socket) -> object:
    found = ask(connection)
    with contextlib.suppress(OSError):
        for _ in range(5):
            connection.sendall(b"more")
            time.sleep(0.05)
    return found


CASES = (
    Case("the client ends", (echo,), ask_and_finish),
    Case("the server ends", (answer,), ask),
    Case("the client resets", (echo,), ask_and_reset),
    Case("the server resets", (answer_and_reset,), ask),
    Case("refused", (REFUSES,), ask, {}, {"retries": 0}),
    Case("refused twice", (REFUSES,), ask, {"connect_ms": 200}, {"retries": 1}),
    Case("no redispatch", (REFUSES, answer), ask, {"connect_ms": 200}, {"retries": 2}),
    Case("redispatch", (REFUSES, answer), ask, {}, {"retries": 3, "redispatch": -1}),
    Case("redispatch each", (REFUSES, answer), ask, {}, {"retries": 3, "redispatch": 1}),
    Case("no server", (NOWHERE,), ask),
    Case("connect time-out", (UNREACHABLE,), ask, {"connect_ms": 200}, {"retries": 0}),
    Case("connect time-outs", (UNREACHABLE,), ask, {"connect_ms": 200}, {"retries": 2}),
    Case("the client leaves while connecting", (UNREACHABLE,), leave, {"connect_ms": 900}),
    Case("the client finishes while connecting", (UNREACHABLE,), ask_and_finish,
         {"connect_ms": 400}, {"retries": 0}),
    Case("a silent client", (echo,), everything, {"client_ms": 200}),
    Case("a silent client is answered", (answer_late,), ask, {"client_ms": 200}),
    Case("a silent server", (say_nothing,), ask, {"server_ms": 200}),
    Case("both silent", (say_nothing,), ask, {"server_ms": 500, "client_ms": 200}),
    Case("a silent server, a staying client", (say_nothing,), ask_and_stay, {"server_ms": 200}),
    Case("tunnel", (say_nothing,), ask, {"server_ms": 100, "client_ms": 100, "tunnel_ms": 400}),
    Case("server-fin", (say_nothing,), ask_and_finish, {"server_fin_ms": 200}),
    Case("client-fin", (end_and_stay,), ask_and_stay, {"client_fin_ms": 200}),
    Case("server-fin after tunnel", (say_nothing,), ask_and_finish,
         {"server_ms": 100, "client_ms": 100, "tunnel_ms": 5_000, "server_fin_ms": 300}),
    Case("a client that takes nothing", (send_much,), ask_and_read_nothing, {"client_ms": 300},
         bytes_vary=True),
    Case("a client that goes on sending", (answer,), go_on_sending),
)  # fmt: skip


class Outcome(NamedTuple):
    seen: object
    line: Line


def places(case: Case, stack: ExitStack) -> list[RelayServer]:
    """Start what the case needs and say where it is."""
    found = []
    for server in case.servers:
        if server == REFUSES:
            found.append(RelayServer("127.0.0.1", stack.enter_context(silent_port())))
        elif server == UNREACHABLE:
            found.append(RelayServer("127.0.0.1", stack.enter_context(Blackhole()).port))
        elif server == NOWHERE:
            found.append(RelayServer(None, 80))
        elif callable(server):
            found.append(RelayServer(*stack.enter_context(Server(server)).address))
    return found


def with_relay(case: Case) -> Outcome:
    with ExitStack() as stack:
        timeouts = msgspec.structs.replace(LONG, **case.timeouts)
        log = stack.enter_context(syslog())
        relay = stack.enter_context(
            RelayUnderTest(
                places(case, stack),
                timeouts=timeouts,
                access_log=access_log(udp_target(log)),
                **case.fields,
            )
        )
        with relay.connect() as client:
            seen = case.client(client)
        codes = wait_for(relay.terminations, 12, "the session ends")
        assert list(codes.values()) == [1]
        (line,) = lines_of(log, 1)
        assert line.state == next(iter(codes))
        backend = relay.counters("backend")
        redispatched = "+" if backend["redispatches"] else ""
        retries = f"{redispatched}{backend['retries'] + backend['redispatches']}"
        assert line.counts.rpartition("/")[2] == retries
        return Outcome(seen, line)


def configuration(case: Case, port: int, log_port: int, servers: list[RelayServer]) -> str:
    timeouts = {**msgspec.to_builtins(LONG), **case.timeouts}
    lines = ["global", f" log 127.0.0.1:{log_port} local0", " nbthread 1", "listen edge"]
    lines += [" mode tcp", " log global", f" log-format '{FORMAT}'", f" bind 127.0.0.1:{port}"]
    lines += [f" retries {case.fields.get('retries', 3)}"]
    if "redispatch" in case.fields:
        lines += [f" option redispatch {case.fields['redispatch']}"]
    for word, value in timeouts.items():
        if value is not None:
            lines += [f" timeout {word.removesuffix('_ms').replace('_', '-')} {value}ms"]
    for number, server in enumerate(servers):
        off = " disabled" if server.address is None else ""
        lines += [f" server s{number} 127.0.0.1:{server.port}{off}"]
    return "\n".join(lines) + "\n"


def with_haproxy(case: Case, folder: Path) -> Outcome:
    with ExitStack() as stack:
        log = stack.enter_context(syslog())
        port = free_port()
        file = folder / "haproxy.cfg"
        file.write_text(configuration(case, port, log.getsockname()[1], places(case, stack)))
        haproxy = subprocess.Popen(
            [require_program("haproxy"), "-db", "-f", file], stderr=subprocess.DEVNULL
        )
        stack.callback(haproxy.wait)
        stack.callback(haproxy.kill)
        wait_for(lambda: listens(port), 10, "HAProxy listens")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            seen = case.client(client)
        return Outcome(seen, *lines_of(log, 1))


def listens(port: int) -> bool:
    """Whether the port is in the LISTEN state; a connection would be logged."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_sessions_end_as_they_do_in_haproxy(case: Case, tmp_path: Path) -> None:
    ours, theirs = with_relay(case), with_haproxy(case, tmp_path)
    if case.bytes_vary:
        theirs = theirs._replace(line=theirs.line._replace(bytes_read=ours.line.bytes_read))
    assert ours == theirs
