"""HAProxy as the oracle for sessions that wait for a place: how they end, and what is counted.

One server with one place, which a first client holds; others wait. Each case runs against Debian's
HAProxy and against a relay with the same settings: log lines, field by field, and `show stat`.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from proxy.config.model.settings import Balance, Timeouts
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.relay.log import FORMAT, Line, access_log, arrived, syslog, udp_target
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, holding, receive_count

pytestmark = pytest.mark.slow

LONG = Timeouts(client_ms=600_000, server_ms=600_000, connect_ms=600_000)
SOURCE = Balance.SOURCE
COLUMNS = {
    "qcur": "queued", "qmax": "queued_max", "scur": "sessions", "smax": "sessions_max",
    "stot": "sessions_total", "econ": "connection_errors", "wredis": "redispatches",
}  # fmt: skip


class Case(NamedTuple):
    name: str
    act: str
    waiting: int = 1
    timeouts: dict[str, int] = {}  # noqa: RUF012  never changed
    balance: Balance = Balance.ROUNDROBIN
    maxqueue: int = 0
    redispatch: int = 0
    served: bool = True  # all that wait, as far as others stand behind them


CASES = (
    Case("timeout queue", "nothing", 1, {"queue_ms": 300}),
    Case("timeout connect instead", "nothing", 1, {"connect_ms": 400}),
    Case("the client leaves", "leave", 2, {"queue_ms": 1_000}, served=False),
    Case("the client sends and finishes", "finish", 1, {"queue_ms": 400}),
    Case("timeout queue at a server", "nothing", 2, {"queue_ms": 300}, SOURCE, served=False),
    Case("maxqueue", "nothing", 3, {"queue_ms": 500}, SOURCE, 1),
    Case("maintenance", "maint", 2, {"queue_ms": 700}, served=False),
    Case("maintenance with redispatch", "maint", 2, {"queue_ms": 700}, SOURCE, 0, -1, False),
    Case("the holder leaves", "release", 1, {"queue_ms": 600_000}),
    Case("the holder leaves a server's queue", "release", 1, {"queue_ms": 600_000}, SOURCE),
    Case("all are served in turn", "release", 3),
    Case("all are served in turn by one server", "release", 3, {}, SOURCE),
)


class TooLateError(Exception):
    """A time-out ended a session before all that the case wants had happened."""


class Outcome(NamedTuple):
    lines: list[Line]  # of the sessions that waited, and of the holder where it left
    before: dict[str, dict[str, int]]  # while they wait
    after: dict[str, dict[str, int]]


class Peer:
    """One of the two programs: where it listens, its counters, its ended sessions."""

    def __init__(self, address: tuple[str, int], log: socket.socket) -> None:
        self.address = address
        self.log = log
        self.lines: list[Line] = []

    def stat(self) -> dict[str, dict[str, int]]:
        raise NotImplementedError

    def codes(self) -> Counter[str]:
        """The termination states that were logged so far."""
        self.lines += arrived(self.log)
        return Counter(line.state for line in self.lines)

    def maintain(self) -> None:
        raise NotImplementedError


class Relay(Peer):
    def __init__(self, relay: RelayUnderTest, log: socket.socket) -> None:
        super().__init__(relay.address, log)
        self.relay = relay

    def stat(self) -> dict[str, dict[str, int]]:
        return {
            row: {column: self.relay.counters(row)[field] for column, field in COLUMNS.items()}
            for row in ("server", "backend")
        }

    def maintain(self) -> None:
        self.relay.administer(0, flags=AdminFlag.FMAINT)


class HAProxy(Peer):
    def __init__(self, port: int, socket_path: Path, log: socket.socket) -> None:
        super().__init__(("127.0.0.1", port), log)
        self.socket_path = socket_path

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket_path))
            client.sendall(command.encode() + b"\n")
            answer = b""
            while data := client.recv(65_536):
                answer += data
        return answer.decode()

    def stat(self) -> dict[str, dict[str, int]]:
        head, *lines = self.ask("show stat").lstrip("# ").splitlines()
        rows = [dict(zip(head.split(","), line.split(","), strict=False)) for line in lines if line]
        by_name = {row["svname"]: row for row in rows}
        return {
            name: {column: int(by_name[row][column]) for column in COLUMNS}
            for name, row in (("server", "s0"), ("backend", "BACKEND"))
        }

    def maintain(self) -> None:
        assert self.ask("set server edge/s0 state maint").strip() == ""


def run(case: Case, peer: Peer) -> Outcome:
    with ExitStack() as stack:
        holder = stack.enter_context(socket.create_connection(peer.address, PATIENCE_SECONDS))
        assert receive_count(holder, 1) == b"x"
        row = "server" if case.balance is SOURCE else "backend"
        clients: list[socket.socket] = []
        while len(clients) < case.waiting:
            clients.append(
                stack.enter_context(socket.create_connection(peer.address, PATIENCE_SECONDS))
            )
            wait_for(
                lambda: peer.stat()[row]["qcur"] + peer.codes().total() >= len(clients),
                *(2, "it waits, or is refused"),
            )
        if case.maxqueue:
            wait_for(lambda: peer.codes().total() >= 2, 5, "the others are refused")
        before = peer.stat()
        if peer.codes() != ({"SQ": 2} if case.maxqueue else {}):
            raise TooLateError
        if case.act == "leave":
            clients[0].close()
            wait_for(peer.codes, 5, "it has left")
            if peer.codes()["CQ"] != 1:
                raise TooLateError
        elif case.act == "finish":
            clients[0].sendall(b"question")
            clients[0].shutdown(socket.SHUT_WR)
        elif case.act == "maint":
            peer.maintain()
        elif case.act == "release":
            holder.close()
            for client in clients:
                assert receive_count(client, 1) == b"x"
                client.close()
        ended = case.waiting + (case.act == "release")
        wait_for(lambda: sum(peer.codes().values()) == ended, 5, "the sessions end")
        wait_for(lambda: peer.stat()["backend"]["scur"] == 1 + case.waiting - ended, 5, "all gone")
        return Outcome(sorted(peer.lines), before, peer.stat())


@contextlib.contextmanager
def haproxy(case: Case, folder: Path, server_port: int) -> Iterator[Peer]:
    timeouts = {**msgspec.to_builtins(LONG), **case.timeouts}
    port, socket_path = free_port(), folder / "stats"
    with syslog() as log:
        lines = ["global", f" log 127.0.0.1:{log.getsockname()[1]} local0", " nbthread 1"]
        lines += [f" stats socket {socket_path} level admin", "listen edge", " mode tcp"]
        lines += [" log global", f" log-format '{FORMAT}'", f" bind 127.0.0.1:{port}"]
        lines += [f" balance {case.balance.value}"]
        lines += [f" option redispatch {case.redispatch}"] * (case.redispatch != 0)
        lines += [
            f" timeout {word.removesuffix('_ms').replace('_', '-')} {value}ms"
            for word, value in timeouts.items()
            if value is not None
        ]
        limit = f"maxconn 1 maxqueue {case.maxqueue}"
        file = folder / "haproxy.cfg"
        file.write_text("\n".join([*lines, f" server s0 127.0.0.1:{server_port} {limit}", ""]))
        process = subprocess.Popen(
            [require_program("haproxy"), "-db", "-f", file], stderr=subprocess.DEVNULL
        )
        try:
            wait_for(socket_path.exists, 10, "HAProxy starts")
            peer = HAProxy(port, socket_path, log)
            wait_for(lambda: connects(peer), 10, "HAProxy answers")
            yield peer
        finally:
            process.kill()
            process.wait()


def connects(peer: HAProxy) -> bool:
    try:
        return "uptime" in peer.ask("show info").lower()
    except OSError:
        return False


def played(case: Case, play: Callable[[Case], Outcome]) -> Outcome:
    """With longer time-outs where the machine is too busy for these."""
    for factor in (1, 4, 16):
        longer = {name: factor * value for name, value in case.timeouts.items()}
        with contextlib.suppress(TooLateError):
            return play(case._replace(timeouts=longer))
    pytest.fail("too busy a machine")


def with_haproxy(case: Case, folder: Path) -> Outcome:
    with Server(holding("x")) as server, haproxy(case, folder, server.port) as peer:
        return run(case, peer)


def with_relay(case: Case) -> Outcome:
    fields: dict[str, Any] = {"balance": case.balance, "redispatch": case.redispatch}
    with (
        syslog() as log,
        Server(holding("x")) as server,
        RelayUnderTest(
            [RelayServer(*server.address, maxconn=1, maxqueue=case.maxqueue)],
            timeouts=msgspec.structs.replace(LONG, **case.timeouts),
            access_log=access_log(udp_target(log)),
            **fields,
        ) as relay,
    ):
        return run(case, Relay(relay, log))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_who_waits_ends_as_in_haproxy(case: Case, tmp_path: Path) -> None:
    """A place in the queue is that at the beginning; HAProxy counts the sessions served before."""
    ours = played(case, with_relay)
    theirs = played(case, lambda longer: with_haproxy(longer, tmp_path))
    if not case.served:
        ours = ours._replace(lines=[line._replace(queues="") for line in ours.lines])
        theirs = theirs._replace(lines=[line._replace(queues="") for line in theirs.lines])
    assert ours == theirs


def test_a_client_that_is_silent_too_long_while_it_waits(tmp_path: Path) -> None:
    """Both clients are silent here, the one that is served too."""
    case = Case("timeout client", "nothing", 1, {"queue_ms": 2_000, "client_ms": 300})
    codes: list[Counter[str]] = []
    with Server(holding("x")) as server, haproxy(case, tmp_path, server.port) as peer:
        codes.append(silent(peer))
    with (
        syslog() as log,
        Server(holding("x")) as server,
        RelayUnderTest(
            [RelayServer(*server.address, maxconn=1)],
            timeouts=msgspec.structs.replace(LONG, **case.timeouts),
            access_log=access_log(udp_target(log)),
        ) as under_test,
    ):
        codes.append(silent(Relay(under_test, log)))
    assert codes == [Counter({"cQ": 1, "cD": 1})] * 2


def silent(peer: Peer) -> Counter[str]:
    with (
        socket.create_connection(peer.address, PATIENCE_SECONDS) as holder,
        socket.create_connection(peer.address, PATIENCE_SECONDS),
    ):
        assert receive_count(holder, 1) == b"x"
        wait_for(lambda: sum(peer.codes().values()) == 2, 5, "both end")
        return peer.codes()
