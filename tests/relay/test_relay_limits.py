"""Limits, overload, adoption and soft stop: no client is dropped, no limit is exceeded."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from shm.states import ProcessCommand
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, holding, receive_all, receive_count


class Crowd:
    """Clients that come together, are each served once and leave; `served` counts them."""

    def __init__(self, relay: RelayUnderTest, count: int, stay_seconds: float) -> None:
        self.served = 0
        self.failures: list[str] = []
        self.relay = relay
        self.stay_seconds = stay_seconds
        self.threads = [threading.Thread(target=self.be_client) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def be_client(self) -> None:
        try:
            with self.relay.connect() as client:
                client.sendall(b"x")
                if receive_count(client, 1) != b"x":
                    self.failures.append("closed early")
                time.sleep(self.stay_seconds)
                self.served += 1
        except OSError as error:
            self.failures.append(repr(error))

    def join(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", ["maxconn", "global_maxconn", "bind_maxconn"])
def test_maxconn_is_never_exceeded_and_nobody_is_dropped(workers: int, limit: str) -> None:
    most = [0]
    present = [0]
    lock = threading.Lock()

    def watch(connection: socket.socket) -> None:
        with lock:
            present[0] += 1
            most[0] = max(most[0], present[0])
        try:
            echo(connection)
        finally:
            with lock:
                present[0] -= 1

    with (
        Server(watch) as server,
        RelayUnderTest([server.address], workers=workers, **{limit: 5}) as relay,
    ):
        crowd = Crowd(relay, 40, 0.05)
        crowd.join()
        assert crowd.failures == []
        assert crowd.served == 40
        assert most[0] <= 5
        relay.wait_terminations({"--": 40})
        assert sum(
            relay.counters("frontend", row=row)["sessions_max"] for row in range(workers)
        ) <= (5 * workers)
        assert relay.counters()["maxconn_pauses"] > 0
        assert relay.counters()["sessions"] == relay.counters("frontend")["sessions"] == 0


def test_a_full_listener_leaves_the_others_alone_and_takes_the_next_when_one_leaves() -> None:
    binds = (Endpoint(SocketFamily.IPV4, "127.0.0.1"),) * 2
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=2, binds=binds, bind_maxconn=1) as relay,
    ):
        first, other = relay.connect(bind=0), relay.connect(bind=1)
        assert receive_count(first, 1) == receive_count(other, 1) == b"x"
        for served in range(2, 6):
            pauses = relay.counters()["maxconn_pauses"]
            second = relay.connect(bind=0)
            wait_for(
                lambda: relay.counters()["maxconn_pauses"] > pauses,  # noqa: B023
                5,
                "it is full",
            )
            assert server.accepted == served
            first.close()
            assert receive_count(second, 1) == b"x"
            first = second
        wait_for(lambda: relay.counters("frontend")["sessions"] == 2, 5, "two are left")
        first.close()
        other.close()


def test_a_full_listener_that_goes_back_to_its_worker_keeps_no_other_from_ending() -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=2, bind_maxconn=1) as relay,
    ):
        relay.assign(0, 1)
        wait_for(lambda: all_seen(relay), 5, "worker 1 serves both sockets")
        first = relay.connect()
        assert receive_count(first, 1) == b"x"
        waiting = [relay.connect() for _ in range(20)]  # in the queues of both
        wait_for(lambda: relay.counters(row=1)["maxconn_pauses"] >= 2, 5, "both are full")
        relay.assign(0, 0)
        wait_for(lambda: all_seen(relay), 5, "worker 0 is back")
        for client in [first, *waiting]:
            client.close()
        wait_for(lambda: relay.counters("backend")["ended"] == 21, 5, "all have left")
        relay.command(ProcessCommand.SOFT_STOP)
        for worker in range(2):
            wait_for(lambda number=worker: relay.exit_status(number) == 0, 5, "ended")


def test_a_place_that_another_relay_frees_is_taken_at_once() -> None:
    with (
        Server(holding("x")) as server,
        RelayUnderTest([server.address], workers=2, global_maxconn=1) as relay,
    ):
        for _ in range(6):
            first = relay.connect()
            receive_count(first, 1)
            second = relay.connect()
            first.close()
            assert receive_count(second, 1) == b"x"
            second.close()


@pytest.mark.slow
def test_a_worker_short_of_descriptors_lets_clients_wait_instead_of_failing() -> None:
    """Its budget, two for each session, keeps it from running into EMFILE at all."""
    with Server(echo) as server, RelayUnderTest([server.address], nofile=180) as relay:
        crowd = Crowd(relay, 120, 0.05)
        crowd.join()
        assert crowd.failures == []
        assert crowd.served == 120
        counters = relay.counters()
        assert counters["maxconn_pauses"] > 0
        assert counters["sessions_max"] <= (180 - 64) // 2 - 10
        assert counters["accept_pauses"] == 0


@pytest.mark.slow
def test_an_overload_pauses_accepting_and_loses_nobody() -> None:
    """The limit is lowered under the running relay, so that accept4() really fails."""
    with Server(holding("x")) as server, RelayUnderTest([server.address]) as relay:
        first = relay.connect()
        receive_count(first, 1)
        resource_limit(relay.pid(0), 8)
        waiting = [relay.connect() for _ in range(3)]
        wait_for(lambda: relay.counters()["accept_pauses"] >= 2, 10, "paused twice")
        assert relay.counters()["accepts"] == 1
        resource_limit(relay.pid(0), 1_024)
        for client in waiting:
            assert receive_count(client, 1) == b"x"
            client.close()
        first.close()
        relay.wait_terminations({"--": 4})


def resource_limit(pid: int, descriptors: int) -> None:
    import resource

    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors, hard))


def test_a_sibling_adopts_a_socket_and_gives_it_back() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], workers=2) as relay:
        relay.assign(0, 1)
        wait_for(lambda: all_seen(relay), 5, "both relays look")
        serve(relay, 20)
        assert relay.counters(row=0)["accepts"] == 0
        relay.assign(0, 0)
        relay.assign(1, 0)
        wait_for(lambda: all_seen(relay), 5, "both relays look")
        serve(relay, 20)
        assert relay.counters(row=0)["accepts"] == 20


def all_seen(relay: RelayUnderTest) -> bool:
    newest = relay.call("table_generation")
    return all(relay.status(worker).generation_seen == newest for worker in range(relay.workers))


def serve(relay: RelayUnderTest, count: int) -> None:
    for _ in range(count):
        with relay.connect() as client:
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"


def test_clients_in_the_queue_of_a_killed_relay_are_served_by_its_sibling() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], workers=2) as relay:
        relay.signal(signal.SIGKILL, 0)
        wait_for(lambda: relay.exit_status(0) is not None, 5, "the relay is gone")
        queued = [relay.connect() for _ in range(20)]
        relay.assign(0, 1)
        for client in queued:
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"
            client.close()


def test_a_shared_socket_is_served_by_all_relays() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], workers=2, shared=True) as relay:
        crowd = Crowd(relay, 30, 0.02)
        crowd.join()
        assert crowd.failures == []
        relay.wait_terminations({"--": 30})


def test_a_soft_stop_serves_the_queue_and_finishes_what_is_open() -> None:
    with Server(echo) as server, RelayUnderTest([server.address]) as relay:
        open_before = relay.connect()
        open_before.sendall(b"a")
        assert receive_count(open_before, 1) == b"a"
        assert not relay.status().left
        relay.signal(signal.SIGSTOP, 0)
        queued = [relay.connect() for _ in range(10)]
        relay.command(ProcessCommand.SOFT_STOP)
        relay.signal(signal.SIGCONT, 0)
        for client in [*queued, open_before]:
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"
        assert relay.exit_status(0) is None, "sessions are still open"
        assert relay.status().left, "nothing more is accepted"
        for client in [*queued, open_before]:
            client.close()
        wait_for(lambda: relay.exit_status(0) == 0, 5, "the relay ends after the last session")


def test_a_soft_stop_without_sessions_ends_at_once() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], workers=2) as relay:
        relay.command(ProcessCommand.SOFT_STOP)
        for worker in range(2):
            wait_for(lambda number=worker: relay.exit_status(number) == 0, 5, "ended")


def test_a_stop_ends_at_once_with_sessions_open() -> None:
    with (
        Server(echo) as server,
        RelayUnderTest([server.address]) as relay,
        relay.connect() as client,
    ):
        client.sendall(b"x")
        receive_count(client, 1)
        relay.command(ProcessCommand.STOP)
        wait_for(lambda: relay.exit_status(0) == 0, 2, "the relay ends")
        assert receive_all(client) == b""


def test_a_stop_leaves_the_queue_to_those_that_listen_there_too() -> None:
    with Server(echo) as server, RelayUnderTest([server.address], workers=2) as relay:
        for worker in range(2):
            relay.signal(signal.SIGSTOP, worker)
        queued = [relay.connect() for _ in range(20)]
        relay.command(ProcessCommand.STOP, 0)
        relay.signal(signal.SIGCONT, 0)
        wait_for(lambda: relay.exit_status(0) == 0, PATIENCE_SECONDS, "the relay ends")
        assert server.accepted == 0
        relay.assign(0, 1)
        relay.signal(signal.SIGCONT, 1)
        for client in queued:
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"
            client.close()


@pytest.mark.slow
def test_the_relay_says_that_it_lives_when_nothing_happens() -> None:
    with Server(echo) as server, RelayUnderTest([server.address]) as relay:
        first = relay.status().relay_beat_ms
        wait_for(lambda: relay.status().relay_beat_ms > first, 3, "a heartbeat")
        second = relay.status().relay_beat_ms
        wait_for(lambda: relay.status().relay_beat_ms > second, 3, "another one")
