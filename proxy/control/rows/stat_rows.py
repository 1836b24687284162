"""The rows of `show stat`: FRONTEND, server, BACKEND. Pure: settings and numbers in, cells out.

A cell that HAProxy leaves empty for this kind of row is not in the dict (management manual 9.1).
Values that a TCP proxy cannot have, but HAProxy prints as 0 in TCP mode, are 0 here too, because
tools tell "no errors" from "not measured". The formats and the metrics are made from these rows.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from proxy.config.model.settings import Proxy
from proxy.control.rows.observation import Observed
from proxy.control.rows.rates import Availability, Reading
from proxy.control.rows.summary import BackendSummary
from shm.check_status import CheckStatus
from shm.slots import WARM_STEPS, warm_weight, warmth_of
from shm.standing import CHECK_STATE_IN_PROGRESS, status_text
from shm.states import Operational

Row: TypeAlias = dict[str, int | str]

TYPE_FRONTEND, TYPE_BACKEND, TYPE_SERVER = 0, 1, 2
UNSIGNED = 0xFFFF_FFFF  # HAProxy's column of codes has no sign
TRAFFIC = {  # bytes by direction and side: a TCP relay hands on what it receives
    "bin": "bytes_in",
    "bout": "bytes_out",
    "reqbin": "bytes_in",
    "reqbout": "bytes_in",
    "resbin": "bytes_out",
    "resbout": "bytes_out",
}
COUNTED = {  # of server and BACKEND rows
    "qcur": "queued",
    "qmax": "queued_max",
    "scur": "sessions",
    "smax": "sessions_max",
    "stot": "sessions_total",
    **TRAFFIC,
    "dresp": "denied_responses",
    "econ": "connection_errors",
    "eresp": "response_errors",
    "wretr": "retries",
    "wredis": "redispatches",
    "lbtot": "loadbalanced",
    "cli_abrt": "client_aborts",
    "srv_abrt": "server_aborts",
    "connect": "connect_attempts",
    "qtime_max": "queue_time_max_ms",
    "ctime_max": "connect_time_max_ms",
    "ttime_max": "total_time_max_ms",
}
USED = {"used_conn_cur": "sessions", "need_conn_est": "sessions"}  # of server rows
PROCESS_NUMBER = 1  # one aggregated socket: HAProxy's numbering of a single process


class Clock(NamedTuple):
    """The moment of a row (CLOCK_MONOTONIC, ms) and when this generation began."""

    now_ms: int
    created_ms: int

    def age_s(self, moment_ms: int) -> int:
        """Whole seconds since a moment."""
        return max(0, self.now_ms - moment_ms) // 1000


def zeros(names: str) -> Row:
    """Cells that are 0 in this kind of row."""
    return dict.fromkeys(names.split(), 0)


def counted(cells: dict[str, str], counters: dict[str, int]) -> Row:
    """Cells that are counters as they are."""
    return {cell: counters[name] for cell, name in cells.items()}


def frontend_row(
    proxy: Proxy, counters: dict[str, int], reading: Reading, maxconn: int, status: str
) -> Row:
    """One FRONTEND row; `maxconn` is the limit that holds for it."""
    row: Row = zeros("req_rate req_rate_max req_tot comp_in comp_out")
    row |= zeros("comp_byp comp_rsp wrew")
    if proxy.http is not None:
        row |= zeros("intercepted cache_lookups cache_hits")
        row["req_tot"] = row["intercepted"] = counters["requests"]
        for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other"):
            row[f"hrsp_{kind}"] = counters[f"responses_{kind}"]
    return row | {
        "pxname": proxy.name,
        "svname": "FRONTEND",
        "scur": counters["sessions"],
        "smax": counters["sessions_max"],
        "slim": maxconn,
        "stot": counters["sessions_total"],
        **counted(TRAFFIC, counters),
        "status": status,
        "pid": PROCESS_NUMBER,
        "iid": proxy.id,
        "sid": 0,
        "type": TYPE_FRONTEND,
        "rate": reading.rate,
        "rate_lim": proxy.session_rate,
        "rate_max": reading.rate_max,
        "mode": "tcp" if proxy.http is None else "http",
        "conn_rate": reading.connection_rate,
        "conn_rate_max": reading.connection_rate_max,
        "conn_tot": counters["connections_total"],
        "dcon": counters["denied_connections"],
        "dses": counters["denied_sessions"],
        "dreq": counters["denied_requests"],
        "dresp": counters["denied_responses"],
        "ereq": counters["failed_requests"],
        "eint": counters["internal_errors"],
    }


def connection_cells(counters: dict[str, int], reading: Reading, clock: Clock) -> Row:
    """The cells that server and BACKEND rows have in common."""
    last_ms = counters["last_session_ms"]
    row: Row = zeros("wrew reuse rtime rtime_max")
    return row | {
        **counted(COUNTED, counters),
        "pid": PROCESS_NUMBER,
        "rate": reading.rate,
        "rate_max": reading.rate_max,
        "lastsess": clock.age_s(last_ms) if last_ms else -1,
        "qtime": round(reading.queue_time),
        "ctime": round(reading.connect_time),
        "ttime": round(reading.total_time),
        "mode": "tcp",
        "eint": counters.get("internal_errors", 0),
    }


def server_status(observed: Observed) -> str:
    """The `status` cell of a server."""
    standing = observed.standing
    if standing.lacks_address:
        return "MAINT (resolution)"
    if standing.maint:
        return f"MAINT (via {observed.server.track})" if standing.maint_tracked else "MAINT"
    return _status_by_agent(observed) or _status_by_checks(observed)


def _status_by_agent(observed: Observed) -> str:
    """What an agent, or the operator beside it, made of a server that is in use; else empty.

    The agent is its own, or that of the server that it tracks.
    """
    operational, source = observed.standing.operational, observed.origin
    said = source.asked
    if operational == Operational.STOPPED:
        if any(seen.asked is not None and seen.asked.down for seen in (observed, source)):
            return "DOWN (agent)"
        health = source.standing.check_health
        return "" if said is None or source.checking else f"DOWN {health}/{source.rise}"
    if said is None or not observed.state.drain:
        return ""
    return "NOLB" if operational == Operational.STOPPING else "DRAIN (agent)"


def _status_by_checks(observed: Observed) -> str:
    """What checks found out, of the server or of the one that it tracks."""
    standing, source = observed.standing, observed.origin
    health, rise, fall = source.standing.check_health, source.rise, source.fall
    if standing.operational == Operational.STOPPED:
        return status_text("DOWN", health if source.server.check else 0, rise, fall)
    word = "NOLB" if standing.operational == Operational.STOPPING else "UP"
    if word == "UP" and observed.state.drain:
        word = "DRAIN"
    if source.checking:
        return status_text(word, health, rise, fall)
    return word if word != "UP" else "no check"


def address_cell(observed: Observed) -> Row:
    """Address and port as one cell; none where there is no address."""
    if observed.server.local is not None:
        return {"addr": "unix"}
    address, port = observed.standing.address, observed.state.port
    if address is None:
        return {}
    return {"addr": f"[{address}]:{port}" if ":" in address else f"{address}:{port}"}


def check_cells(observed: Observed, clock: Clock) -> Row:
    """What is known from health checks; nothing for a server that has none."""
    if observed.server.check is None:
        return {}
    health = observed.health
    changed_ms = observed.standing.last_change_ms(clock.created_ms)
    down_since = 0 if observed.up else clock.age_s(changed_ms)
    row: Row = {
        "chkfail": health.failures,
        "chkdown": health.downs,
        "downtime": health.downtime_ms // 1000 + down_since,
    }
    if not observed.checking:
        return row
    status = CheckStatus.of(observed.standing.check_status)
    running = "* " if health.check_state & CHECK_STATE_IN_PROGRESS else ""
    if status.coded:
        row["check_code"] = status.shown_code(health.code) & UNSIGNED
    return row | {
        "check_status": running + status.name,
        "check_duration": health.duration_us // 1000,
        "last_chk": "" if running else observed.check_text or status.cause(health.code),
        "check_desc": status.description,
        "check_rise": observed.rise,
        "check_fall": observed.fall,
        "check_health": observed.standing.check_health,
    }


def agent_cells(observed: Observed) -> Row:
    """What is known from the checks of its agent; nothing for a server that is asked about none."""
    said = observed.asked
    if said is None:
        return {}
    status = CheckStatus.of(said.status or CheckStatus.INI)
    row: Row = {
        "agent_status": ("* " if said.running else "") + status.name,
        "last_agt": "" if said.running else observed.agent_text,
        "agent_desc": status.description,
        "agent_rise": 1,
        "agent_fall": 1,
        "agent_health": said.health,
    }
    if status >= CheckStatus.CHECKED:
        row["agent_duration"] = said.duration_us // 1000
    if status.coded:
        row["agent_code"] = said.code
    return row


def weight_cells(observed: Observed, clock: Clock) -> Row:
    """The weight at the moment, and how much of it in percent while the server warms up.

    A static algorithm gives it all of its weight at once; HAProxy says 100 meanwhile.
    """
    row: Row = {"weight": observed.weight, "uweight": observed.weight}
    slowstart_ms = observed.server.balancing.slowstart_ms
    warm = warmth_of(observed.state.warm_from_ms, slowstart_ms, clock.now_ms)
    if warm == WARM_STEPS or not observed.state.eligible:
        return row
    if observed.proxy.weights_fixed:
        return row | {"throttle": 100}
    now = warm_weight(observed.weight, warm)
    return row | {"weight": now, "throttle": 100 * warm // WARM_STEPS}


def server_row(
    observed: Observed,
    counters: dict[str, int],
    reading: Reading,
    clock: Clock,
    *,
    reveal: bool = True,
) -> Row:
    """One server row; `reveal` shows its address (level operator and above)."""
    proxy, server = observed.proxy, observed.server
    row = connection_cells(counters, reading, clock)
    row |= zeros("srv_icur idle_conn_cur safe_conn_cur priv_idle_cur")
    if observed.state.maxconn:
        row["slim"] = observed.state.maxconn
    if server.queueing.maxqueue:
        row["qlimit"] = server.queueing.maxqueue
    if reveal:
        row |= address_cell(observed)
    row |= check_cells(observed, clock) | agent_cells(observed)
    return row | {
        "pxname": proxy.name,
        "svname": server.name,
        "status": server_status(observed),
        **({"tracked": server.track} if server.track else {}),
        **weight_cells(observed, clock),
        "act": 0 if observed.state.backup else 1,
        "bck": 1 if observed.state.backup else 0,
        "lastchg": clock.age_s(observed.standing.last_change_ms(clock.created_ms)),
        "iid": proxy.id,
        "sid": server.id,
        "srid": observed.slot.generation,
        "type": TYPE_SERVER,
        **counted(USED, counters),
    }


def backend_row(
    proxy: Proxy,
    summary: BackendSummary,
    counters: dict[str, int],
    reading: Reading,
    availability: Availability,
    *,
    clock: Clock,
    full_connections: int,
    reveal: bool = True,
) -> Row:
    """One BACKEND row."""
    row = connection_cells(counters, reading, clock)
    row |= zeros("comp_in comp_out comp_byp comp_rsp agg_server_status")
    row |= zeros("agg_server_check_status agg_check_status")
    if reveal:
        row["algo"] = proxy.balance.value
    if summary.servers:
        row["downtime"] = availability.downtime_ms(clock.now_ms) // 1000
    return row | {
        "pxname": proxy.name,
        "svname": "BACKEND",
        "slim": full_connections,
        "status": "UP" if summary.up else "DOWN",
        "weight": summary.weight,
        "uweight": summary.weight,
        "act": summary.active,
        "bck": summary.backup,
        "chkdown": availability.downs,
        "lastchg": clock.age_s(availability.changed_ms),
        "iid": proxy.id,
        "sid": 0,
        "type": TYPE_BACKEND,
        "dreq": counters["denied_requests"],
    }
