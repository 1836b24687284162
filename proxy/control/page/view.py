"""What a reader wants to see, read from the address and written into links. Pure.

    <uri>[;csv|;json|;typed|;style.css|;icon.svg|;norefresh ...][?scope=&sort=&refresh=&page=...]

HAProxy's words stand behind `;`, the rest behind `?`, or behind `&` where the uri has a `?` itself.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from proxy.config.model.http import StatsPage

REFRESH_SECONDS_MIN = 2
REFRESH_SECONDS_MAX = 86_400
SORTS = ("trouble", "name", "rate")
TEXT_MAX = 256  # characters of a value that is no name, which stands in every link
NUMBER = re.compile(r"[0-9]{1,6}")
TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class View(NamedTuple):
    """One page as it is wanted."""

    uri: str
    words: frozenset[str] = frozenset()
    scope: str = ""  # what the names of shown sections have in them
    sort: str = SORTS[0]
    refresh: int = 0  # seconds; 0: never
    page: int = 1
    at: str = ""  # hh:mm
    backend: str = ""
    server: str = ""  # backend/server
    name: str = ""  # in DNS
    told: str = ""  # how an order ended

    def link(self, **changes: str | int) -> str:
        """The address of another view, escaped for an attribute; the page begins anew."""
        wanted = self._replace(page=1, told="")._replace(**changes)  # type: ignore[arg-type]
        return escape(wanted.target())

    def target(self) -> str:
        """The address of this view."""
        values = self._asdict()
        said = [
            f"{key}={quote(str(values[key]), safe='/:')}"
            for key in KEYS
            if values[key] != _DEFAULTS[key]
        ]
        mark = "&" if "?" in self.uri else "?"
        return self.uri + (mark + "&".join(said) if said else "")

    def file(self, word: str) -> str:
        """The address of another form of the page, escaped for an attribute."""
        return escape(f"{self.uri};{word}")

    def home(self) -> str:
        """The address of the first screen; refresh, scope and order stay."""
        return self.link(backend="", server="", name="", at="")

    def clock_minutes(self) -> int | None:
        """Minutes of the day that `at` says; None without it."""
        found = TIME.fullmatch(self.at)
        return None if found is None else int(found[1]) * 60 + int(found[2])


KEYS = ("backend", "server", "name", "scope", "sort", "refresh", "at", "page", "told")
_DEFAULTS = View("")._asdict()


def parse(page: StatsPage, target: str) -> View:
    """The view that a target behind the uri of a page asks for; what makes no sense is left out."""
    words: set[str] = set()
    values: dict[str, str] = {}
    for piece in re.split("[;?&]", target[len(page.uri) :]):
        key, equals, value = piece.partition("=")
        if equals:
            values[key] = unquote_plus(value)
        elif key:
            words.add(key)
    refresh = _number(values.get("refresh"), page.refresh_seconds or 0)
    sort = values.get("sort", SORTS[0])
    return View(
        page.uri,
        frozenset(words),
        scope=values.get("scope", "")[:TEXT_MAX],
        sort=sort if sort in SORTS else SORTS[0],
        refresh=0 if "norefresh" in words else _period(refresh),
        page=max(1, _number(values.get("page"), 1)),
        at=values.get("at", "") if TIME.fullmatch(values.get("at", "")) else "",
        backend=values.get("backend", ""),
        server=values.get("server", ""),
        name=values.get("name", ""),
        told=values.get("told", "")[:TEXT_MAX],
    )


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and NUMBER.fullmatch(text) else otherwise


def _period(seconds: int) -> int:
    if not seconds:
        return 0
    return min(max(seconds, REFRESH_SECONDS_MIN), REFRESH_SECONDS_MAX)
