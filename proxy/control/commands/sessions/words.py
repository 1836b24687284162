"""The words behind `show sess`: which sessions, and in which form."""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms
from proxy.control.command import CommandError
from proxy.control.commands.sessions.identity import SessionId, parse_id
from proxy.control.commands.sessions.questions import Wanted
from proxy.control.rows.directory import Directory

USAGE = (
    "usage: show sess [<id> | all | help] [backend <backend> | frontend <frontend> | "
    "server <backend>/<server>] [older <age>]"
)
HELP = """\
  <id>                       : all that is known of this session
  all                        : all that is known of every session
  backend <backend>          : sessions of this backend only
  frontend <frontend>        : clients of this frontend only
  server <backend>/<server>  : sessions that have this server only
  older <age>                : sessions that are at least as old (seconds without a unit)
"""


class SessionQuery(NamedTuple):
    """What is asked for."""

    wanted: Wanted
    one: SessionId | None = None
    full: bool = False


def parse_query(words: list[str], directory: Directory, now_ms: int) -> SessionQuery:
    """Words as a query about sessions that began before now; raises CommandError."""
    query = SessionQuery(Wanted(before_ms=now_ms))
    left = list(words)
    if left and left[0] == "all":
        query, left = query._replace(full=True), left[1:]
    elif left and left[0].startswith("0x"):
        one = parse_id(left.pop(0))
        if one is None:
            raise CommandError("Session not found.")
        wanted = query.wanted._replace(place=one.place, started_ms=one.started_ms)
        query = SessionQuery(wanted, one, full=True)
    placed = False
    while left:
        word, value = left[0], left[1] if len(left) > 1 else None
        if word not in ("backend", "frontend", "server", "older") or value is None:
            raise CommandError(USAGE)
        if word != "older" and placed:
            raise CommandError("Only one of backend, frontend or server may be set.")
        placed = placed or word != "older"
        query = query._replace(wanted=_narrowed(query.wanted, word, value, directory, now_ms))
        left = left[2:]
    return query


def _narrowed(wanted: Wanted, word: str, value: str, directory: Directory, now_ms: int) -> Wanted:
    """The sessions that match this word, too; raises CommandError."""
    if word == "older":
        try:
            age_ms = parse_time_ms(value, lambda _text: None, "s")
        except ConfigError as error:
            raise CommandError(f"{error}.") from error
        return wanted._replace(before_ms=now_ms - age_ms)
    if word == "server":
        return wanted._replace(slot=directory.server(value)[1].slot)
    if word == "backend":
        proxy = directory.backend(value)
        if proxy is None or proxy.backend_index is None:
            raise CommandError("No such backend.")
        return wanted._replace(backend=proxy.backend_index)
    found = next((each for each in directory.frontends if each.name == value), None)
    if found is None or found.frontend_index is None:
        raise CommandError("No such frontend.")
    return wanted._replace(frontend=found.frontend_index)
