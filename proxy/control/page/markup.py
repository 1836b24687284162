"""Pieces of markup that all pages share. Pure: text in, escaped markup out."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
KINDS = {"UP": "up", "OPEN": "up", "ready": "up", "DOWN": "down", "MAINT": "maint"}
KINDS |= {"PAUSED": "maint", "DRAIN": "drain", "NOLB": "drain", "STOP": "drain"}
KINDS |= {"stopping": "drain", "not": "down"}


def amount(count: int | str) -> str:
    """Bytes for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def age(milliseconds: int) -> str:
    """How long something has been so, in its two largest units."""
    seconds = max(0, milliseconds) // 1000
    for size, unit, small, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // small} {part}"
    return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"


def chip(status: str, kind: str = "") -> str:
    """A status with its colour, that of its first word or of `kind`."""
    kind = kind or KINDS.get(status.partition(" ")[0], "")
    return f'<span class="s {kind}">{escape(status)}</span>'


def alarming(count: int | str) -> str:
    """A number that should be 0."""
    return f'<span class="bad">{count}</span>' if count else "0"


def of_limit(number: int, most: int | str | None) -> str:
    """A number with its limit, amber when that is reached."""
    if not most:
        return f"{number}"
    text = f"{number}/{most}"
    return f'<span class="amber">{text}</span>' if number >= int(most) else text


def table(columns: str, caption: str, command: str) -> str:
    """The head of a table that scrolls by itself; names that begin with `<` stand on the left.

    `command` gives the same numbers on the stats socket.
    """
    said = f"><caption>{caption} <code>{escape(command)}</code></caption>"
    return _head(columns, caption, said)


def headed_table(columns: str, heading: str, command: str, beside: str = "") -> str:
    """The same under a heading of its own, instead of a caption; `beside` stands next to it."""
    title = f"<h2>{heading} <small><code>{escape(command)}</code></small> {beside}</h2>\n"
    return title + _head(columns, heading, f' aria-label="{heading}">')


def _head(columns: str, name: str, said: str) -> str:
    cells = "".join(
        f'<th scope="col" class="t">{name[1:]}</th>'
        if name.startswith("<")
        else f'<th scope="col">{name}</th>'
        for name in columns.split("|")
    )
    return (
        f'<div class="panel" tabindex="0" role="region" aria-label="{name}"><table{said}'
        f"<thead><tr>{cells}</tr></thead><tbody>\n"
    )


TABLE_END = "</tbody></table></div>\n"


def row(cells: Iterable[tuple[str, str]], kind: str = "") -> str:
    """One row; each cell is its class and its markup, the first names the row."""
    shown = [
        f'<td class="{name}">{text}</td>' if name else f"<td>{text}</td>" for name, text in cells
    ]
    shown[0] = f'<th scope="row" class="t">{shown[0].partition(">")[2][:-5]}</th>'
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return f"{opening}{''.join(shown)}</tr>\n"
