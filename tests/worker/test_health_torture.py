"""Random lives of servers under two real workers that are killed: in the end the records are right.

Allowed at any moment: a record lags behind what happened. Forbidden in the end: a server that
accepts is not eligible, one that refuses is, a record speaks of another incarnation, a worker died
by itself.
"""

from __future__ import annotations

import os
import time
from random import Random

import pytest

from proxy.config.model.settings import Check
from proxy.worker.process import run
from shm.states import AdminFlag
from tests.support.common import PATIENCE_SECONDS
from tests.support.relay.worker import Backend, Site, Spec, settings_of, site

SERVERS = 12
SECONDS = 3.0
CHECK = Check(inter_ms=40, fastinter_ms=15, downinter_ms=30, rise=2, fall=2)


class World:
    """What is true of each server: where it is, whether it accepts, whether it is in maintenance."""

    def __init__(self, made: Site, backends: list[Backend], random: Random) -> None:
        self.made, self.backends, self.random = made, backends, random
        self.places: list[int | None] = list(range(SERVERS))  # backend of each slot
        self.opened = [True] * len(backends)
        self.maint = [False] * SERVERS

    def step(self) -> None:
        """One thing happens."""
        slot, backend = self.random.randrange(SERVERS), self.random.randrange(len(self.backends))
        match self.random.randrange(8):
            case 0 | 1 | 2:
                self.toggle(backend)
            case 3 | 4:
                self.places[slot] = backend
                self.made.move(slot, self.backends[backend].host, self.backends[backend].port)
            case 5:
                self.places[slot] = None
                self.made.move(slot, None, 1)
            case 6:
                self.maint[slot] = not self.maint[slot]
                flags = AdminFlag.FMAINT if self.maint[slot] else AdminFlag(0)
                self.made.administer(slot, flags)
            case _:
                worker = self.random.randrange(2)
                assert self.made.kill(worker) == 9, self.made.log.read()[-1:]
                self.made.fork(worker, run)

    def toggle(self, backend: int) -> None:
        """A backend that accepts refuses, or the other way round."""
        if self.opened[backend]:
            self.backends[backend].close()
        else:
            self.backends[backend].open()
        self.opened[backend] = not self.opened[backend]

    def wrong(self) -> list[str]:
        """Servers whose records do not tell the truth."""
        found = []
        for slot, place in enumerate(self.places):
            server, health = self.made.reader.server(slot), self.made.health(slot)
            wanted = place is not None and self.opened[place] and not self.maint[slot]
            if server.eligible != wanted or health.incarnation != server.incarnation:
                found.append(f"slot {slot} wanted {wanted}: {server} {health}")
            elif wanted and health.health != CHECK.rise + CHECK.fall - 1:
                found.append(f"slot {slot} not fully up: {health}")
        return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_records_are_right_in_the_end_whatever_happened(seed: int) -> None:
    backends = [Backend(f"127.78.{seed}.{number + 1}").open() for number in range(SERVERS)]
    specs = [Spec(backend.host, backend.port, CHECK) for backend in backends]
    with site(settings_of(specs), workers=2, listen=True) as made:
        for worker in (0, 1):
            made.fork(worker, run)
        world = World(made, backends, Random(seed))
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            world.step()
            time.sleep(world.random.random() * 0.02)
            made.log.read()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while world.wrong() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert world.wrong() == [], f"seed {seed}"
        for pid in made.pids.values():
            assert os.waitpid(pid, os.WNOHANG) == (0, 0), made.log.read()[-1:]
    for backend in backends:
        backend.close()
