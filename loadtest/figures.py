"""The printed figures: name, unit, and Millrace's goal.

A goal is an upper limit of a ratio (Millrace / peer) or of the value; rates have none, they are
printed beside the CPU figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table: `key` of the samples of `load`, in `unit`.

    With `over` it is the same key's ratio to that other load of the same program, with `beyond` the
    difference to it, round by round.
    """

    load: str
    key: str
    title: str
    unit: str
    ratio_goals: dict[str, float] = field(default_factory=dict)
    absolute_goal: float | None = None
    over: str = ""
    beyond: str = ""

    def goal(self) -> str:
        """The goal as the table prints it; "" without one."""
        goals = [f"<={ratio:g}x {peer}" for peer, ratio in self.ratio_goals.items()]
        if self.absolute_goal is not None:
            goals.append(f"<={self.absolute_goal:g} {self.unit}")
        return ", ".join(goals)

    def met(self, value: float, ratios: Mapping[str, float]) -> bool | None:
        """Whether Millrace's median and its ratios to the peers meet every goal; None without one.

        Goals about a peer that was not measured are left out.
        """
        verdicts = [
            ratios[peer] <= goal for peer, goal in self.ratio_goals.items() if peer in ratios
        ]
        if self.absolute_goal is not None:
            verdicts.append(value <= self.absolute_goal)
        return all(verdicts) if verdicts else None


def names_figures(load: str, title: str, peer_ratio_max: float) -> tuple[Figure, ...]:
    """The rows of a load that resolves many names."""
    goals = {"haproxy": peer_ratio_max}
    return (
        Figure(load, "cpu_percent", f"CPU of DNS, {title}", "% core", goals),
        Figure(load, "tree_cpu_percent", "  of all processes", "% core"),
        Figure(load, "cpu_us_per_run", "  CPU per answered run", "us"),
        Figure(load, "runs_per_s", "  answered runs", "1/s"),
        Figure(load, "questions_per_s", "  questions seen by NSD", "1/s"),
        Figure(load, "sent_per_s", "  questions counted as sent", "1/s"),
        Figure(load, "resolver_mb", "  memory of the resolving process", "MB"),
        Figure(load, "tree_mb", "  memory of all processes", "MB"),
    )


def servers_figures(balance: str, most: float) -> tuple[Figure, ...]:
    """The rows about the cost of a connection by the number of servers."""
    return (
        Figure(f"{balance}10", "cpu_us", f"CPU per connection, 10 servers, {balance}", "us"),
        *(
            Figure(
                f"{balance}{count}",
                "cpu_us",
                f"  {count:,} servers / 10",
                "x",
                absolute_goal=most,
                over=f"{balance}10",
            )
            for count in (1_000, 10_000)
        ),
    )


FIGURES = (
    Figure(
        "keepalive", "cpu_us", "CPU per keep-alive request", "us", {"haproxy": 0.92, "nginx": 0.95}
    ),
    Figure("keepalive", "rate", "  requests", "1/s"),
    Figure("keepalive", "latency_p99_ms", "  latency p99 (closed loop)", "ms"),
    *(
        figure
        for share in (30, 50, 70)
        for figure in (
            Figure(
                f"latency{share}",
                "latency_p99_us",
                f"latency p99 at {share} % of HAProxy's rate",
                "us",
                {"haproxy": 1.0, "nginx": 1.0},
            ),
            Figure(f"latency{share}", "latency_p50_us", "  p50", "us"),
            Figure(f"latency{share}", "latency_p999_us", "  p99.9", "us"),
            Figure(f"latency{share}", "rate", "  requests", "1/s"),
            Figure(f"latency{share}", "lag_p99_us", "  the generator's own lag, p99", "us"),
        )
    ),
    Figure("beside", "latency_p50_us", "a request beside six streams, p50", "us", {"haproxy": 1.0}),
    Figure("beside", "latency_p99_us", "  p99", "us"),
    Figure("close", "cpu_us", "CPU per short connection", "us", {"haproxy": 0.82, "nginx": 0.90}),
    Figure("close", "rate", "  connections", "1/s"),
    Figure("close", "latency_p99_ms", "  latency p99 (closed loop)", "ms"),
    Figure(
        "closelog",
        "cpu_us",
        "  with an access log / without",
        "x",
        {"haproxy": 1.0},
        over="close",
    ),
    *(
        Figure(load, "cpu_us", f"  {what} / without", "x", {"haproxy": 1.0}, over="close")
        for load, what in (("closerules", "with rules"), ("closebytes", "with rules about bytes"))
    ),
    Figure("knock", "cpu_us", "CPU per connection, 65,536 clients", "us"),
    *(
        Figure(load, "cpu_us", f"  {what} / without", "x", {"haproxy": 1.0}, most, over)
        for load, what, most, over in (
            ("list1", "a list of 100,000 networks", 1.01, "knock"),
            ("list20", "20 such lists", 1.04, "knock"),
            ("track", "followed in a table", 1.04, "knock"),
        )
    ),
    Figure("knock2", "cpu_us", "  two workers", "us"),
    Figure("track2", "cpu_us", "  followed, two workers / without", "x", {}, 1.04, "knock2"),
    Figure("bare", "start_ms", "start to first forwarded byte, one worker", "ms"),
    Figure(
        *("million", "start_ms", "  a list of 1,000,000 - without", "ms", {}, 2_000),
        beyond="bare",
    ),
    Figure(
        *("million", "private_mb", "  memory of its lines (64 B each)", "MB", {}, 64),
        beyond="bare",
    ),
    Figure("waiting", "bytes_per_client", "memory of a client that rules wait for", "B"),
    Figure("waiting", "cpu_us", "  CPU per byte that comes alone", "us", {"haproxy": 1.0}),
    Figure("waiting40k", "bytes_per_client", "  40,000 of them, six workers", "B"),
    Figure("waiting40k", "cpu_us", "  CPU per byte that comes alone", "us"),
    Figure("hello", "cpu_us", "CPU per ClientHello", "us"),
    Figure(
        "names1000",
        "cpu_us",
        "  1,000 names by map / without",
        "x",
        {"haproxy": 1.0},
        1.06,
        "hello",
    ),
    Figure("refused", "cpu_us", "CPU per refused client", "us", {"haproxy": 1.0}),
    Figure("refused", "rate", "  refused", "1/s"),
    Figure("calm", "latency_p99_us", "latency p99 at a low rate", "us"),
    Figure("flood", "latency_p99_us", "  beside a flood / without", "x", {}, 2.0, "calm"),
    Figure("unlisted", "latency_p99_us", "latency p99 beside idle sessions", "us"),
    Figure(
        "listed", "latency_p99_us", "  while they are listed / without", "x", {}, 1.05, "unlisted"
    ),
    Figure("listed", "listing_ms", "  the longest listing of all", "ms"),
    Figure("members", "add_ms", "add server, under load, p50", "ms", absolute_goal=3),
    Figure("members", "del_ms", "  del server", "ms", absolute_goal=3),
    Figure("members", "rate", "  requests beside it", "1/s"),
    Figure("bulk1", "cpu_s_per_gb", "CPU per GB, one stream up", "s", {"haproxy": 0.38}),
    Figure("bulk1", "gbit_per_s", "  throughput", "Gbit/s"),
    Figure("bulk1r", "cpu_s_per_gb", "CPU per GB, one stream down", "s", {"haproxy": 0.38}),
    Figure("bulk1r", "gbit_per_s", "  throughput", "Gbit/s"),
    Figure("bulk8", "cpu_s_per_gb", "CPU per GB, eight streams", "s", {"haproxy": 0.30}),
    Figure("bulk8", "gbit_per_s", "  throughput", "Gbit/s"),
    Figure("idle", "bytes_per_connection", "memory per idle connection", "B", absolute_goal=176),
    Figure(
        *("idletracked", "bytes_per_connection", "  followed in a table - without", "B", {}, 16),
        beyond="idle",
    ),
    Figure("resident", "pss_mb", "memory at rest, 2 workers", "MB", absolute_goal=40),
    Figure("resident", "idle_cpu_ms_per_s", "CPU at rest, 10 checks per 2 s", "ms/s", {}, 3),
    Figure("resident", "wakeups_per_s", "  wake-ups", "1/s", absolute_goal=14),
    Figure("resident", "start_ms", "start to first forwarded byte", "ms", absolute_goal=250),
    Figure("resident64", "pss_mb", "memory at rest, 64 workers", "MB", absolute_goal=180),
    Figure("resident64", "idle_cpu_ms_per_s", "  CPU", "ms/s"),
    Figure("resident64", "start_ms", "  start to first forwarded byte", "ms"),
    Figure(
        "checks", "cpu_us", "CPU per TCP health check", "us", {"haproxy": 2.0}, absolute_goal=40
    ),
    Figure("checkshttp", "cpu_us", "CPU per HTTP health check", "us", {"haproxy": 2.5}),
    Figure("checks10k", "cpu_us", "  10,000 servers, half silent", "us", {"haproxy": 2.5}),
    Figure("checks10k", "late_p99_ms", "  how late a check comes, p99", "ms", absolute_goal=100),
    Figure("checks10k", "late_p50_ms", "  p50", "ms"),
    Figure("checks10k", "checks_per_s", "  checks that are answered", "1/s"),
    Figure("checks10k", "kib_per_server", "  memory per server, all processes", "KiB"),
    Figure("killed", "gap_p99_ms", "killed worker, idle, p99 of the gap", "ms", absolute_goal=15),
    Figure("killed", "gap_p50_ms", "  p50", "ms"),
    Figure("killedbusy", "gap_p99_ms", "killed worker, loaded, p99", "ms", absolute_goal=30),
    Figure("killedbusy", "gap_p50_ms", "  p50", "ms"),
    Figure("killed2", "gap_p99_ms", "one of two killed, longest wait, p99", "ms", absolute_goal=3),
    Figure("killed2", "gap_p50_ms", "  p50", "ms"),
    Figure("killed2busy", "gap_p99_ms", "  loaded, p99", "ms", absolute_goal=10),
    Figure("killed2busy", "gap_p50_ms", "  p50", "ms"),
    Figure("killed2busy", "before_p50_ms", "  the same before the kill", "ms"),
    Figure("killed16", "gap_p99_ms", "  of 16, 10,000 servers, p99", "ms", absolute_goal=50),
    Figure("killed16", "gap_p50_ms", "  p50", "ms"),
    Figure("reload20k", "main_ms", "reload of 20,000 servers, main waits", "ms", {}, 50),
    Figure("reload20k", "control_ms", "  the stats socket", "ms", {}, 500),
    Figure("reload20k", "names_ms", "  DNS", "ms", {}, 500),
    Figure("reload20k", "reload_ms", "  the reload", "ms"),
    Figure("reload20k", "memory", "  memory of all processes after / before", "x", {}, 1.10),
    Figure("reading", "ms", "reading 10,000 sections", "ms", {}, 1_500),
    Figure("calls", "calls", "system calls per keep-alive request", ""),
    Figure("callsclose", "calls", "system calls per connection", ""),
    Figure("worker1", "cpu_us", "CPU per connection, 400 at a time", "us"),
    Figure("worker2", "cpu_us", "  two workers / one", "x", over="worker1"),
    Figure("worker2", "rate", "  throughput, two workers / one", "x", over="worker1"),
    *servers_figures("roundrobin", 1.10),
    *servers_figures("leastconn", 1.15),
    Figure("limitedfirst", "cpu_us", "CPU per connection at the global maxconn", "us"),
    Figure(
        "limitedlast", "cpu_us", "  last of 1,000 sections / first", "x", {}, 1.05, "limitedfirst"
    ),
    Figure("sections1", "cpu_us", "CPU per connection, two workers", "us", {"haproxy": 1.0}),
    Figure("sections4000", "cpu_us", "  4,000 sections / one", "x", {}, 1.05, "sections1"),
    Figure("places4", "cpu_us", "CPU per connection, 4 places", "us", {"haproxy": 1.0}),
    Figure("places2000", "cpu_us", "  1,996 more, held / without", "x", {}, 1.10, "places4"),
    Figure("metrics5k", "cpu_ms", "CPU per scrape, 5,000 servers", "ms", {"haproxy": 2.0}),
    Figure("metrics5k", "first_byte_ms", "  first byte of the body", "ms", absolute_goal=20),
    Figure("metrics5k", "mb", "  text", "MB"),
    Figure("orders10", "cpu_us", "CPU per order, 10 servers", "us"),
    Figure("orders10000", "cpu_us", "  10,000 servers / 10", "x", {}, 1.10, "orders10"),
    Figure("orders10000", "p50_us", "  order to all relays, p50", "us", absolute_goal=500),
    Figure("orders10000", "p99_us", "  p99", "us", absolute_goal=5_000),
    *names_figures("names10k", "10,000 names / 10 s", 1.5),
    *names_figures("names1k", "1,000 names / s", 1.5),
    *names_figures("absent10k", "10,000 names, half absent", 2),
    Figure("propagation", "p99_us", "reply to all workers, p99", "us", absolute_goal=1_000),
    Figure("propagation", "p50_us", "  p50", "us"),
    Figure("propagation", "runs_per_s", "  runs of other names", "1/s"),
    Figure("srv1000", "p99_us", "the same, 1,000 SRV records, p99", "us", absolute_goal=20_000),
    Figure("srv1000", "p50_us", "  p50", "us"),
)
