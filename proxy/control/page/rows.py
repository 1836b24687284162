"""Rows of the tables: one of a server, a backend, a frontend. Markup of what the report says."""

from __future__ import annotations

from html import escape

from proxy.config.model.settings import Proxy, Server
from proxy.control.page.markup import age, alarming, amount, chip, of_limit, row
from proxy.control.page.pictures import Values, spark, strip
from proxy.control.page.subject import PageMoment, PageSubject
from proxy.control.rows.stat_rows import Row
from proxy.control.situation.faults import Fault, FaultKind
from proxy.control.situation.ways import WayHealth
from proxy.server_table import spare_slots
from shm.check_status import CheckStatus
from shm.history import HistoryKind

SERVER_COLUMNS = (
    "<server|<address|<status|for|<last check|<last 60 checks|weight|queue|sessions/limit|rate/s|"
    "total|in|out|connect|errors|retries"
)
BACKEND_COLUMNS = (
    "<backend|<status|for|servers|backups|out by order|free+spare slots|queue|sessions/full|"
    "<sessions, 15 min|rate/s|total|in|out|errors|retries"
)
FRONTEND_COLUMNS = (
    "<frontend|<status|<behind it|sessions/limit|rate/s|limit/s|total|in|out|denied|errors"
)
BEHIND = {
    WayHealth.WELL: ("up", "up"),
    WayHealth.WEAK: ("impaired", "warn"),
    WayHealth.BROKEN: ("down", "down"),
    WayHealth.UNKNOWN: ("-", ""),
}


def last_check(cells: Row, kind: str, text: str) -> str:
    """How the last check of a server or of its agent ended, its status as on HAProxy's page.

    Empty without one; a check that has not ended yet has no code and took no time.
    """
    shown = str(cells.get(f"{kind}_status", ""))
    if not shown:
        return ""
    if f"{kind}_code" in cells:
        shown += f"/{cells[f'{kind}_code']}"
    if CheckStatus[shown.removeprefix("* ").partition("/")[0]] >= CheckStatus.CHECKED:
        shown += f" in {cells.get(f'{kind}_duration', 0)}ms"
    return f"{shown} {cells.get(f'last_{text}', '')}".rstrip()


def sessions_of(subject: PageSubject, moment: PageMoment, kind: HistoryKind, index: int) -> Values:
    """The sessions of the last 15 minutes; nothing for what has no history."""
    points = subject.history.points(kind, index, moment.now_ms)
    return [] if points is None else [None if each is None else each[0] for each in points]


def server_row(subject: PageSubject, moment: PageMoment, proxy: Proxy, server: Server) -> str:
    """One server."""
    cells = subject.report.server(proxy, server, reveal=moment.page.show_legends)
    fault = subject.faults.of(proxy).get(server.slot)
    check, agent = last_check(cells, "check", "chk"), last_check(cells, "agent", "agt")
    if agent:
        check += f"{', ' if check else ''}agent {agent}"
    link = moment.view.link(server=f"{proxy.name}/{server.name}", backend="", name="")
    backup = ' <span class="quiet">backup</span>' if cells["bck"] else ""
    queue = of_limit(int(cells["qcur"]), cells.get("qlimit"))
    if cells["qcur"] and not cells.get("qlimit"):
        queue = f'<span class="amber">{queue}</span>'
    return row(
        [
            ("t", f'<a href="{link}">{escape(server.name)}</a>{backup}'),
            ("t a", escape(str(cells.get("addr", "")))),
            ("t", chip(str(cells["status"]), "" if fault is None else _colour(fault))),
            ("", age(int(cells["lastchg"]) * 1000)),
            ("t", escape(check)),
            ("t", strip(subject.history.results(server.slot))),
            ("", str(cells["weight"])),
            ("", queue),
            ("", of_limit(int(cells["scur"]), cells.get("slim"))),
            ("", str(cells["rate"])),
            ("", str(cells["stot"])),
            ("", amount(cells["bin"])),
            ("", amount(cells["bout"])),
            ("", f"{cells['ctime']} ms"),
            ("", alarming(cells["econ"])),
            ("", alarming(cells["wretr"])),
        ],
        "" if fault is None or fault.kind is FaultKind.ORDER else "wrong",
    )


def _colour(fault: Fault) -> str:
    return "" if fault.kind is FaultKind.ORDER else "down"


def backend_row(subject: PageSubject, moment: PageMoment, proxy: Proxy, *, waiting: int) -> str:
    """One backend; servers that were ordered out, and free slots, apart from what is wrong."""
    assert proxy.backend_index is not None
    cells = subject.report.backend(proxy)
    wrong = subject.faults.wrong(proxy)
    faults = subject.faults.of(proxy)
    ordered = sum(fault.kind is FaultKind.ORDER for fault in faults.values())
    members, spare_range = subject.report.servers.of(proxy), spare_slots(proxy)
    servers = len(members)
    up, free = int(cells["act"]), len(faults) - ordered - len(wrong)
    spare = len(spare_range) - sum(each.slot in spare_range for each in members)
    of_them = f'<span class="bad">{up}/{servers}</span>' if wrong else f"{up}/{servers}"
    link = moment.view.link(backend=proxy.name, server="", name="")
    values = sessions_of(subject, moment, HistoryKind.BACKEND, proxy.backend_index)
    down = cells["status"] == "DOWN"
    return row(
        [
            ("t", f'<a href="{link}">{escape(proxy.name)}</a>'),
            ("t", chip(str(cells["status"]))),
            ("", age(int(cells["lastchg"]) * 1000)),
            ("", of_them),
            ("", str(cells["bck"])),
            ("", str(ordered)),
            ("", f"{free}+{spare}" if spare else str(free)),
            ("", f'<span class="amber">{waiting}</span>' if waiting else "0"),
            ("", of_limit(int(cells["scur"]), cells["slim"])),
            ("t", spark("sessions", values)),
            ("", str(cells["rate"])),
            ("", str(cells["stot"])),
            ("", amount(cells["bin"])),
            ("", amount(cells["bout"])),
            ("", alarming(cells["econ"])),
            ("", alarming(cells["wretr"])),
        ],
        "wrong" if down else "weak" if wrong or waiting else "",
    )


def frontend_row(subject: PageSubject, moment: PageMoment, proxy: Proxy) -> str:
    """One frontend, coloured by what stands behind it: that it is open is not enough."""
    cells = subject.report.frontend(proxy)
    behind = WayHealth.UNKNOWN if proxy.http is not None else subject.ways.behind(proxy)
    text, kind = BEHIND[behind]
    if proxy.http is not None:
        text = "answers itself"
    status = str(cells["status"])
    shown = "down" if behind is WayHealth.BROKEN else "warn" if behind is WayHealth.WEAK else ""
    link = ""
    names = [
        subject.report.servers.backends[index].name
        for index in subject.ways.backends.get(proxy.frontend_index or 0, ())
    ]
    if names:
        address = moment.view.link(backend=names[0], server="", name="")
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        link = f' <a href="{address}">{escape(names[0])}</a>{more}'
    return row(
        [
            ("t", escape(proxy.name)),
            ("t", chip(status, shown)),
            ("t", chip(text, kind) + link),
            ("", of_limit(int(cells["scur"]), cells["slim"])),
            ("", str(cells["rate"])),
            ("", str(cells["rate_lim"] or "")),
            ("", str(cells["stot"])),
            ("", amount(cells["bin"])),
            ("", amount(cells["bout"])),
            ("", alarming(cells["dcon"])),
            ("", alarming(cells["eint"])),
        ],
        {WayHealth.BROKEN: "wrong", WayHealth.WEAK: "weak"}.get(behind, ""),
    )
