"""How many checks, when, and by whom: counted on the wire and in /proc."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from proxy.config.model import Check
from proxy.health.checker import CHECKS_IN_FLIGHT_MAX
from shm.states import Operational
from tests.support import wait_for
from tests.support_worker import (
    Backend,
    Spec,
    checking,
    settings_of,
    site,
)


@pytest.mark.slow
@pytest.mark.alone
def test_no_more_checks_of_servers_that_are_up_are_under_way_than_the_limit() -> None:
    full = Backend("127.77.0.24").fill()
    specs = [Spec(full.host, full.port, Check(inter_ms=300, fall=100)) for _ in range(80)]
    with site(settings_of(specs)) as made:
        pid = checking(made).pids[0]
        counts: list[int] = []

        def spread() -> int:
            counts.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            return max(counts) - min(counts)

        # Listing /proc is not atomic: a socket that ends meanwhile may count beside its successor.
        wait_for(lambda: spread() >= CHECKS_IN_FLIGHT_MAX - 4, 15, "the limit", step=0.002)
        wait_for(lambda: spread() and all(made.health(s).failures for s in range(80)), 15, "all")
        assert spread() <= CHECKS_IN_FLIGHT_MAX + 4
    full.close()


@pytest.mark.slow
@pytest.mark.alone
def test_no_more_checks_are_under_way_than_the_limit_and_the_living_do_not_wait() -> None:
    full, good = Backend("127.77.0.17").fill(), Backend("127.77.0.18").open()
    slow = Check(inter_ms=300, rise=1, fall=1)
    specs = [Spec(full.host, full.port, slow) for _ in range(80)]
    specs.append(Spec(good.host, good.port, Check(inter_ms=50)))
    with site(settings_of(specs)) as made:
        pid = checking(made).pids[0]
        wait_for(lambda: all(made.health(s).downs for s in range(80)), 15, "all down")
        descriptors, checks, last_ms = [], 0, 0
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            descriptors.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            if made.health(80).checked_ms != last_ms:
                last_ms, checks = made.health(80).checked_ms, checks + 1
            time.sleep(0.002)
        assert max(descriptors) - min(descriptors) <= CHECKS_IN_FLIGHT_MAX
        assert checks >= 6
    full.close()
    good.close()


def test_the_worker_of_a_slot_checks_it_and_no_other_does() -> None:
    sniffer = raw_socket("127.77.0.19")
    backends = [Backend("127.77.0.19").open() for _ in range(6)]
    ports = [backend.port for backend in backends]
    specs = [Spec("127.77.0.19", port, Check(inter_ms=100)) for port in ports]
    with site(settings_of(specs), workers=2) as made, sniffer:
        checking(made)
        wait_for(lambda: all(made.health(s).checked_ms for s in range(6)), 5, "all checked")
        syns(sniffer)
        began = time.monotonic()
        counts = dict.fromkeys(ports, 0)
        while time.monotonic() < began + 1.0:
            for port in syns(sniffer):
                counts[port] += 1
            time.sleep(0.02)
        assert all(5 <= count <= 11 for count in counts.values()), counts
    for backend in backends:
        backend.close()


def raw_socket(host: str) -> socket.socket:
    """Sees a copy of every TCP packet to `host`: the checks are resets before any accept."""
    try:
        sniffer = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    except PermissionError:
        pytest.skip("raw sockets need CAP_NET_RAW")
    sniffer.bind((host, 0))
    sniffer.setblocking(False)
    return sniffer


def syns(sniffer: socket.socket) -> list[int]:
    """Destination ports of the SYN packets since the last call."""
    ports = []
    while True:
        try:
            packet = sniffer.recv(2048)
        except BlockingIOError:
            return ports
        header = packet[(packet[0] & 15) * 4 :]
        if header[13] & 0x12 == 0x02:
            ports.append(int.from_bytes(header[2:4], "big"))


def test_first_checks_are_spread_over_the_interval_over_all_workers() -> None:
    backend = Backend("127.77.0.20").open()
    check = Check(inter_ms=400)
    specs = [Spec(backend.host, backend.port, check) for _ in range(8)]
    with site(settings_of(specs), workers=2) as made:
        checking(made)
        wait_for(lambda: all(made.health(s).checked_ms for s in range(8)), 5, "all checked")
        firsts = sorted(made.health(slot).checked_ms for slot in range(8))
        assert firsts[-1] - firsts[0] >= 250
    backend.close()


def test_a_stopped_signal_does_not_make_checks_pile_up() -> None:
    backend = Backend("127.77.0.21").open()
    check = Check(inter_ms=20)
    settings = settings_of([Spec(backend.host, backend.port, check)])
    with site(settings) as made:
        pid = checking(made).pids[0]
        wait_for(lambda: made.health(0).health == 4, 5, "fully up")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.2)
        before_ms = made.health(0).checked_ms
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: made.health(0).checked_ms > before_ms, 5, "checked again")
        assert made.health(0).operational == Operational.RUNNING
    backend.close()
