"""Random limits, workers and clients: no limit is exceeded, no client waits beside a free place.

Everything is seen from the clients. One is present from the server's byte on until it closes: no
relay can know earlier that its place is free, so those present never exceed a limit, whatever is
killed or stopped where. Relays that are left alone serve every client without a sweep.
"""

from __future__ import annotations

import random
import selectors
import signal
import socket
import time
from collections import Counter

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from tests.support.common import wait_for
from tests.support.generated import sample
from tests.support.relay.site import RelayServer, RelayUnderTest
from tests.support.servers import Server, holding

NEVER_MS = 3_600_000
SERVED = sample(600, full=6_000)
CLIENTS_AT_EACH = 12


class Limits:
    """What a seed allows; 0 is no limit. At least one is so low that clients wait."""

    def __init__(self, chance: random.Random) -> None:
        self.workers = chance.choice((1, 2, 3, 4))
        self.binds = chance.choice((1, 2, 3))
        names = ("global_maxconn", "maxconn", "bind_maxconn", "server_maxconn")
        chosen = chance.sample(names, chance.choice((1, 2, 3, 4)))
        self.most = {name: chance.choice((1, 2, 3, 5, 8)) for name in chosen}
        self.rates = {
            name: chance.choice((400, 1_000))
            for name in chance.sample(("global_rate", "session_rate"), chance.choice((0, 0, 1, 2)))
        }

    def __repr__(self) -> str:
        return f"{self.workers} workers, {self.binds} binds, {self.most}, {self.rates}"

    def relay(self, address: tuple[str, int], **more: int) -> RelayUnderTest:
        fields = {**self.most, **self.rates, **more}
        server = RelayServer(*address, maxconn=fields.pop("server_maxconn", 0))
        endpoints = (Endpoint(SocketFamily.IPV4, "127.0.0.1"),) * self.binds
        return RelayUnderTest([server], workers=self.workers, binds=endpoints, **fields)

    def exceeded(self, present: Counter[int]) -> list[str]:
        total = sum(present.values())
        return [
            name
            for name, most in self.most.items()
            if (max(present.values()) if name == "bind_maxconn" else total) > most
        ]


class Crowd:
    """Clients of all binds in one thread; each that leaves is followed by another."""

    def __init__(self, relay: RelayUnderTest, limits: Limits, chance: random.Random) -> None:
        self.relay, self.limits, self.chance = relay, limits, chance
        self.selector = selectors.DefaultSelector()
        self.waiting: dict[socket.socket, int] = {}
        self.present: dict[socket.socket, int] = {}
        self.served = [0] * limits.binds
        self.lost = 0
        for bind in range(limits.binds):
            for _ in range(CLIENTS_AT_EACH):
                self.come(bind)

    def come(self, bind: int) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self.relay.addresses[bind])
        self.waiting[client] = bind
        self.selector.register(client, selectors.EVENT_READ)

    def leave(self, client: socket.socket) -> None:
        self.selector.unregister(client)
        client.close()
        waited = self.waiting.pop(client, None)
        self.come(self.present.pop(client) if waited is None else waited)

    def turn(self) -> None:
        """Hear of all that has happened, then let some of the present leave, and others at times."""
        ready = self.selector.select(0.002 if self.present else 0.1)
        for key, _ in ready:
            client = key.fileobj
            assert isinstance(client, socket.socket)
            if client in self.waiting or client in self.present:
                self.hear(client)
        least = 1 if self.present and not ready else 0
        leaving = self.chance.randint(least, len(self.present))
        for client in self.chance.sample(list(self.present), leaving):
            self.leave(client)
        if self.chance.random() < 0.05:
            self.leave(self.chance.choice(list(self.waiting)))

    def hear(self, client: socket.socket) -> None:
        try:
            received = client.recv(1)
        except OSError:
            received = b""
        if not received:  # its worker was killed
            self.lost += 1
            self.leave(client)
            return
        bind = self.waiting.pop(client)
        self.present[client] = bind
        self.served[bind] += 1
        if self.limits.exceeded(Counter(self.present.values())):
            self.forget_lost()
            exceeded = self.limits.exceeded(Counter(self.present.values()))
            assert not exceeded, f"{exceeded} exceeded: {self.limits}"

    def forget_lost(self) -> None:
        """Those whose worker was killed are not present any more, though the client has not read its end yet."""
        for client in list(self.present):
            try:
                ended = client.recv(1) == b""
            except BlockingIOError:
                continue
            except OSError:
                ended = True
            assert ended, "more than the server's byte"
            self.lost += 1
            self.leave(client)

    def serve(self, count: int) -> None:
        """Go on until so many more were served."""
        goal = sum(self.served) + count
        wait_for(lambda: self.turn() or sum(self.served) >= goal, 10, f"{self.limits}", step=0)

    def close(self) -> None:
        self.selector.close()
        for client in (*self.waiting, *self.present):
            client.close()


def held(relay: RelayUnderTest) -> int:
    """Places that are held at all levels.

    A client that has left may still be in the kernel's queue, and be accepted after all others
    have ended.
    """
    levels = ("worker", "frontend", "server")
    return sum(int(relay.counters(level)["sessions"]) for level in levels)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(sample(6, full=60)))
def test_relays_left_alone_serve_everybody_in_turn(number: int, seed: int) -> None:
    """Without a sweep: each place that is given back rings the worker that is next."""
    chance = random.Random(f"{seed} {number}")
    limits = Limits(chance)
    with Server(holding("x")) as server, limits.relay(server.address, sweep_ms=NEVER_MS) as relay:
        crowd = Crowd(relay, limits, chance)
        crowd.serve(100)
        before = list(crowd.served)
        began = time.monotonic()
        crowd.serve(SERVED)
        seconds = time.monotonic() - began
        shares = [now - then for now, then in zip(crowd.served, before, strict=True)]
        crowd.close()
        assert crowd.lost == 0
        assert max(shares) - min(shares) <= SERVED // 20 + 10, f"{shares}: {limits}"
        for rate in limits.rates.values():
            assert sum(shares) <= rate * (seconds + 2), f"{limits}"
        wait_for(lambda: not held(relay), 10, "all places are given back")


@pytest.mark.slow
@pytest.mark.parametrize("most", [18, 24])
@pytest.mark.parametrize("name", ["global_maxconn", "maxconn"])
def test_places_that_were_taken_ahead_come_back_without_a_sweep(
    name: str, most: int, seed: int
) -> None:
    """Limits so far that two workers take places ahead, and so near that clients wait at times."""
    chance = random.Random(f"{seed} {name} {most}")
    limits = Limits(chance)
    limits.workers, limits.binds, limits.most, limits.rates = 2, 3, {name: most}, {}
    with Server(holding("x")) as server, limits.relay(server.address, sweep_ms=NEVER_MS) as relay:
        crowd = Crowd(relay, limits, chance)
        crowd.serve(SERVED)
        crowd.close()
        assert crowd.lost == 0
        assert relay.counters()["maxconn_pauses"] > 0
        wait_for(lambda: not held(relay), 10, "all places are given back")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(sample(6, full=60)))
def test_workers_killed_and_stopped_hold_nobody_up(number: int, seed: int) -> None:
    chance = random.Random(f"{seed} {number}")
    limits = Limits(chance)
    with Server(holding("x")) as server, limits.relay(server.address) as relay:
        crowd = Crowd(relay, limits, chance)
        crowd.serve(50)
        for _ in range(sample(6, full=40)):
            victim = chance.randrange(limits.workers)
            if chance.random() < 0.5:
                relay.signal(signal.SIGKILL, victim)
                wait_for(lambda gone=victim: relay.exit_status(gone) is not None, 5, "it is gone")
                relay.restart(victim)
            else:
                relay.signal(signal.SIGSTOP, victim)
                end = time.monotonic() + chance.choice((0, 0.1, 0.4))
                while time.monotonic() < end:
                    crowd.turn()
                relay.signal(signal.SIGCONT, victim)
            crowd.serve(chance.choice((1, 20, 60)))
        crowd.close()
        wait_for(lambda: not held(relay), 10, "all places are given back")
