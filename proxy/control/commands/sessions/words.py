"""The words behind `show sess`: which sessions, and in which form."""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms
from proxy.control.command import CommandError
from proxy.control.commands.sessions.identity import SessionId, parse_id
from proxy.control.commands.sessions.questions import Wanted
from proxy.control.rows.directory import Directory
from shm.dumps import DumpedSession

USAGE = (
    "usage: show sess [<id> | all | help] [backend <backend> | frontend <frontend> | "
    "server <backend>/<server>] [older <age>] [susp]"
)
HELP = """\
  <id>                       : all that is known of this session
  all                        : all that is known of every session
  backend <backend>          : sessions of this backend only
  frontend <frontend>        : clients of this frontend only
  server <backend>/<server>  : sessions that have this server only
  older <age>                : sessions that are at least as old (seconds without a unit)
  susp                       : sessions without a time-out that will end them, only
"""


class NamedSection(NamedTuple):
    """A part of a configuration by its name, as a command has it."""

    word: str  # `backend`, `frontend` or `server`
    name: str

    def narrow(self, wanted: Wanted, directory: Directory) -> Wanted:
        """The sessions that have this part, too; raises CommandError where there is none."""
        if self.word == "server":
            return wanted._replace(slot=directory.server(self.name)[1].slot)
        if self.word == "backend":
            proxy = directory.backend(self.name)
            if proxy is None or proxy.backend_index is None:
                raise CommandError("No such backend.")
            return wanted._replace(backend=proxy.backend_index)
        found = next((each for each in directory.frontends if each.name == self.name), None)
        if found is None or found.frontend_index is None:
            raise CommandError("No such frontend.")
        return wanted._replace(frontend=found.frontend_index)


class SessionQuery(NamedTuple):
    """What is asked for."""

    wanted: Wanted
    section: NamedSection | None = None
    one: SessionId | None = None
    full: bool = False
    suspicious: bool = False


def parse_query(words: list[str], now_ms: int) -> SessionQuery:
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
        query = SessionQuery(wanted, one=one, full=True)
    while left:
        word, value = left.pop(0), left[0] if left else None
        if word == "susp":
            query = query._replace(suspicious=True)
            continue
        if word not in ("backend", "frontend", "server", "older") or value is None:
            raise CommandError(USAGE)
        left.pop(0)
        if word == "older":
            query = query._replace(wanted=_older(query.wanted, value, now_ms))
        elif query.section is not None:
            raise CommandError("Only one of backend, frontend or server may be set.")
        else:
            query = query._replace(section=NamedSection(word, value))
    return query


def _older(wanted: Wanted, value: str, now_ms: int) -> Wanted:
    """The sessions that are at least as old, too; raises CommandError."""
    try:
        age_ms = parse_time_ms(value, lambda _text: None, "s")
    except ConfigError as error:
        raise CommandError(f"{error}.") from error
    return wanted._replace(before_ms=now_ms - age_ms)


def is_suspicious(session: DumpedSession, now_ms: int) -> bool:
    """Whether nothing will end it by itself: no time-out runs, or it is over without an effect."""
    return session.deadline_ms <= now_ms or session.client_fd < 0
