"""What the segment stores of a server's line: for all servers at the start, for one that is added.

Pure. Must not know the segment.
"""

from __future__ import annotations

from proxy.config.model.settings import CHECK_FALL, CHECK_RISE, InitState, Server
from shm.states import StaticFlag, StaticState


def static_state(server: Server) -> StaticState:
    """What the segment stores of a server's line."""
    flags = StaticFlag(0)
    if server.check is not None:
        flags |= StaticFlag.CHECKED
    if server.balancing.backup:
        flags |= StaticFlag.BACKUP
    if server.init_state in (InitState.DOWN, InitState.FULLY_DOWN):
        flags |= StaticFlag.INIT_DOWN
    if server.resolvable:
        flags |= StaticFlag.RESOLVED
    if server.port_relative:
        flags |= StaticFlag.PORT_RELATIVE
    if server.stopping.when_down:
        flags |= StaticFlag.SHUTDOWN_DOWN
    if server.stopping.of_backups_when_up:
        flags |= StaticFlag.SHUTDOWN_BACKUPS
    if server.stopping.removed_drain_ms is not None:
        flags |= StaticFlag.SHUTDOWN_REMOVED
    return StaticState(
        backend=server.backend_index,
        flags=flags,
        weight=server.balancing.weight,
        maxconn=server.queueing.maxconn,
        rise=server.check.rise if server.check else CHECK_RISE,
        fall=server.check.fall if server.check else CHECK_FALL,
        id=server.id,
        removed_drain_ms=server.stopping.removed_drain_ms or 0,
        slowstart_ms=server.balancing.slowstart_ms,
        tracked=-1 if server.tracked_slot is None else server.tracked_slot,
        added=server.added,
    )
