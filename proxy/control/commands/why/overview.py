"""`show why` of more than one server: a backend, all that take nothing; and of a frontend.

Answers go through rows in portions: a piece of text for each server that is looked at, empty for
one of which there is nothing to tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.model.settings import Bind, Proxy
from proxy.control.commands.why.chain import title, verdict
from proxy.control.commands.why.load import ServerLoad, held_back, is_full
from proxy.control.rows.observation import Observed
from proxy.control.rows.report import Report
from shm.client_orders import OPEN, PAUSED
from shm.loads import LoadSums

ALL_WELL = "All servers take new sessions, and all frontends let clients in.\n"


def load_of(report: Report, observed: Observed) -> ServerLoad:
    """What goes on around a server now."""
    proxy = observed.proxy
    counters = report.monitor.server_counters(observed.server)
    active, other = 0, ""
    if observed.state.backup:
        active = report.monitor.summary(proxy).active
    if observed.state.backup and not active:
        for server in report.servers.of(proxy):
            if server.slot == observed.server.slot:
                break
            found = report.observer.server(proxy, server)
            if found.state.eligible:
                other = found.server.name
                break
    queued = counters["queued"] + report.monitor.backend_counters(proxy)["queued"]
    return ServerLoad(active, other, counters["sessions"], queued, report.is_published(proxy))


def backend_text(report: Report, proxy: Proxy) -> str:
    """Whether a backend takes sessions."""
    if not report.is_published(proxy):
        return "takes no new sessions: it is not published (publish backend)"
    summary = report.monitor.summary(proxy)
    queued = report.monitor.backend_counters(proxy)["queued"]
    waiting = f"; {queued} sessions wait in its queues" if queued else ""
    if not summary.servers:
        return "takes no new sessions: it has no servers"
    if summary.active:
        return f"takes new sessions: {_count(summary.active, summary.servers)}{waiting}"
    if summary.up:
        one = "" if proxy.allbackups or summary.backup == 1 else ", one at a time"
        backups = f"{summary.backup} of its {summary.servers} servers are backups that do{one}"
        return f"takes new sessions on backups alone: {backups}{waiting}"
    return f"takes no new sessions: none of its {summary.servers} servers does{waiting}"


def _count(taking: int, servers: int) -> str:
    return f"{taking} of its {servers} servers do"


def backend_lines(report: Report, proxy: Proxy) -> Iterator[str]:
    """A backend, then each of its servers that takes no sessions now."""
    yield f"{proxy.name} {backend_text(report, proxy)}.\n"
    for observed in report.observer.backend(proxy):
        reason = verdict(observed) or held_back(observed, load_of(report, observed))
        yield f"  {title(observed)} takes none: {reason}\n" if reason else ""


def closed(report: Report, proxy: Proxy) -> str:
    """Why a frontend lets no clients in now; empty when it does."""
    assert proxy.frontend_index is not None
    if report.monitor.stopping():
        return "the process finishes its sessions"
    order = report.client_orders.frontend(proxy.frontend_index)
    if order.state != OPEN:
        did = "disabled it" if order.state == PAUSED else "shut it down until a reload"
        return f"an operator has {did}"
    row = report.frontend(proxy)
    limits = report.limits()
    open_now = report.monitor.counters.worker()["sessions"]
    if int(row["scur"]) >= int(row["slim"]):
        return f"it has {row['scur']} sessions of {row['slim']} (maxconn)"
    if limits.maxconn is not None and open_now >= limits.maxconn:
        return f"the process has {open_now} sessions of {limits.maxconn} (maxconn in global)"
    return ""


def slowed(report: Report, proxy: Proxy) -> Iterator[str]:
    """Rates that clients have reached: those who come faster wait."""
    assert proxy.frontend_index is not None
    rate, limits = report.monitor.frontend_reading(proxy).rate, report.limits()
    if proxy.session_rate and rate >= proxy.session_rate:
        yield f"{rate} a second of {proxy.session_rate} (rate-limit sessions)"
    all_rates = (
        ("maxconnrate", limits.connection_rate),
        ("maxsessrate", limits.session_rate),
    )
    everywhere = report.monitor.process.accepts.current
    for word, most in all_rates:
        if most and everywhere >= most:
            yield f"{everywhere} a second of {most} ({word})"


def full_binds(report: Report, proxy: Proxy) -> Iterator[str]:
    """Bind addresses that let nobody in, whatever the frontend has, by a limit of their own."""
    if not any(bind.maxconn > 0 for bind in proxy.binds):
        return
    before = report.settings.frontends[: proxy.frontend_index]
    first, loads = sum(len(each.binds) for each in before), LoadSums(report.runtime.segment)
    for index, bind in enumerate(proxy.binds, first):
        most = bind.maxconn
        if most > 0 and (sessions := loads.bind(index)) >= most:
            yield f"{_place(bind)} has {sessions} sessions of {most} (maxconn of its line)"


def _place(bind: Bind) -> str:
    return f"{bind.endpoint.host}:{bind.endpoint.port}"


def frontend_lines(report: Report, proxy: Proxy) -> Iterator[str]:
    """Whether clients get in, and what becomes of them."""
    reason, row = closed(report, proxy), report.frontend(proxy)
    lets_in = f"lets no clients in: {reason}" if reason else "lets clients in"
    yield f"{proxy.name} {lets_in}.\n"
    for bind in proxy.binds:
        yield f"  bind        : {_place(bind)}\n"
    for full in full_binds(report, proxy):
        yield f"  full        : {full}\n"
    yield f"  sessions    : {row['scur']} of {row['slim']}, {row['rate']} in the last second\n"
    for rate in slowed(report, proxy):
        yield f"  rate        : {rate}\n"
    denied = int(row["dcon"]) + int(row["dses"]) + int(row["dreq"])
    if denied:
        yield f"  denied      : {denied} clients, by rules (show rules {proxy.name})\n"
    if proxy.http is not None:
        yield "  serves      : statistics, by the control process\n"
    elif proxy.default_backend is None:
        yield "  backend     : none without a rule that names one\n"
    else:
        backend = report.servers.backends[proxy.default_backend]
        yield f"  backend     : {backend.name} {backend_text(report, backend)}\n"


def idle_lines(report: Report) -> Iterator[str]:
    """All servers that take nothing, backups that stand by aside, and all closed frontends."""
    well = True
    for proxy in report.frontends:
        reason = closed(report, proxy)
        well = well and not reason
        yield f"{proxy.name} lets no clients in: {reason}\n" if reason else ""
    for proxy in report.backends:
        if not report.is_published(proxy):
            well = False
            yield f"{proxy.name} {backend_text(report, proxy)}\n"
            continue
        waiting = report.monitor.backend_counters(proxy)["queued"]
        for observed in report.observer.backend(proxy):
            counters = report.monitor.server_counters(observed.server)
            load = ServerLoad(sessions=counters["sessions"], queued=waiting + counters["queued"])
            reason = verdict(observed) or is_full(observed, load)
            well = well and not reason
            yield f"{title(observed)} takes no new sessions: {reason}\n" if reason else ""
    if well:
        yield ALL_WELL
