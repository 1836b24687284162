"""The log lines that an operator's order makes, each with its level, in HAProxy's words. Pure.

A server before and after, and how many servers of its backend are left. What a worker finds out by
checks, or is told about a server that it checks, it logs itself.
"""

from __future__ import annotations

from proxy.control.rows.observation import FDRAIN, MAINT_MASK, Observed
from proxy.control.rows.summary import BackendSummary
from shm.log_level import LogLevel
from shm.states import Operational

Line = tuple[LogLevel, str]


def subject(observed: Observed) -> str:
    """What the line speaks of."""
    kind = "Backup Server" if observed.state.backup else "Server"
    return f"{kind} {observed.proxy.name}/{observed.server.name}"


def counts(left: BackendSummary, word: str, rest: str) -> str:
    """How many servers take sessions now."""
    on_backup = " Running on backup." if left.active == 0 and left.backup > 0 else ""
    return f"{left.active} active and {left.backup} backup servers {word}.{on_backup} {rest}"


def left_without(left: BackendSummary, sessions: int) -> str:
    """The end of a line about a server that is gone."""
    return counts(left, "left", f"{sessions} sessions active, 0 requeued, 0 remaining in queue.")


def administrative(before: Observed, after: Observed, left: BackendSummary, sessions: int) -> Line:
    """What a change of the administrative state is called."""
    who = subject(before)
    was_out = before.admin.flags & MAINT_MASK
    if after.admin.flags & MAINT_MASK:
        if before.maint:
            return LogLevel.NOTICE, f"{who} was in maintenance and now enters forced maintenance."
        if not before.up:
            return LogLevel.NOTICE, f"{who} was DOWN and now enters maintenance."
        return (
            LogLevel.ALERT,
            f"{who} is going DOWN for maintenance. {left_without(left, sessions)}",
        )
    if was_out and after.standing.lacks_address:
        return LogLevel.NOTICE, f"{who} is leaving forced maintenance but remains in maintenance."
    if after.admin.flags & FDRAIN:
        return LogLevel.NOTICE, f"{who} enters drain state."
    cause = "forced maintenance" if was_out else "forced drain"
    return LogLevel.NOTICE, f"{who} is UP/READY (leaving {cause})."


def healthy(before: Observed, after: Observed, left: BackendSummary, sessions: int) -> list[Line]:
    """What an order about the health of a server that no worker watches has changed."""
    if before.standing.operational == after.standing.operational or after.server.watched:
        return []
    who = subject(after)
    if after.standing.operational == Operational.STOPPED:
        return [
            (LogLevel.ALERT, f"{who} is DOWN, changed from CLI. {left_without(left, sessions)}")
        ]
    state = "UP" if after.standing.operational == Operational.RUNNING else "stopping"
    online = counts(left, "online", "0 sessions requeued, 0 total in queue.")
    return [(LogLevel.NOTICE, f"{who} is {state}, changed from CLI. {online}")]


def server_lines(
    before: Observed, after: Observed, former: BackendSummary, left: BackendSummary, sessions: int
) -> list[Line]:
    """Everything to be said about one order."""
    mask = MAINT_MASK | FDRAIN
    if (before.admin.flags ^ after.admin.flags) & mask:
        lines = [administrative(before, after, left, sessions)]
    else:
        lines = healthy(before, after, left, sessions)
    if lines and former.active + former.backup and not left.active + left.backup:
        kind = "proxy" if before.proxy.kind == "listen" else "backend"
        lines.append((LogLevel.EMERG, f"{kind} {before.proxy.name} has no server available!"))
    return lines
