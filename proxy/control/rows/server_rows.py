"""`show servers state`, `show servers conn`, `show backend`: rows of servers and backends.

Formats: HAProxy's management manual 9.3; the first is also the format of server-state files,
version 1. Pure: observed servers in, lines out.
"""

from __future__ import annotations

from proxy.config.model.settings import Proxy
from proxy.control.rows.observation import Observed
from resolverd.state_file.format import NOTHING, StateRow, render
from shm import standing

PURGE_DELAY_MS = 5_000  # HAProxy's default; connections are never kept idle here


def port_of(observed: Observed) -> int:
    """The port; a server that never had a record shows the configured one."""
    server = observed.server
    return standing.port_of(
        observed.slot, observed.state, server.port, service=server.srv_record is not None
    )


def state_row(observed: Observed, created_ms: int, now_ms: int) -> str:
    """One line of `show servers state`: 25 fields."""
    proxy, server = observed.proxy, observed.server
    fqdn, service = standing.names_of(
        server.fqdn, server.srv_record, observed.target, observed.order
    )
    check_port = server.check.port or 0 if server.check else 0
    check_address = server.check.address if server.check else None
    row = StateRow(
        backend_id=proxy.id,
        backend=proxy.name,
        server_id=server.id,
        server=server.name,
        address=observed.address,
        operational=int(observed.operational),
        admin=observed.admin_state,
        weight=observed.weight,
        configured_weight=server.balancing.weight,
        check_status=observed.check_status,
        check_result=observed.check_result,
        check_health=observed.check_health,
        check_state=observed.check_state,
        backend_id_given=int(proxy.id_given),
        server_id_given=int(server.id_given),
        fqdn=fqdn,
        port=port_of(observed),
        service=service,
        check_port=check_port,
        check_address=check_address,
        agent_address=check_address,  # `addr` and `port` mean both
        agent_port=check_port,
    )
    return render(row, max(0, now_ms - observed.changed_ms(created_ms)) // 1000)


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
        f"{proxy.name}/{server.name} {proxy.id}/{server.id} {observed.address or NOTHING} "
        f"{port_of(observed)} - {PURGE_DELAY_MS} {sessions} {sessions} {sessions_max} "
        f"{sessions} 0 0 0 -1 0 {idle}\n"
    )


def backend_row(proxy: Proxy) -> str:
    """One line of `show backend`."""
    return f"{proxy.name}\n"
