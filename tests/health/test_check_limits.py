"""How many checks, when, and by which process: counted on the wire and in /proc."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from pathlib import Path

import msgspec
import pytest

from proxy.capacity import CHECKS_MIN
from proxy.config.model.settings import Check, Global
from proxy.health.judgement import CheckState
from proxy.runtime import Runtime
from shm.states import Operational
from tests.support.common import free_port, stand_still, wait_for
from tests.support.relay.worker import (
    Backend,
    Site,
    Spec,
    checking,
    run_checker,
    settings_of,
    site,
)

FEW_DESCRIPTORS = 120  # a quarter would be for checks, were it not below the least number of them


def checking_with_few_descriptors(runtime: Runtime, worker: int) -> None:
    """A checker that has room for CHECKS_MIN checks."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, hard))
    run_checker(runtime, worker)


def in_progress(made: Site) -> list[int]:
    """The slots whose check is under way."""
    slots = range(len(made.reader))
    return [slot for slot in slots if made.health(slot).check_state & CheckState.IN_PROGRESS]


def test_all_silent_servers_of_a_share_are_checked_at_the_same_time() -> None:
    full = Backend("127.77.0.25").fill()
    silent = 20 * CHECKS_MIN
    specs = [Spec(full.host, full.port, Check(inter_ms=20_000)) for _ in range(silent)]
    settings = msgspec.structs.replace(settings_of(specs), globals=Global(max_spread_checks_ms=100))
    with site(settings) as made:
        checking(made)
        wait_for(lambda: len(in_progress(made)) == silent, 10, "all under way")
    full.close()


def test_a_dead_rack_delays_no_check_of_a_server_that_refuses() -> None:
    """It is due in the middle of an interval at whose end the first of the silent ones is DOWN."""
    full = Backend("127.77.0.26").fill()
    check = Check(inter_ms=2_000, fall=3)
    specs = [Spec(full.host, full.port, check) for _ in range(6 * CHECKS_MIN)]
    refusing = len(specs) // 2
    specs[refusing] = Spec("127.77.0.27", free_port(), check)
    silent = [slot for slot in range(len(specs)) if slot != refusing]
    with site(settings_of(specs)) as made:
        checking(made)
        wait_for(lambda: made.health(refusing).downs, 10, "DOWN")
        assert not any(made.health(slot).downs for slot in silent)
        wait_for(lambda: all(made.health(slot).downs for slot in silent), 10, "all are DOWN")
    full.close()


def test_where_descriptors_are_few_the_living_do_not_wait_for_the_dead() -> None:
    full, good = Backend("127.77.0.17").fill(), Backend("127.77.0.18").open()
    dead = 3 * CHECKS_MIN
    specs = [Spec(full.host, full.port, Check(inter_ms=300, rise=1, fall=1)) for _ in range(dead)]
    specs.append(Spec(good.host, good.port, Check(inter_ms=50)))
    with site(settings_of(specs)) as made:
        pid = made.fork(0, checking_with_few_descriptors)
        slots = range(dead)
        wait_for(lambda: all(made.health(slot).downs for slot in slots), 10, "all down")
        counts, turns = set(), [made.health(slot).checked_ms for slot in slots]
        living, last_ms = 0, 0
        while any(made.health(slot).checked_ms == turns[slot] for slot in slots):
            counts.add(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            living += made.health(dead).checked_ms != last_ms
            last_ms = made.health(dead).checked_ms
        # Listing /proc is not atomic: a socket that ends meanwhile may count beside its successor.
        assert max(counts) - min(counts) <= CHECKS_MIN // 2 + 6
        # the dead take turns at half of the places: 96 of them need six times 300 ms
        assert living >= 6
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
        stand_still(pid)
        time.sleep(0.2)
        before_ms = made.health(0).checked_ms
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: made.health(0).checked_ms > before_ms, 5, "checked again")
        assert made.health(0).operational == Operational.RUNNING
    backend.close()
