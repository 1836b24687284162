"""What the servers of a backend add up to: how many take sessions, with what weight. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from proxy.config.model import Proxy
from proxy.control.observation import Observed


class BackendSummary(NamedTuple):
    """Usable servers of a backend, and the weight of those in use."""

    active: int
    backup: int
    weight: int
    up: bool


def summarize(proxy: Proxy, servers: Iterable[Observed]) -> BackendSummary:
    """Count the eligible servers; backups carry weight only while no active server does."""
    active = backup = active_weight = 0
    backup_weights = []
    for server in servers:
        if not server.state.eligible:
            continue
        if server.state.backup:
            backup += 1
            backup_weights.append(server.weight)
        else:
            active += 1
            active_weight += server.weight
    used_backups = backup_weights if proxy.allbackups else backup_weights[:1]
    weight = active_weight if active else sum(used_backups)
    return BackendSummary(active, backup, weight, weight > 0 or not proxy.servers)
