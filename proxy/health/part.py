"""The part of all checks that one process makes, and how many of them at once.

Must not know how a check is made.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.capacity import capacity_of
from proxy.health.share import CheckedServer, has_share, share
from proxy.runtime import Runtime
from shm.requests import CheckRequests

CHECKS_LEAST = 16  # for servers that are added: of the descriptors that are kept in reserve


class Part(NamedTuple):
    """What one process checks."""

    mine: list[CheckedServer]
    checks_max: int  # under way at once
    agents_max: int  # likewise
    requests: CheckRequests | None = None  # of resolutions; None: no check connects
    seed: int = 0
    row: int = 0  # where its formats set variables of the program (shm/variables.pxd)


def in_flight(mine: list[CheckedServer], capacity: int) -> tuple[int, int]:
    """How many checks, and how many checks of agents, may be under way at once."""
    checks = sum(server.checked for server in mine)
    agents = sum(server.agent is not None for server in mine)
    if not agents:
        return capacity, 0
    part = min(agents, max(1, capacity * agents // (checks + agents)))
    return max(1, capacity - part), part


def has_part(runtime: Runtime, worker: int) -> bool:
    """Whether a worker has any server to check."""
    return has_share(runtime.servers, runtime.workers, worker)


def worker_part(runtime: Runtime, worker: int) -> Part:
    """That of a worker."""
    mine = share(runtime.servers, runtime.workers, worker)
    room = max(capacity_of(runtime).checks, CHECKS_LEAST)
    checks, agents = in_flight(mine, room)
    requests = CheckRequests(runtime.segment, worker)
    return Part(mine, checks, agents, requests, worker, 2 * worker + 1)
