"""`show info`: what there is to say of the whole process. Field names and numbers are HAProxy's.

Several worker processes appear as one: counters are sums over all of them, limits are of all of
them together. Generations before this one have fields of their own, numbered beyond HAProxy's.
Of things that Millrace does not have (TLS, compression) there is none: these fields are 0.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import msgspec

from proxy import __version__
from proxy.control.command import Answer, Command, Feedback, Level
from proxy.control.rows.report import Report
from proxy.control.rows.stat_format import tags_object
from proxy.control.rows.stat_rows import PROCESS_NUMBER

PRODUCT = "Millrace"
MEGABYTE = 1 << 20
Values: TypeAlias = dict[str, int | str]
Shown: TypeAlias = dict[str, int | str | float]


class Field(NamedTuple):
    """One line: its number in the typed forms, name, tag, type and explanation."""

    number: int
    name: str
    tag: str
    type: str
    text: str


NO_TLS = "always 0: clients' TLS passes unopened"
NO_COMPRESSION = "always 0: nothing is compressed"
NOTHING_A_SECOND = (  # rates of these
    *("SslRate", "SslFrontendKeyRate", "SslFrontendSessionReuse_pct", "SslBackendKeyRate"),
    *("CompressBpsIn", "CompressBpsOut"),
)
FIELDS = (
    Field(0, "Name", "POS", "str", "name of the product"),
    Field(1, "Version", "POS", "str", "version of the product"),
    Field(2, "Release_date", "POS", "str", "when this version was made"),
    Field(3, "Nbthread", "CGS", "u32", "number of workers (nbthread)"),
    Field(4, "Nbproc", "CGS", "u32", "always 1: the workers appear as one process"),
    Field(5, "Process_num", "KGP", "u32", "always 1"),
    Field(6, "Pid", "SGP", "u32", "process id of the supervisor"),
    Field(7, "Uptime", "MDP", "str", "time since this generation began (days+hours+minutes+s)"),
    Field(8, "Uptime_sec", "MDP", "u32", "time since this generation began (seconds)"),
    Field(9, "Memmax_MB", "CLP", "u32", "limit on memory of each process (0: none)"),
    Field(10, "PoolAlloc_MB", "MGP", "u32", "memory that stalled sessions hold, in MB"),
    Field(11, "PoolUsed_MB", "MGP", "u32", "memory that stalled sessions hold, in MB"),
    Field(12, "PoolFailed", "MCP", "u32", "pauses of accepting for lack of descriptors or memory"),
    Field(13, "Ulimit-n", "CLP", "u32", "limit on descriptors of each worker"),
    Field(14, "Maxsock", "CLP", "u32", "limit on sockets of each worker"),
    Field(15, "Maxconn", "CLP", "u32", "limit on sessions, configured or from Ulimit-n"),
    Field(16, "Hard_maxconn", "CLP", "u32", "limit on sessions from Ulimit-n"),
    Field(17, "CurrConns", "MGP", "u32", "sessions open now"),
    Field(18, "CumConns", "MCP", "u32", "connections accepted"),
    Field(19, "CumReq", "MCP", "u32", "sessions begun"),
    Field(20, "MaxSslConns", "MMP", "u32", NO_TLS),
    Field(21, "CurrSslConns", "MGP", "u32", NO_TLS),
    Field(22, "CumSslConns", "MCP", "u32", NO_TLS),
    Field(23, "Maxpipes", "CLP", "u32", "limit on pipes for splicing"),
    Field(24, "PipesUsed", "MGP", "u32", "pipes in use for splicing"),
    Field(25, "PipesFree", "MGP", "u32", "pipes kept for splicing"),
    Field(26, "ConnRate", "MRP", "u32", "connections accepted in the last second"),
    Field(27, "ConnRateLimit", "CLP", "u32", "limit on ConnRate (0: none)"),
    Field(28, "MaxConnRate", "MMP", "u32", "highest ConnRate"),
    Field(29, "SessRate", "MRP", "u32", "sessions begun in the last second"),
    Field(30, "SessRateLimit", "CLP", "u32", "limit on SessRate (0: none)"),
    Field(31, "MaxSessRate", "MRP", "u32", "highest SessRate"),
    Field(32, "SslRate", "MRP", "u32", NO_TLS),
    Field(33, "SslRateLimit", "CLP", "u32", NO_TLS),
    Field(34, "MaxSslRate", "MMP", "u32", NO_TLS),
    Field(35, "SslFrontendKeyRate", "MGP", "u32", NO_TLS),
    Field(36, "SslFrontendMaxKeyRate", "MMP", "u32", NO_TLS),
    Field(37, "SslFrontendSessionReuse_pct", "MGP", "u32", NO_TLS),
    Field(38, "SslBackendKeyRate", "MRP", "u32", NO_TLS),
    Field(39, "SslBackendMaxKeyRate", "MMP", "u32", NO_TLS),
    Field(40, "SslCacheLookups", "MCP", "u32", NO_TLS),
    Field(41, "SslCacheMisses", "MCP", "u32", NO_TLS),
    Field(42, "CompressBpsIn", "MRP", "u32", NO_COMPRESSION),
    Field(43, "CompressBpsOut", "MRP", "u32", NO_COMPRESSION),
    Field(44, "CompressBpsRateLim", "CLP", "u32", NO_COMPRESSION),
    Field(47, "Tasks", "MGP", "u32", "sessions and listeners"),
    Field(48, "Run_queue", "MGP", "u32", "always 0: a relay has no queue of tasks"),
    Field(49, "Idle_pct", "MaP", "u32", "percentage of the last second that workers waited"),
    Field(50, "node", "COS", "str", "name of this node (node)"),
    Field(51, "description", "COS", "str", "description of this node (description)"),
    Field(52, "Stopping", "MGP", "u32", "1 while the workers finish, else 0"),
    Field(53, "Jobs", "MGP", "u32", "sessions and listeners"),
    Field(54, "Unstoppable Jobs", "MGP", "u32", "always 0"),
    Field(55, "Listeners", "MGP", "u32", "listening addresses"),
    Field(56, "ActivePeers", "MGP", "u32", "always 0: there are no peers"),
    Field(57, "ConnectedPeers", "MGP", "u32", "always 0: there are no peers"),
    Field(58, "DroppedLogs", "MGP", "u32", "log lines of sessions lost to overload"),
    Field(59, "BusyPolling", "MGP", "u32", "always 0"),
    Field(60, "FailedResolutions", "MGP", "u32", "always 0: resolvers show theirs"),
    Field(61, "TotalBytesOut", "MGP", "u64", "bytes sent to clients"),
    Field(62, "TotalSplicedBytesOut", "MGP", "u64", "bytes relayed through pipes"),
    Field(63, "BytesOutRate", "MRP", "u64", "bytes sent to clients in the last second"),
    Field(65, "CumRecvLogs", "MCP", "u32", "always 0: no logs are received"),
    Field(66, "Build info", "POS", "str", "version of the product"),
    Field(67, "Memmax_bytes", "CLP", "u32", "limit on memory of each process (0: none)"),
    Field(68, "PoolAlloc_bytes", "MGP", "u64", "memory that stalled sessions hold"),
    Field(69, "PoolUsed_bytes", "MGP", "u64", "memory that stalled sessions hold"),
    Field(70, "Start_time_sec", "MDP", "u32", "when this generation began (Unix time)"),
    Field(1000, "OldGenerations", "MGP", "u32", "generations before this one with sessions"),
    Field(1001, "OldConns", "MGP", "u32", "sessions open now in these, beside CurrConns"),
)

RELEASE_DATE = "2026/11/20"
NODE = socket.gethostname()


def uptime_text(seconds: int) -> str:
    """`0d 0h01m14s`."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d {hour}h{minute:02}m{second:02}s"


class Info:
    """Builds the values of now; also what the process metrics are made from."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def fixed(self) -> Values:
        """What does not change while this generation lives, and what is always 0."""
        runtime, report = self.report.runtime, self.report
        settings = runtime.settings.globals
        values: Values = {field.name: 0 for field in FIELDS}
        limit = resource.getrlimit(resource.RLIMIT_DATA)[0]  # -m
        memory = 0 if limit == resource.RLIM_INFINITY else limit
        values |= {
            "Memmax_MB": memory // MEGABYTE,
            "Memmax_bytes": memory,
            "Name": settings.product_name or PRODUCT,
            "Version": __version__,
            "Release_date": RELEASE_DATE,
            "Build info": __version__,
            "Nbthread": runtime.workers,
            "Nbproc": 1,
            "Process_num": PROCESS_NUMBER,
            "Pid": runtime.main_pid,
            "Ulimit-n": report.capacity.descriptors,
            "Maxsock": report.capacity.descriptors,
            "Hard_maxconn": report.capacity.sessions_all,
            "Maxpipes": report.capacity.pipes_all,
            "node": settings.node or NODE,
            "Listeners": report.binds + len(runtime.stats_sockets),
        }
        if settings.description:
            values["description"] = settings.description
        else:
            del values["description"]
        return values

    def exact(self) -> dict[str, float]:
        """The values that `float` shows with their fractions."""
        report = self.report
        segment, rate = report.runtime.segment, float(report.monitor.process.accepts.current)
        age_s = max(0.0, time.monotonic() - segment.created_ms / 1_000)
        return {
            **dict.fromkeys(NOTHING_A_SECOND, 0.0),
            "Uptime_sec": age_s,
            "Start_time_sec": round(time.time() - age_s, 3),
            "ConnRate": rate,
            "SessRate": rate,
        }

    def values(self) -> Values:
        """Every value by field name."""
        report, monitor, clock = self.report, self.report.monitor, self.report.clock()
        old = report.old.living()
        worker = monitor.counters.worker()
        uptime = clock.age_s(clock.created_ms)
        values, limits = self.fixed(), report.limits()
        listeners = int(values["Listeners"])
        return values | {
            "Uptime": uptime_text(uptime),
            "Uptime_sec": uptime,
            "Start_time_sec": report.runtime.segment.created_unix_s,
            "PoolAlloc_MB": worker["buffer_bytes"] // MEGABYTE,
            "PoolUsed_MB": worker["buffer_bytes"] // MEGABYTE,
            "PoolAlloc_bytes": worker["buffer_bytes"],
            "PoolUsed_bytes": worker["buffer_bytes"],
            "PoolFailed": worker["accept_pauses"],
            "Maxconn": limits.maxconn or 0,
            "ConnRateLimit": limits.connection_rate or 0,
            "SessRateLimit": limits.session_rate or 0,
            "CurrConns": worker["sessions"],
            "CumConns": worker["accepts"],
            "CumReq": worker["accepts"],
            "PipesUsed": worker["pipes_used"],
            "PipesFree": worker["pipes_free"],
            "ConnRate": monitor.process.accepts.current,
            "MaxConnRate": monitor.process.accepts.highest,
            "SessRate": monitor.process.accepts.current,
            "MaxSessRate": monitor.process.accepts.highest,
            "Tasks": worker["sessions"] + listeners,
            "Jobs": worker["sessions"] + listeners,
            "Idle_pct": monitor.process.idle_percent,
            "Stopping": int(monitor.stopping()),
            "DroppedLogs": worker["log_overflows"],
            "TotalBytesOut": worker["bytes_out"],
            "TotalSplicedBytesOut": worker["bytes_spliced"],
            "BytesOutRate": monitor.process.bytes_out.current,
            "OldGenerations": len(old),
            "OldConns": sum(each.sessions() for each in old),
        }


def shown(value: float | str) -> str:
    """A value; six decimals at most of one that is not whole."""
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return str(value)


def type_of(field: Field, value: float | str) -> str:
    """The type of a value, which `float` changes for some."""
    return "flt" if isinstance(value, float) else field.type


def text_lines(values: Shown, *, explain: bool) -> Iterator[str]:
    """`Name: value`, with the explanation in quotes where it is asked for."""
    for field in FIELDS:
        if field.name in values:
            text = f':"{field.text}"' if explain else ""
            yield f"{field.name}: {shown(values[field.name])}{text}\n"


def typed_lines(values: Shown, *, explain: bool) -> Iterator[str]:
    """`number.name.process:tag:type:value`."""
    for field in FIELDS:
        if field.name in values:
            text = f':"{field.text}"' if explain else ""
            value = values[field.name]
            yield (
                f"{field.number}.{field.name}.{PROCESS_NUMBER}:{field.tag}:"
                f"{type_of(field, value)}:{shown(value)}{text}\n"
            )


def json_text(values: Shown) -> str:
    """One JSON array of fields."""
    fields = [
        {
            "field": {"pos": field.number, "name": field.name},
            "processNum": PROCESS_NUMBER,
            "tags": tags_object(field.tag),
            "value": {
                "type": type_of(field, values[field.name]),
                "value": values[field.name],
            },
        }
        for field in FIELDS
        if field.name in values
    ]
    return msgspec.json.encode(fields).decode() + "\n"


class ShowInfo:
    """The commands about the whole process."""

    def __init__(self, report: Report) -> None:
        self.info = Info(report)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "what there is to say of the running process"
        return [
            Command(("show", "info"), "[desc|json|typed|float]*", text, Level.USER, self.show_info),
            Command(
                ("show", "version"),
                "",
                "version of the running process",
                Level.USER,
                lambda _words, _level: [Feedback(__version__)],
            ),
        ]

    def show_info(self, words: list[str], _level: Level) -> Answer:
        """`show info [desc|json|typed|float]*`."""
        values: Shown = {**self.info.values()}
        if "float" in words:
            values |= self.info.exact()
        if "json" in words:
            return [json_text(values)]
        explain = "desc" in words
        if "typed" in words:
            return typed_lines(values, explain=explain)
        return text_lines(values, explain=explain)
