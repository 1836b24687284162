"""Sections that share a limit of the process are served alike, by the whole program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.common import free_port
from tests.support.program.program import Program
from tests.support.relay.turns import Turns
from tests.support.servers import Server, holding

SECTIONS = 2
CLIENTS = 8
LIMITS = {"maxconn 4": 1_200, "maxconnrate 60": 240}  # and how many are served
FIRST = 80  # came before any client had to wait
CONFIGURATION = """
global
    nbthread {workers}
    {limit}
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
"""
SECTION = """
listen section{port}
    bind 127.0.0.1:{port}
    server a 127.0.0.1:{server}
"""


def configuration(workers: int, limit: str, ports: list[int], server: int) -> str:
    sections = [SECTION.format(port=port, server=server) for port in ports]
    return CONFIGURATION.format(workers=workers, limit=limit) + "".join(sections)


def serve(ports: list[int], count: int) -> list[int]:
    turns = Turns([("127.0.0.1", port) for port in ports], [CLIENTS] * len(ports))
    turns.serve(FIRST)
    served = turns.serve(count)
    turns.close()
    return served


@pytest.mark.slow
@pytest.mark.quiet  # clients that get no turn of the processor are not there to be served
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", LIMITS)
def test_clients_of_each_section_are_served_alike(tmp_path: Path, workers: int, limit: str) -> None:
    ports = [free_port() for _ in range(SECTIONS)]
    with (
        Server(holding("x")) as server,
        Program(tmp_path, configuration(workers, limit, ports, server.address[1])),
    ):
        served = serve(ports, LIMITS[limit])
    assert max(served) - min(served) <= LIMITS[limit] // SECTIONS * 5 // 100, served
