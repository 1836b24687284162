"""The way of a client as one drawn row, the broken link marked. Pure markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import groupby

from proxy.control.page.view import View
from proxy.control.situation.ways import Link, WayHealth


def way(links: Iterable[Link], view: View) -> str:
    """The row; those that stand side by side share a place. Backends and names lead on."""
    shown = "".join(_place(list(group), view) for _, group in groupby(links, lambda it: it.kind))
    return f'<ol class="way" aria-label="The way of a client">{shown}</ol>\n'


def _place(links: list[Link], view: View) -> str:
    """One place of the row; it is broken where all that stand there are."""
    broken = all(link.health is WayHealth.BROKEN for link in links)
    kind = ' class="cut"' if broken else ""
    return f"<li{kind}>{''.join(_station(link, view) for link in links)}</li>"


def _station(link: Link, view: View) -> str:
    name = escape(link.name)
    if link.kind == "backend":
        name = f'<a href="{view.link(backend=link.name, server="", name="")}">{name}</a>'
    elif link.kind == "name":
        name = f'<a href="{view.link(name=link.name, server="", backend="")}">{name}</a>'
    elif link.kind == "server":
        name = f'<a href="{view.link(server=link.address, backend="", name="")}">{name}</a>'
    broken = "broken: " if link.health is WayHealth.BROKEN else ""
    note = f"<small>{broken}{escape(link.note)}</small>" if link.note or broken else ""
    return f'<div class="{link.health.value}"><small>{link.kind}</small>{name}{note}</div>'
