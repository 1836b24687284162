"""HAProxy's metric names (addons/promex), with the cell or field each one is made from.

An entry is `name:kind:cell:divisor`, kind g(auge) or c(ounter). Names, types and states are what
existing dashboards and alert rules ask for; descriptions are ours. Holds nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.control.rows.stat_columns import RESOLVER_COUNTERS


class Metric(NamedTuple):
    """One metric: its full name, whether it counts, where its value comes from."""

    name: str
    counter: bool
    cell: str
    divisor: int
    help: str


BACKEND_STATES = ("DOWN", "UP")
SERVER_STATES = ("DOWN", "UP", "MAINT", "DRAIN", "NOLB")

_FRONTEND = """
current_sessions:g:scur max_sessions:g:smax limit_sessions:g:slim sessions_total:c:stot
bytes_in_total:c:bin bytes_out_total:c:bout requests_denied_total:c:dreq
responses_denied_total:c:dresp request_errors_total:c:ereq current_session_rate:g:rate
limit_session_rate:g:rate_lim max_session_rate:g:rate_max connections_rate_max:g:conn_rate_max
connections_total:c:conn_tot denied_connections_total:c:dcon denied_sessions_total:c:dses
failed_header_rewriting_total:c:wrew internal_errors_total:c:eint req_bytes_in_total:c:reqbin
req_bytes_out_total:c:reqbout res_bytes_in_total:c:resbin res_bytes_out_total:c:resbout
"""
_SERVICE = "http_requests_total:c:req_tot intercepted_requests_total:c:intercepted"
_COMMON = """
current_queue:g:qcur max_queue:g:qmax current_sessions:g:scur max_sessions:g:smax
limit_sessions:g:slim sessions_total:c:stot bytes_in_total:c:bin bytes_out_total:c:bout
responses_denied_total:c:dresp connection_errors_total:c:econ response_errors_total:c:eresp
retry_warnings_total:c:wretr redispatch_warnings_total:c:wredis weight:g:weight uweight:g:uweight
check_up_down_total:c:chkdown check_last_change_seconds:g:lastchg
downtime_seconds_total:c:downtime loadbalanced_total:c:lbtot current_session_rate:g:rate
max_session_rate:g:rate_max client_aborts_total:c:cli_abrt server_aborts_total:c:srv_abrt
last_session_seconds:g:lastsess queue_time_average_seconds:g:qtime:1000
connect_time_average_seconds:g:ctime:1000 response_time_average_seconds:g:rtime:1000
total_time_average_seconds:g:ttime:1000 max_queue_time_seconds:g:qtime_max:1000
max_connect_time_seconds:g:ctime_max:1000 max_response_time_seconds:g:rtime_max:1000
max_total_time_seconds:g:ttime_max:1000 failed_header_rewriting_total:c:wrew
connection_attempts_total:c:connect connection_reuses_total:c:reuse internal_errors_total:c:eint
req_bytes_in_total:c:reqbin req_bytes_out_total:c:reqbout res_bytes_in_total:c:resbin
res_bytes_out_total:c:resbout
"""
_BACKEND = f"""
{_COMMON} requests_denied_total:c:dreq active_servers:g:act backup_servers:g:bck
"""
_SERVER = f"""
{_COMMON} active:g:act backup:g:bck check_failures_total:c:chkfail queue_limit:g:qlimit
current_throttle:g:throttle idle_connections_current:g:srv_icur
idle_connections_limit:g:src_ilim unsafe_idle_connections_current:g:idle_conn_cur
safe_idle_connections_current:g:safe_conn_cur private_idle_connections_current:g:priv_idle_cur
used_connections_current:g:used_conn_cur need_connections_current:g:need_conn_est
"""
_CHECK = "check_code:g:check_code check_duration_seconds:g:check_duration:1000"
_AGENT = "agent_code:g:agent_code agent_duration_seconds:g:agent_duration:1000"
_PROCESS = """
nbthread:g:Nbthread nbproc:g:Nbproc relative_process_id:g:Process_num uptime_seconds:g:Uptime_sec
start_time_seconds:g:Start_time_sec max_memory_bytes:g:Memmax_bytes
pool_allocated_bytes:g:PoolAlloc_bytes pool_used_bytes:g:PoolUsed_bytes
pool_failures_total:c:PoolFailed max_fds:g:Ulimit-n max_sockets:g:Maxsock
max_connections:g:Maxconn hard_max_connections:g:Hard_maxconn current_connections:g:CurrConns
connections_total:c:CumConns requests_total:c:CumReq max_pipes:g:Maxpipes
pipes_used_total:c:PipesUsed pipes_free_total:c:PipesFree current_connection_rate:g:ConnRate
limit_connection_rate:g:ConnRateLimit max_connection_rate:g:MaxConnRate
current_session_rate:g:SessRate limit_session_rate:g:SessRateLimit
max_session_rate:g:MaxSessRate current_tasks:g:Tasks current_run_queue:g:Run_queue
idle_time_percent:g:Idle_pct stopping:g:Stopping jobs:g:Jobs
unstoppable_jobs:g:Unstoppable-Jobs listeners:g:Listeners active_peers:g:ActivePeers
connected_peers:g:ConnectedPeers dropped_logs_total:c:DroppedLogs
busy_polling_enabled:g:BusyPolling failed_resolutions:g:FailedResolutions
bytes_out_total:c:TotalBytesOut spliced_bytes_out_total:c:TotalSplicedBytesOut
bytes_out_rate:g:BytesOutRate recv_logs_total:c:CumRecvLogs
"""


def described(name: str) -> str:
    """A description from a name: the names say what they mean."""
    words = name.removesuffix("_total").removesuffix("_seconds").replace("_", " ")
    count = " since this generation began" if name.endswith("_total") else ""
    unit = " in seconds" if "_seconds" in name else ""
    return f"{words.capitalize()}{unit}{count}"


def table(scope: str, entries: str) -> tuple[Metric, ...]:
    """The metrics of a scope, in order."""
    metrics = []
    for entry in entries.split():
        name, kind, cell, *divisor = entry.split(":")
        metrics.append(
            Metric(
                f"haproxy_{scope}_{name}",
                kind == "c",
                cell.replace("Unstoppable-Jobs", "Unstoppable Jobs"),
                int(divisor[0]) if divisor else 1,
                f"{described(name)} ({scope})",
            )
        )
    return tuple(metrics)


PROCESS_METRICS = table("process", _PROCESS)
FRONTEND_METRICS = table("frontend", _FRONTEND)
SERVICE_METRICS = table("frontend", _SERVICE)
BACKEND_METRICS = table("backend", _BACKEND)
SERVER_METRICS = table("server", _SERVER)
CHECK_METRICS = table("server", _CHECK)
AGENT_METRICS = table("server", _AGENT)
RESOLVER_METRICS = tuple(
    Metric(
        f"haproxy_resolver_{'send_error' if name == 'snd_error' else name}",
        False,  # HAProxy declares them gauges although they count
        name,
        1,
        f"{described(name)} (nameserver)",
    )
    for name in RESOLVER_COUNTERS
)
