"""`maxconn` of a server holds over the generations of a reload: old sessions have their places."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.scripted import records
from tests.support.program.program import NamedBackend
from tests.support.program.site import Site
from tests.support.servers import CountingServer

pytestmark = pytest.mark.slow
PLACES = 2
QUIET_SECONDS = 0.3  # in which a client that has to wait is not served; slowness changes nothing
NAME = "app.test"
SERVER = "server s1 {address}:{{port}} maxconn {places}"
QUEUE = "    timeout queue 600s"
CLIENTS = 12  # at a time, in the torture
ROUNDS = 250
RELOADS = 4


class Edge(Site):
    """The program before servers that greet, with clients that may have to wait."""

    def configuration(self, servers: str, **parts: str) -> str:
        return super().configuration(servers, **{"defaults": QUEUE, **parts})

    def asking(self) -> socket.socket:
        client = socket.create_connection(self.front, PATIENCE_SECONDS)
        self.stack.callback(client.close)
        return client

    def sessions(self, number: int = PLACES) -> list[socket.socket]:
        """Clients that are served."""
        clients = [self.asking() for _ in range(number)]
        assert all(map(served, clients))
        return clients

    def workers(self) -> set[int]:
        """Of all generations."""
        return set(self.program.children()["worker"])

    def waiting(self) -> int:
        """Clients that wait in the newest generation."""
        rows = [line.split(",") for line in self.program.ask("show stat").splitlines() if line]
        place = rows[0].index("qcur")
        return sum(int(row[place]) for row in rows[1:] if row[place])

    def reload(self) -> None:
        """Reload; returns when the old workers take no more clients."""
        before = self.workers()
        super().reload()
        wait_for(lambda: not any(map(accepts, before)), PATIENCE_SECONDS, "their last client")

    def queued(self) -> socket.socket:
        """One more client, which waits in the newest generation."""
        before = self.waiting()
        client = self.asking()
        wait_for(lambda: self.waiting() == before + 1, PATIENCE_SECONDS, "it waits")
        assert waits(client)
        return client

    def accepted(self) -> int:
        return sum(backend.accepted for backend in self.backends.values())


def accepts(pid: int) -> bool:
    """Whether a worker waits for clients: some epoll of it has a TCP socket that listens."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    listening = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}
    process = Path(f"/proc/{pid}")
    try:
        links = {link.name: str(link.readlink()) for link in (process / "fd").iterdir()}
        watched = {
            line.split()[1]
            for number, link in links.items()
            if link.endswith("[eventpoll]")
            for line in (process / "fdinfo" / number).read_text().splitlines()
            if line.startswith("tfd:")
        }
    except FileNotFoundError:  # it has ended, or closes something just now
        return process.exists()
    return any(links.get(number) in listening for number in watched)


def served(client: socket.socket) -> str:
    """Which server greets it."""
    return client.recv(64).decode().strip()


def waits(client: socket.socket) -> bool:
    client.settimeout(QUIET_SECONDS)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_SECONDS)
    return False


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with ExitStack() as stack:
        yield Edge(tmp_path, stack, "127.0.177")


def start(edge: Edge, workers: int = 1, places: int = PLACES, balance: str = "") -> str:
    """One server with so many places, whose address follows."""
    address = edge.serve(1)
    line = SERVER.format(address=address, places=places)
    edge.start(f"{balance}\n    {line}", globally=f"    nbthread {workers}")
    return address


@pytest.mark.parametrize("balance", ["", "balance source"])
@pytest.mark.parametrize(("workers", "reloads"), [(1, 1), (1, 2), (3, 1), (3, 3)])
def test_sessions_of_old_generations_keep_their_places(
    edge: Edge, workers: int, reloads: int, balance: str
) -> None:
    start(edge, workers, balance=balance)
    old = edge.sessions()
    for _ in range(reloads):
        edge.reload()
    third, fourth = edge.queued(), edge.queued()
    assert edge.accepted() == PLACES
    old.pop().close()
    # a worker that had no turn for 300 ms is passed over: then the other one's client is the first
    first = (
        third if workers == 1 else select.select([third, fourth], [], [], PATIENCE_SECONDS)[0][0]
    )
    second = fourth if first is third else third
    assert served(first)
    assert waits(second)
    first.close()
    assert served(second)
    assert edge.accepted() == PLACES + 2


def test_each_generation_has_some_of_the_places(edge: Edge) -> None:
    start(edge, 2, places=4)
    of_each = []
    for _ in range(4):
        of_each += edge.sessions(1)
        edge.reload()
    later = edge.queued()
    of_each[2].close()
    assert served(later)
    assert edge.queued()


def test_a_killed_worker_of_an_old_generation_gives_its_places_back(edge: Edge) -> None:
    start(edge, 2)
    edge.sessions()
    old = edge.workers()
    edge.reload()
    waiting = [edge.queued(), edge.queued(), edge.queued()]
    for pid in old & edge.workers():
        os.kill(pid, signal.SIGKILL)
    assert served(waiting[0])
    assert served(waiting[1])
    assert waits(waiting[2])
    waiting[0].close()
    assert served(waiting[2])


def test_a_killed_worker_of_the_new_generation_leaves_the_old_places_alone(edge: Edge) -> None:
    start(edge)
    old = edge.sessions()
    before = edge.workers()
    edge.reload()
    new = (edge.workers() - before).pop()
    os.kill(new, signal.SIGKILL)
    wait_for(lambda: edge.workers() - before - {new}, PATIENCE_SECONDS, "it has a successor")
    later = edge.queued()
    old[0].close()
    assert served(later)


@pytest.mark.parametrize("places", [1, 3])
def test_a_limit_that_the_reload_changes_counts_the_old_sessions(edge: Edge, places: int) -> None:
    address = start(edge)
    old = edge.sessions()
    edge.program.write(edge.configuration(SERVER.format(address=address, places=places)))
    edge.reload()
    edge.sessions(max(places - PLACES, 0))
    later = edge.queued()
    old[0].close()
    if places < PLACES:
        assert waits(later)
        old[1].close()
    assert served(later)


def test_a_name_that_one_generation_does_not_have_keeps_its_sessions(edge: Edge) -> None:
    first, second = edge.serve(1), edge.serve(2)
    text = edge.configuration(SERVER.format(address=first, places=PLACES))
    edge.start(SERVER.format(address=first, places=PLACES))
    old = edge.sessions()
    other = edge.configuration(f"server s2 {second}:{{port}} maxconn {PLACES}")
    edge.program.write(other)
    edge.reload()
    assert {served(client) for client in [edge.asking(), edge.asking()]} == {second}
    assert edge.queued()
    edge.program.write(text)
    edge.reload()
    later = edge.queued()
    old[0].close()
    assert served(later) == first


def test_a_limit_that_was_ordered_before_the_reload_counts_all_sessions(edge: Edge) -> None:
    address = edge.serve(1)
    edge.start(f"server s1 {address}:{{port}}", globally="    nbthread 3")
    old = edge.sessions(6)
    assert edge.program.ask("set maxconn server edge/s1 6").strip() == ""
    edge.reload()
    later = edge.queued()
    old[0].close()
    assert served(later)


def test_places_are_of_an_address_which_dns_may_change_in_between(edge: Edge) -> None:
    """The old workers hear of no change any more: what they have leads where it led."""
    first, second = edge.serve(1), edge.serve(2)
    edge.nameserver.set(NAME, "A", records(first))
    edge.start(f"server s1 {NAME}:{{port}} resolvers r1 maxconn {PLACES}")
    edge.wait_states(first)
    at_first = edge.sessions()
    edge.reload()
    third = edge.queued()
    edge.nameserver.set(NAME, "A", records(second))
    assert served(third) == second
    assert [served(client) for client in [edge.asking()]] == [second]
    later = edge.queued()
    edge.reload()
    assert waits(later)
    edge.nameserver.set(NAME, "A", records(first))
    edge.wait_states(first)
    newest = edge.queued()
    third.close()
    assert waits(newest)
    at_first[0].close()
    assert {served(newest)} == {first}
    assert edge.queued()


def test_sessions_from_before_a_change_of_address_count_for_none_after_it(edge: Edge) -> None:
    """The old generation itself has sessions at both addresses."""
    first, second = edge.serve(1), edge.serve(2)
    edge.nameserver.set(NAME, "A", records(first))
    edge.start(f"server s1 {NAME}:{{port}} resolvers r1 maxconn {PLACES}")
    edge.wait_states(first)
    at_first = edge.sessions()
    edge.nameserver.set(NAME, "A", records(second))
    edge.wait_states(second)
    at_second = edge.sessions(1)
    edge.reload()
    assert served(edge.asking()) == second
    later = edge.queued()
    at_first[0].close()
    assert waits(later)
    at_second[0].close()
    assert served(later) == second


def test_however_clients_come_over_reloads_no_server_has_too_many_and_no_client_waits_in_vain(
    edge: Edge, seed: int
) -> None:
    chance = random.Random(seed)
    server = edge.stack.enter_context(CountingServer(PLACES))
    edge.start(
        f"server s1 127.0.0.1:{server.port} maxconn {PLACES}",
        globally="    nbthread 2",
    )
    clients = [edge.asking() for _ in range(CLIENTS)]
    for number in range(ROUNDS):
        if number % (ROUNDS // RELOADS) == 1:
            edge.program.process.send_signal(signal.SIGUSR2)
        client = clients.pop(chance.randrange(len(clients)))
        if chance.random() < 0.7:
            client.setblocking(False)
            try:
                client.recv(1)
            except BlockingIOError:
                client.settimeout(PATIENCE_SECONDS)
                clients.append(client)
                time.sleep(0.005)
                continue
        client.close()
        clients.append(edge.asking())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while clients:
        for client in list(clients):
            client.settimeout(0.01)
            try:
                assert client.recv(1) == b"s"
            except TimeoutError:
                assert time.monotonic() < deadline, f"seed {seed}: {len(clients)} wait for ever"
                continue
            client.close()
            clients.remove(client)
    assert server.most == PLACES, f"seed {seed}"


def test_haproxy_gives_the_places_of_old_sessions_away(tmp_path: Path) -> None:
    """What this differs from on purpose."""
    backend = NamedBackend("127.0.177.9", 0)
    front = ("127.0.177.250", free_port())
    file = tmp_path / "haproxy.cfg"
    file.write_text(
        f"defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"listen edge\n bind {front[0]}:{front[1]}\n"
        f" server s1 {backend.address}:{backend.port} maxconn {PLACES}\n"
    )
    with ExitStack() as stack:
        stack.callback(backend.close)
        command = [require_program("haproxy"), "-db", "-f", str(file)]

        def started(*more: str) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen([*command, *more], stderr=subprocess.DEVNULL)
            )
            stack.callback(process.kill)
            return process

        def asking() -> socket.socket:
            return stack.enter_context(socket.create_connection(front, PATIENCE_SECONDS))

        def listening() -> bool:
            with socket.socket() as client:
                return client.connect_ex(front) == 0

        former = started()
        wait_for(listening, PATIENCE_SECONDS, "it listens")
        old = [asking() for _ in range(PLACES)]
        assert all(map(served, old))
        started("-sf", str(former.pid))

        def more() -> bool:
            with socket.create_connection(front, PATIENCE_SECONDS) as client:
                return not waits(client)

        wait_for(more, PATIENCE_SECONDS, "a session more than the limit")
        assert all(map(waits, old)), "the old ones live"
