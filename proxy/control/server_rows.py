"""`show servers state`, `show servers conn`, `show backend`: rows of servers and backends.

Formats: HAProxy's management manual 9.3; the first is also the format of server-state files,
version 1. Pure: observed servers in, lines out.
"""

from __future__ import annotations

from proxy.config.model import Proxy, Server
from proxy.control.observation import Observed

STATE_VERSION = "1"
STATE_FIELDS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health "
    "srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord "
    "srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
)
STATE_HEADER = f"{STATE_VERSION}\n# {STATE_FIELDS}\n"
NOTHING = "-"
PURGE_DELAY_MS = 5_000  # HAProxy's default; connections are never kept idle here


def names_of(server: Server) -> tuple[str, str]:
    """The name it is resolved from and the SRV label: one of them, or neither, is not `-`."""
    if server.fqdn is None:
        return NOTHING, NOTHING
    if server.fqdn.startswith("_"):
        return NOTHING, server.fqdn
    return server.fqdn, NOTHING


def port_of(observed: Observed) -> int:
    """The port; a server that never had a record shows the configured one."""
    if observed.state.port == 0 and observed.state.address is None:
        return 0 if names_of(observed.server)[1] != NOTHING else observed.server.port
    return observed.state.port


def state_row(observed: Observed, created_ms: int, now_ms: int) -> str:
    """One line of `show servers state`: 25 fields."""
    proxy, server = observed.proxy, observed.server
    fqdn, srv_record = names_of(server)
    check_port = server.check.port or 0 if server.check else 0
    check_address = server.check.address or NOTHING if server.check else NOTHING
    fields: tuple[int | str, ...] = (
        proxy.id,
        proxy.name,
        server.id,
        server.name,
        observed.state.address or NOTHING,
        int(observed.operational),
        observed.admin_state,
        observed.weight,
        server.weight,
        max(0, now_ms - observed.changed_ms(created_ms)) // 1000,
        observed.check_status,
        observed.check_result,
        observed.check_health,
        observed.check_state,
        0,  # agent state
        int(proxy.id_given),
        int(server.id_given),
        fqdn,
        port_of(observed),
        srv_record,
        0,  # ssl
        check_port,
        check_address,
        check_address,  # of an agent: `addr` and `port` mean both
        check_port,
    )
    return " ".join(map(str, fields)) + "\n"


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
        f"{proxy.name}/{server.name} {proxy.id}/{server.id} {observed.state.address or NOTHING} "
        f"{port_of(observed)} - {PURGE_DELAY_MS} {sessions} {sessions} {sessions_max} "
        f"{sessions} 0 0 0 -1 0 {idle}\n"
    )


def backend_row(proxy: Proxy) -> str:
    """One line of `show backend`."""
    return f"{proxy.name}\n"
