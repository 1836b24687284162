"""Why a server that could take sessions gets none now: others come first, or it is full. Pure.

Beside its records (chain.py) that depends on its backend and on what workers count.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.control.rows.observation import Observed


class ServerLoad(NamedTuple):
    """What goes on around a server."""

    active: int = 0  # servers of its backend that take sessions and are no backups
    other_backup: str = ""  # the backup that is used instead of it
    sessions: int = 0  # at it now
    queued: int = 0  # that wait for a place at it, or at any server of its backend
    published: bool = True  # rules and defaults lead to its backend


def stands_by(observed: Observed, load: ServerLoad) -> str:
    """Which servers come before a backup; empty when its turn has come, or for another server."""
    if not observed.state.backup:
        return ""
    if load.active:
        servers = "server takes" if load.active == 1 else "servers take"
        return f"it is a backup, and {load.active} active {servers} sessions"
    if load.other_backup and not observed.proxy.allbackups:
        return f"it is a backup, and {load.other_backup} comes first"
    return ""


def is_full(observed: Observed, load: ServerLoad) -> str:
    """That all its places are taken; empty while some are free."""
    most, least = observed.state.maxconn, observed.server.queueing.minconn
    if not most or (load.sessions < most and not (least and load.queued)):
        return ""
    limit = f"maxconn {most}" if load.sessions >= most else f"minconn {least}, maxconn {most}"
    waiting = f", {load.queued} wait for a place" if load.queued else ""
    return f"it has {load.sessions} sessions ({limit}){waiting}"


def held_back(observed: Observed, load: ServerLoad) -> str:
    """Either of both, or that nothing leads to its backend."""
    if not load.published:
        return "its backend is not published (publish backend)"
    return stands_by(observed, load) or is_full(observed, load)
