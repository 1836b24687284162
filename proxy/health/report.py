"""The log lines that a health change makes, worded as operators' tools expect. Pure.

Must not know where a line goes nor when. Counts of usable servers are taken once for a group of
changes, after all of them; the line of an earlier change is computed back from that.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.health.rise_fall import Change
from proxy.health.share import CheckedServer
from shm.check_status import CheckResult, CheckStatus, escaped
from shm.log_level import LogLevel
from shm.states import HealthState


class Usable(NamedTuple):
    """Servers of a backend that take sessions."""

    active: int
    backup: int

    def moved(self, backup: bool, by: int) -> Usable:
        """The counts with one kind of server `by` more."""
        if backup:
            return self._replace(backup=max(0, self.backup + by))
        return self._replace(active=max(0, self.active + by))


class Transition(NamedTuple):
    """One server went down or up; `counted` when that changed which servers take sessions."""

    server: CheckedServer
    state: HealthState
    change: Change
    counted: bool
    sessions: int  # open to the server at that moment
    ordered: bool = False  # by the operator, not by a check
    backup: bool = False  # at that moment: the priority of an SRV record may change it
    text: str = ""  # what the server said to the check, or where that failed
    left: bool = False  # it went down on its way out, when it took no sessions any more


class Line(NamedTuple):
    """One line for the log."""

    level: LogLevel
    text: str


def errors_text(error_limit: int) -> str:
    """Why errors of sessions counted as a failed check (manual: observe)."""
    last = "last one was: L4 unsuccessful connection"
    return f"Detected {error_limit} consecutive errors, {last}"


def reason(state: HealthState, text: str) -> str:
    """Why a check ended as it did, with its duration, or why sessions' errors counted as one."""
    status = CheckStatus.of(state.status)
    parts = [f"reason: {status.description}"]
    if status.coded:
        parts.append(f"code: {state.code}")
    if info := text or status.cause(state.code):
        parts.append(f'info: "{escaped(info)}"')
    if status is not CheckStatus.HANA:
        parts.append(f"check duration: {state.duration_us // 1000}ms")
    return ", ".join(parts)


def check_line(server: CheckedServer, state: HealthState, text: str) -> Line:
    """The line of one check (manual: option log-health-checks)."""
    result = CheckResult(state.result)
    how = {
        CheckResult.PASSED: "succeeded",
        CheckResult.CONDITIONAL: "conditionally succeeded",
    }.get(result, "failed")
    kind = "backup server" if server.backup else "server"
    subject = f"Health check for {kind} {server.backend_name}/{server.name} {how}"
    rise, fall = server.check.rise, server.check.fall
    up = state.health >= rise
    counter = f"{state.health - rise + 1}/{fall} UP" if up else f"{state.health}/{rise} DOWN"
    return Line(LogLevel.NOTICE, f"{subject}, {reason(state, text)}, status: {counter}.")


def server_line(transition: Transition, left: Usable) -> Line:
    """The line of one transition; `left` are the usable servers after it."""
    server = transition.server
    kind = "Backup Server" if transition.backup else "Server"
    subject = f"{kind} {server.backend_name}/{server.name}"
    on_backup = " Running on backup." if left.active == 0 and left.backup > 0 else ""
    counts = f"{left.active} active and {left.backup} backup servers"
    why = ", changed from CLI"
    if not transition.ordered:
        # with `option log-health-checks` the line before says why
        why = "" if server.log_checks else f", {reason(transition.state, transition.text)}"
    if transition.change is Change.DOWN:
        sessions = f"{transition.sessions} sessions active, 0 requeued, 0 remaining in queue."
        text = f"{subject} is DOWN{why}. {counts} left.{on_backup} {sessions}"
        return Line(LogLevel.NOTICE if transition.left else LogLevel.ALERT, text)
    sessions = "0 sessions requeued, 0 total in queue."
    now = "stopping" if transition.change is Change.STOPPING else "UP"
    return Line(LogLevel.NOTICE, f"{subject} is {now}{why}. {counts} online.{on_backup} {sessions}")


def lines(transitions: list[Transition], left: Usable) -> list[Line]:
    """The lines of one backend's transitions, in order; `left` was counted after the last one."""
    afterwards = []
    for transition in reversed(transitions):
        afterwards.append(left)
        if transition.counted:
            by = -1 if transition.change is Change.UP else 1
            left = left.moved(transition.backup, by)
    found = []
    for transition, after in zip(transitions, reversed(afterwards), strict=True):
        found.append(server_line(transition, after))
        if transition.change is not Change.UP and transition.counted and after == (0, 0):
            server = transition.server
            text = f"{server.backend_kind} {server.backend_name} has no server available!"
            found.append(Line(LogLevel.EMERG, text))
    return found
