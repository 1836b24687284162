"""A successor takes over (`-sf`), or a reload: no new client waits, is refused or reset."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.kernel.listening import Listening, listening
from proxy.supervisor import neighbours
from proxy.supervisor.binding import SocketOptions, Steering, open_listener, queue_length
from proxy.supervisor.departure import Closing, Members
from proxy.supervisor.listening import OpenSocket
from proxy.supervisor.neighbours import Neighbours, group_order
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.program import NamedBackend, Program

TOTAL_RETRANS, DSACK_DUPS = 100, 216  # bytes into struct tcp_info
DUPLICATE_SECONDS = 2.0  # for the word that both copies of a packet came: it was only late
CLIENTS = 6
CONFIGURATION = """
global
    nbthread {workers}
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    bind {address}:{port} v6only
    server a 127.0.0.1:{server}
"""


class Crowd:
    """Clients that come one after the other, in several threads, and what became of them."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.served = 0
        self.repeated = 0
        self.failures: list[str] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.come) for _ in range(CLIENTS)]

    def come(self) -> None:
        while not self.over.is_set():
            try:
                with socket.create_connection(self.target, PATIENCE_SECONDS) as client:
                    client.sendall(b"x")
                    received = b""
                    while not received.endswith(b"\nx"):
                        chunk = client.recv(100)
                        assert chunk, f"closed after {received!r}"
                        received += chunk
                    self.repeated += lost_packets(client)
                self.served += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def await_more(self, count: int) -> None:
        goal = self.served + count
        wait_for(lambda: self.served >= goal or self.failures, 5, f"{count} more clients")

    def judge(self) -> None:
        assert self.failures == []
        assert self.repeated == 0, f"packets repeated by {self.served} clients"


def lost_packets(client: socket.socket) -> int:
    """How many packets the client had to repeat, but for those that the other end got twice."""

    def lost() -> int:
        told = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, DSACK_DUPS + 4)
        repeated, twice = (
            int.from_bytes(told[at : at + 4], "little") for at in (TOTAL_RETRANS, DSACK_DUPS)
        )
        return max(0, repeated - twice)

    until = time.monotonic() + DUPLICATE_SECONDS
    while (found := lost()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def crowd(target: tuple[str, int]) -> Iterator[Crowd]:
    come = Crowd(target)
    for thread in come.threads:
        thread.start()
    try:
        yield come
    finally:
        come.over.set()
        for thread in come.threads:
            thread.join()


@pytest.fixture
def server() -> Iterator[NamedBackend]:
    backend = NamedBackend("127.0.0.1", 0)
    yield backend
    backend.close()


def configuration(address: str, port: int, server: NamedBackend, workers: int) -> str:
    text = CONFIGURATION.format(address=address, port=port, server=server.port, workers=workers)
    return text if ":" in address else text.replace(" v6only", "")


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "counts"),
    [
        ("127.0.0.1", (1, 1, 1)),
        ("::1", (1, 1, 1)),
        ("127.0.0.1", (4, 4, 4)),
        ("127.0.0.1", (4, 1, 2)),
        ("::1", (4, 4, 4)),
        ("0.0.0.0", (1, 2, 4)),
        ("::", (1, 2, 4)),
    ],
)
def test_successors_take_over_and_no_client_notices(
    tmp_path: Path, server: NamedBackend, address: str, counts: tuple[int, ...]
) -> None:
    """The second succession finds a group whose first members have left it."""
    port = free_port()
    target = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address), port)
    texts = [configuration(address, port, server, workers) for workers in counts]
    with contextlib.ExitStack() as programs, crowd_of(programs, tmp_path, texts[0], target) as all_:
        come, program = all_
        for generation, text in enumerate(texts[1:], 1):
            arguments = ("-db", "-sf", str(program.process.pid))
            successor = programs.enter_context(
                Program(folder(tmp_path, str(generation)), text, *arguments)
            )
            assert program.process.wait(PATIENCE_SECONDS) == 0
            come.await_more(200)
            program = successor
    come.judge()


@pytest.mark.slow
@pytest.mark.parametrize("reloads", [False, True])
@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (("127.0.0.1", "0.0.0.0"), "127.0.0.1"),
        (("0.0.0.0", "127.0.0.1"), "127.0.0.1"),
        (("::1", "::"), "::1"),
    ],
)
def test_clients_of_an_address_that_another_covers_notice_nothing(
    tmp_path: Path,
    server: NamedBackend,
    addresses: tuple[str, str],
    target: str,
    reloads: bool,
) -> None:
    """The successor listens on more addresses than its predecessor, or on this one of them only."""
    port = free_port()
    texts = [configuration(address, port, server, 2) for address in addresses]
    with (
        contextlib.ExitStack() as programs,
        crowd_of(programs, tmp_path, texts[0], (target, port)) as (come, program),
    ):
        if reloads:
            former = set(program.children()["worker"])
            program.write(texts[1])
            program.process.send_signal(signal.SIGUSR2)
            wait_for(lambda: workers_are_others(program, former), 15, "only new workers")
        else:
            arguments = ("-db", "-sf", str(program.process.pid))
            programs.enter_context(Program(folder(tmp_path, "1"), texts[1], *arguments))
            assert program.process.wait(PATIENCE_SECONDS) == 0
        come.await_more(200)
    come.judge()


@pytest.mark.slow
@pytest.mark.parametrize("reloads", [False, True])
def test_clients_that_wait_for_a_place_at_a_closing_socket_are_served(
    tmp_path: Path, server: NamedBackend, reloads: bool
) -> None:
    """They would be reset with it. A reload closes it if its address is no longer there."""
    ports = free_port(), free_port()
    text, other = (
        configuration("127.0.0.1", port, server, 2).replace(
            "bind", "backlog 100\n    maxconn 2\n    bind"
        )
        for port in ports
    )
    with Program(tmp_path, text) as program, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", ports[0]), PATIENCE_SECONDS))
            for _ in range(10)
        ]
        served, _, _ = select.select(clients, [], [], PATIENCE_SECONDS)
        assert 0 < len(served) <= 2
        program.write(other)
        program.process.send_signal(signal.SIGUSR2 if reloads else signal.SIGUSR1)
        for client in clients:
            assert client.recv(100) == b"127.0.0.1\n"


@contextlib.contextmanager
def crowd_of(
    programs: contextlib.ExitStack, parent: Path, text: str, target: tuple[str, int]
) -> Iterator[tuple[Crowd, Program]]:
    program = programs.enter_context(Program(folder(parent, "0"), text))
    with crowd(target) as come:
        come.await_more(50)
        yield come, program


@pytest.mark.slow
@pytest.mark.parametrize(("address", "workers"), [("127.0.0.1", 4), ("::1", 1)])
def test_reloads_and_no_client_notices(
    tmp_path: Path, server: NamedBackend, address: str, workers: int
) -> None:
    port = free_port()
    texts = [configuration(address, port, server, count) for count in (workers, workers + 1)]
    with (
        contextlib.ExitStack() as programs,
        crowd_of(programs, tmp_path, texts[0], (address, port)) as (come, program),
    ):
        for generation in range(1, 5):
            former = set(program.children()["worker"])
            program.write(texts[generation % 2])
            program.process.send_signal(signal.SIGUSR2)
            wait_for(lambda gone=former: workers_are_others(program, gone), 15, "only new workers")
            come.await_more(50)
    come.judge()


def workers_are_others(program: Program, former: set[int]) -> bool:
    workers = set(program.titled_children().get("worker", ()))
    return bool(workers) and not workers & former


def leave_group(members: Members, group: list[str]) -> Iterator[tuple[list[int], list[str]]]:
    """The program and the group, as the kernel changes it, before and after each closing."""
    while "closing" in group:
        targets = [members.last] if group.count("closing") == 1 else members.targets
        yield targets, group
        number = group.index("closing")
        group[number] = group[-1]
        group.pop()
        members.leave()
        yield targets, group


@pytest.mark.parametrize("closing", range(1, 9))
@pytest.mark.parametrize("more", range(4))
def test_a_group_that_grows_or_stays_as_large_names_no_closing_member(
    closing: int, more: int
) -> None:
    """A worker with one of the numbers stays; a number of no worker means any of those left."""
    leaving = [True] * closing + [False] * (closing + more)
    group = ["closing" if leaves else "staying" for leaves in leaving]
    for targets, now in leave_group(Members(leaving), group):
        named = [now[number] for number in targets if number < len(now)]
        assert set(named or now) == {"staying"}
    assert targets == [len(now)], "nothing is left of the program"
    assert len(now) == closing + more


def test_a_group_that_shrinks_names_those_that_stay() -> None:
    members = Members([True] * 4 + [False])
    assert members.targets == [4]
    members.leave()
    assert [members.targets, members.last_stays] == [[0], False]


def test_an_elder_group_stays_where_it_is() -> None:
    members = Members([False, False, True, True])
    assert members.targets == [0, 1]
    members.leave()
    assert [members.targets, members.last_stays] == [[0, 1], False]


@pytest.mark.parametrize("host", ["127.44.9.1", "::1"])
def test_a_group_is_told_by_age_and_others_are_not_of_it(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = free_port()
    with contextlib.ExitStack() as stack:
        group = [listen(stack, family, host, port) for _ in range(4)]
        listen(stack, family, "::" if ":" in host else "0.0.0.0", port)
        assert group_order(group[:1], Neighbours()) == [True, False, False, False]
        assert group_order(group[2:], Neighbours()) == [False, False, True, True]


def test_the_kernel_lists_a_port_once_however_many_addresses_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed: list[tuple[int, int]] = []
    listing = listening

    def counted(family: int, port: int) -> Iterator[Listening]:
        listed.append((family, port))
        return listing(family, port)

    monkeypatch.setattr(neighbours, "listening", counted)
    port = free_port()
    hosts = [f"127.44.9.{number}" for number in range(1, 6)]
    with contextlib.ExitStack() as stack:
        items = [
            OpenSocket(
                listen(stack, socket.AF_INET, host, port),
                Endpoint(SocketFamily.IPV4, host, port),
            )
            for host in hosts
        ]
        departure = Closing(items)
        assert listed == [(socket.AF_INET, port)]
        departure.shut()


def listen(stack: contextlib.ExitStack, family: int, host: str, port: int) -> socket.socket:
    listener = stack.enter_context(socket.socket(family))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


def test_a_newcomer_ends_what_was_left_of_a_program() -> None:
    host = "127.44.9.1"
    port = free_port()
    with contextlib.ExitStack() as stack:
        first = listen(stack, socket.AF_INET, host, port)
        Steering([1]).begin(first)  # no worker
        endpoint = Endpoint(SocketFamily.IPV4, host, port)
        newcomer = stack.enter_context(open_listener(endpoint, SocketOptions(backlog=100)))
        for _ in range(40):
            stack.enter_context(socket.create_connection((host, port), PATIENCE_SECONDS))
        assert queue_length(first) + queue_length(newcomer) == 40
        assert queue_length(first) > 0


def test_clients_at_closing_sockets_end_a_wrong_program() -> None:
    """They are dealt out as ever then: some wait for a second, not all."""
    host = "127.44.9.1"
    port = free_port()
    endpoint = Endpoint(SocketFamily.IPV4, host, port)
    with contextlib.ExitStack() as stack:
        closing, staying = (listen(stack, socket.AF_INET, host, port) for _ in range(2))
        departure = Closing([OpenSocket(closing, endpoint)])
        Steering([0]).begin(staying)  # the ages do not say how an elder program has left the group
        for _ in range(40):
            begin(stack, (host, port))
        assert [queue_length(closing), queue_length(staying)] == [0, 0]
        departure.look()
        for _ in range(40):
            begin(stack, (host, port))
        assert [queue_length(closing), queue_length(staying) > 0] == [0, True]
        departure.shut()


def begin(stack: contextlib.ExitStack, target: tuple[str, int]) -> None:
    client = stack.enter_context(socket.socket())
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        client.connect(target)
