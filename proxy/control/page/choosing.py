"""Which rows a page shows, and in which order: trouble above health, some at a time. Pure work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from proxy.config.model.settings import Proxy, Server
from proxy.control.page.subject import PageSubject
from proxy.control.page.view import View
from proxy.control.situation.faults import FaultKind
from proxy.control.situation.ways import WayHealth

T = TypeVar("T")


def part(rows: Sequence[T], page: int, size: int) -> Sequence[T]:
    """The rows of one page."""
    return rows[(page - 1) * size : page * size]


def pager(view: View, rows: int, size: int) -> str:
    """Links to the pages before and behind; nothing where there is one page."""
    pages = -(-rows // size)
    if pages <= 1:
        return ""
    page = min(view.page, pages)
    before = f'<a href="{view.link(page=page - 1)}">Page {page - 1}</a>' if page > 1 else ""
    after = f'<a href="{view.link(page=page + 1)}">Page {page + 1}</a>' if page < pages else ""
    first, last = (page - 1) * size + 1, min(rows, page * size)
    said = f"<span>{first:,} to {last:,} of {rows:,}</span>"
    return f'<nav class="bar" aria-label="Rows">{before}{said}{after}</nav>\n'


def sorts(view: View) -> str:
    """Links to the other orders."""
    names = {"trouble": "trouble first", "name": "by name", "rate": "by rate"}
    links = (
        f"<b>{text}</b>" if key == view.sort else f'<a href="{view.link(sort=key)}">{text}</a>'
        for key, text in names.items()
    )
    return f"<small>{' '.join(links)}</small>"


def backends(subject: PageSubject, view: View, shown: Sequence[Proxy]) -> list[Proxy]:
    """Backends in the order of the view."""
    if view.sort == "name":
        return sorted(shown, key=lambda proxy: proxy.name)
    if view.sort == "rate":
        meters = subject.report.monitor.meters
        return sorted(shown, key=lambda proxy: -meters.backend(proxy.backend_index or 0).rate)
    availability, faults = subject.report.monitor.availability, subject.faults
    waiting = faults.loads.waiting()

    def bad(proxy: Proxy) -> int:
        if not availability[proxy.name].up:
            return 0
        if waiting.get(proxy.backend_index or 0):
            return 1
        return 2 if faults.of(proxy) and faults.wrong(proxy) else 3

    return sorted(shown, key=bad)


def servers(subject: PageSubject, view: View, proxy: Proxy) -> tuple[list[Server], list[Server]]:
    """The servers of a backend in the order of the view, and its free slots apart."""
    faults = subject.faults.of(proxy)
    free = {slot for slot, fault in faults.items() if subject.faults.is_free(slot, fault)}
    table = subject.report.servers.of(proxy)
    shown = [server for server in table if server.slot not in free] if free else list(table)
    if view.sort == "name":
        shown.sort(key=lambda server: server.name)
    elif view.sort == "rate":
        meters = subject.report.monitor.meters
        shown.sort(key=lambda server: -meters.server(server.slot).rate)
    elif faults:
        last = len(FaultKind)

        def bad(server: Server) -> int:
            fault = faults.get(server.slot)
            return last if fault is None else int(fault.kind)

        shown.sort(key=bad)
    return shown, [server for server in table if server.slot in free]


def frontends(subject: PageSubject, shown: Sequence[Proxy]) -> list[Proxy]:
    """Frontends, those first behind which something is wrong."""
    order = (WayHealth.BROKEN, WayHealth.WEAK, WayHealth.WELL, WayHealth.UNKNOWN)

    def bad(proxy: Proxy) -> int:
        if proxy.frontend_index in subject.faults.closed:
            return -1
        return order.index(subject.ways.behind(proxy))

    return sorted(shown, key=bad)
