"""How a server stands, as `http-check send-state` tells it (manual section 4.2).

Owns that text. Reads the segment only when a check says it: sections without the word pay nothing.
"""

from __future__ import annotations

import socket

from proxy.health.share import CheckedServer
from proxy.rules.loads import Loads
from proxy.runtime import Runtime
from shm.changes import UsableServers
from shm.slots import WARM_STEPS, SlotTableReader, warm_weight, warmth_of
from shm.standing import status_text
from shm.states import HealthState, Operational, ServerState
from shm.steady import steady

_WORDS = {Operational.STOPPED: "DOWN", Operational.STOPPING: "NOLB"}  # else UP


class ServerStates:
    """Tells how servers stand, for the checks of one worker."""

    def __init__(self, runtime: Runtime, reader: SlotTableReader, usable: UsableServers) -> None:
        self._node = runtime.settings.globals.node or socket.gethostname()
        self._reader = reader
        self._usable = usable
        self._loads = Loads(runtime.segment)

    def text(self, server: CheckedServer, state: HealthState, at_ms: int) -> str:
        """The value of the header; "" where the server's records do not hold still."""
        try:
            view = steady(self._reader.server, server.slot)
        except BlockingIOError:
            return ""
        word = _WORDS.get(Operational(state.operational), "UP")
        status = status_text(word, state.health, server.check.rise, server.check.fall)
        address, port = view.address or "", str(view.port)
        if server.local is not None:
            address, port = "unix", ""
        weight, total, throttle = self._weights(server, view, at_ms)
        load = self._loads.server(server.slot)
        return (
            f"{status}; address={address}; port={port}; "
            f"name={server.backend_name}/{server.name}; node={self._node}; "
            f"weight={weight}/{total}; scur={load.sessions}/{load.backend_sessions}; "
            f"qcur={load.queued}{throttle if word == 'UP' else ''}"
        )

    def _weights(
        self, server: CheckedServer, view: ServerState, at_ms: int
    ) -> tuple[int, int, str]:
        """What the server weighs, all that are in use weigh, and how far it has warmed up."""
        fixed = server.weights_fixed
        counts = self._usable.of(server.backend_index, 0 if fixed else at_ms)
        total = counts.weight(allbackups=server.allbackups)
        warm = warmth_of(view.warm_from_ms, server.slowstart_ms, at_ms)
        if warm == WARM_STEPS or view.operational != Operational.RUNNING:
            return view.weight, total, ""
        seconds = (at_ms - view.warm_from_ms) // 1_000
        percent = max(1, 100 * seconds // max(1, server.slowstart_ms // 1_000))
        weight = view.weight if fixed else warm_weight(view.weight, warm)
        return weight, total, f"; throttle={percent}%"
