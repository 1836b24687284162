"""`show servers state`, `show servers conn`, `show backend`: rows of servers and backends.

Formats: HAProxy's management manual 9.3; the first is also the format of server-state files,
version 1. Pure: observed servers in, lines out.
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.model.settings import Proxy
from proxy.control.rows.observation import Observed
from proxy.server_table import state_server
from resolverd.state_file.format import NOTHING, render
from resolverd.state_file.server_row import row_of
from shm.slots import WARM_STEPS, warmth_of
from shm.states import Operational

PURGE_DELAY_MS = 5_000  # HAProxy's default; connections are never kept idle here


def state_row(observed: Observed, created_ms: int, now_ms: int) -> str:
    """One line of `show servers state`: 25 fields."""
    row = row_of(state_server(observed.proxy, observed.server), observed.standing)
    slowstart_ms = observed.server.balancing.slowstart_ms
    warm = warmth_of(observed.state.warm_from_ms, slowstart_ms, now_ms)
    if row.operational == Operational.RUNNING and warm != WARM_STEPS:
        row = replace(row, operational=int(Operational.STARTING))
    return render(row, max(0, now_ms - observed.standing.last_change_ms(created_ms)) // 1000)


def connections_header(workers: int) -> str:
    """The first line of `show servers conn`."""
    return (
        "# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est "
        f"idle_sess unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[{workers}]\n"
    )


def connections_row(observed: Observed, sessions: int, sessions_max: int, workers: int) -> str:
    """One line of `show servers conn`; none is ever idle."""
    proxy, server = observed.proxy, observed.server
    idle = " ".join("0" for _ in range(workers))
    return (
        f"{proxy.name}/{server.name} {proxy.id}/{server.id} {observed.standing.address or NOTHING} "
        f"{observed.standing.port} - {PURGE_DELAY_MS} {sessions} {sessions} {sessions_max} "
        f"{sessions} 0 0 0 -1 0 {idle}\n"
    )


def backend_row(proxy: Proxy) -> str:
    """One line of `show backend`."""
    return f"{proxy.name}\n"
