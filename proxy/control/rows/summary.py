"""What the servers of a backend add up to: how many take sessions, with what weight. Pure.

Who counts them is `UsableServers` (shm/changes.pyx).
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.model.settings import Proxy
from shm.changes import UsableCounts


class BackendSummary(NamedTuple):
    """Usable servers of a backend, and the weight of those in use."""

    active: int
    backup: int
    weight: int
    up: bool
    servers: int  # usable or not


def summarize(proxy: Proxy, usable: UsableCounts, servers: int) -> BackendSummary:
    """Sum up a backend with so many servers."""
    weight = usable.weight(allbackups=proxy.allbackups)
    up = weight > 0 or servers == 0
    return BackendSummary(usable.active, usable.backup, weight, up, servers)
