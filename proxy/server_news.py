"""The log lines of servers that changed, each with its level, in HAProxy's words. Pure.

A server stands before a change and after it; what lies between is told, whoever made it: a check,
an agent, the operator, or the server that it tracks. Counts of usable servers are taken once for a
group of changes, after all of them; those after an earlier one are computed back from that. Must
not know where a line goes nor when.
"""

from __future__ import annotations

from typing import NamedTuple

from shm.log_level import LogLevel
from shm.standing import FMAINT, IDRAIN, IMAINT, RMAINT
from shm.states import AdminFlag, Operational

FDRAIN = int(AdminFlag.FDRAIN)
OUT = FMAINT | IMAINT | RMAINT
DRAINED = FDRAIN | IDRAIN
BY_ORDER = ", changed from CLI"


class Usable(NamedTuple):
    """Servers of a backend that take sessions."""

    active: int
    backup: int

    def moved(self, *, backup: bool, by: int) -> Usable:
        """The counts with one kind of server `by` more."""
        if backup:
            return self._replace(backup=max(0, self.backup + by))
        return self._replace(active=max(0, self.active + by))


class Line(NamedTuple):
    """One line for the log."""

    level: LogLevel
    text: str


class LoggedServer(NamedTuple):
    """A server as lines name it."""

    name: str
    backend: str
    kind: str  # of the section: 'backend' or 'proxy'
    backend_index: int
    track: str | None = None  # `backend/server`

    @property
    def via(self) -> str:
        """By which server it is moved."""
        return f" via {self.track}" if self.track else ""


class Stand(NamedTuple):
    """How a server stands; `admin` is HAProxy's srv_admin_state."""

    operational: int  # Operational, before maintenance
    admin: int
    weighted: bool = True  # its weight is not 0
    backup: bool = False

    @property
    def out(self) -> bool:
        """In maintenance, for whatever reason."""
        return bool(self.admin & OUT)

    @property
    def drained(self) -> bool:
        """It keeps its sessions and gets no new ones."""
        return bool(self.admin & DRAINED)

    @property
    def usable(self) -> bool:
        """Whether it counts among the servers of its backend."""
        running = self.operational in (Operational.RUNNING, Operational.STARTING)
        return running and self.weighted and not self.out and not self.drained


class ServerChange(NamedTuple):
    """One server, before and after."""

    subject: LoggedServer
    before: Stand
    after: Stand
    sessions: int = 0  # open to it at that moment
    why: str = ""  # of another state, with its comma; of a tracking server: nothing, it says via
    touched: bool = False  # an order about its weight was obeyed


def lines(changes: list[ServerChange], left: dict[int, Usable]) -> list[Line]:
    """The lines of these changes, in order; `left` was counted after the last one, by backend."""
    left = dict(left)
    found: list[list[Line]] = []
    for change in reversed(changes):
        backend = change.subject.backend_index
        after = left[backend]
        if change.before.usable:
            left[backend] = left[backend].moved(backup=change.before.backup, by=1)
        if change.after.usable:
            left[backend] = left[backend].moved(backup=change.after.backup, by=-1)
        told = _told(change, after)
        if after == (0, 0) != left[backend]:
            told.insert(1, none_left(change.subject))
        found.append(told)
    return [line for told in reversed(found) for line in told]


def none_left(subject: LoggedServer) -> Line:
    """The line of a backend without a usable server."""
    return Line(LogLevel.EMERG, f"{subject.kind} {subject.backend} has no server available!")


def _told(change: ServerChange, left: Usable) -> list[Line]:
    """The lines of one server; `left` are the usable servers of its backend after it."""
    before, after = change.before, change.after
    if before == after and not change.touched:
        return []
    if after.out:
        text = _staying_out(change) if before.out else ""
        if not before.out:
            return [_going_out(change, left)]
        return [_notice(change, text)] if text else []
    if before.out:
        health = "DOWN" if after.operational == Operational.STOPPED else "UP"
        state = f"{health}/{'DRAIN' if after.drained else 'READY'}"
        forced = "forced " if before.admin & FMAINT else ""
        found = [_notice(change, f"is {state} (leaving {forced}maintenance).")]
        return found + ([_staying_drained(change)] if after.drained else [])
    found = [] if before.operational == after.operational else [_moving(change, left)]
    if after.drained:
        found.append(_staying_drained(change) if before.drained else _being_drained(change, left))
    elif before.drained:
        health = "DOWN" if after.operational == Operational.STOPPED else "UP"
        found.append(_notice(change, f"is {health} (leaving forced drain)."))
    return found


def _line(change: ServerChange, level: LogLevel, text: str) -> Line:
    subject = change.subject
    kind = "Backup Server" if change.after.backup else "Server"
    return Line(level, f"{kind} {subject.backend}/{subject.name} {text}")


def _notice(change: ServerChange, text: str) -> Line:
    return _line(change, LogLevel.NOTICE, text)


def _was_leaving(before: Stand) -> bool:
    """Whether it took no sessions any more, so that its end alarms nobody."""
    return before.operational == Operational.STOPPING or before.drained


def _going_out(change: ServerChange, left: Usable) -> Line:
    via = "" if change.after.admin & FMAINT else change.subject.via
    if change.before.operational == Operational.STOPPED:
        return _notice(change, f"was DOWN and now enters maintenance{via}.")
    level = LogLevel.NOTICE if _was_leaving(change.before) else LogLevel.ALERT
    return _line(change, level, f"is going DOWN for maintenance{via}. {_left(change, left)}")


def _staying_out(change: ServerChange) -> str:
    """What is told of a server in maintenance for one reason less, or for another one."""
    was, now = change.before.admin & OUT, change.after.admin & OUT
    if was & FMAINT and not now & FMAINT:
        via = change.subject.via if now & IMAINT else ""
        return f"is leaving forced maintenance but remains in maintenance{via}."
    if was & IMAINT and not now & IMAINT and now & FMAINT:
        return "remains in forced maintenance."
    if now & FMAINT and was == RMAINT:
        return "was in maintenance and now enters forced maintenance."
    return ""


def _moving(change: ServerChange, left: Usable) -> Line:
    """It came up, or went down, or is on its way out."""
    why = change.why or change.subject.via
    if change.after.operational == Operational.STOPPED:
        level = LogLevel.NOTICE if _was_leaving(change.before) else LogLevel.ALERT
        return _line(change, level, f"is DOWN{why}. {_left(change, left)}")
    state = "stopping" if change.after.operational == Operational.STOPPING else "UP"
    return _notice(change, f"is {state}{why}. {_online(left)}")


def _being_drained(change: ServerChange, left: Usable) -> Line:
    via = "" if change.after.admin & FDRAIN else change.subject.via
    down = change.after.operational == Operational.STOPPED
    return _notice(
        change, f"enters drain state{via}. {_left(change, left) if down else _online(left)}"
    )


def _staying_drained(change: ServerChange) -> Line:
    if change.after.admin & FDRAIN:
        return _notice(change, "remains in forced drain mode.")
    return _notice(
        change, f"is leaving forced drain but remains in drain mode{change.subject.via}."
    )


def _counts(left: Usable, word: str) -> str:
    on_backup = " Running on backup." if left.active == 0 and left.backup > 0 else ""
    return f"{left.active} active and {left.backup} backup servers {word}.{on_backup}"


def _left(change: ServerChange, left: Usable) -> str:
    gone = f"{change.sessions} sessions active, 0 requeued, 0 remaining in queue."
    return f"{_counts(left, 'left')} {gone}"


def _online(left: Usable) -> str:
    return f"{_counts(left, 'online')} 0 sessions requeued, 0 total in queue."
