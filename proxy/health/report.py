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
from shm.states import AgentState, AgentWord, HealthState


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
    state: HealthState | AgentState  # of which it says why
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


def reason(state: HealthState | AgentState, text: str) -> str:
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
    rise, fall = server.check.rise, server.check.fall
    up = state.health >= rise
    counter = f"{state.health - rise + 1}/{fall} UP" if up else f"{state.health}/{rise} DOWN"
    return _ended_line("Health", server, CheckResult(state.result), reason(state, text), counter)


def agent_line(server: CheckedServer, state: AgentState, text: str) -> Line:
    """The same of an agent, whose rise and fall are 1."""
    counter = "0/1 DOWN" if state.down else "1/1 UP"
    result = CheckStatus.of(state.status).result
    return _ended_line("Agent", server, result, reason(state, text), counter)


def _ended_line(
    what: str, server: CheckedServer, result: CheckResult, why: str, counter: str
) -> Line:
    how = {
        CheckResult.PASSED: "succeeded",
        CheckResult.CONDITIONAL: "conditionally succeeded",
    }.get(result, "failed")
    kind = "backup server" if server.backup else "server"
    subject = f"{what} check for {kind} {server.backend_name}/{server.name} {how}"
    return Line(LogLevel.NOTICE, f"{subject}, {why}, status: {counter}.")


class Administered(NamedTuple):
    """What a word of an agent has changed of a server's administrative state."""

    server: CheckedServer
    was: AgentWord
    word: AgentWord
    up: bool  # before the word, and by checks
    comes_up: bool  # leaving maintenance
    lacks_address: bool
    backup: bool
    sessions: int


def administered_lines(change: Administered, left: Usable) -> list[Line]:
    """The lines of that; `left` are the usable servers after it."""
    lines = [_administered_line(change, left)]
    if change.was is AgentWord.MAINT and change.word is AgentWord.DRAIN:
        who = _subject(change.server, backup=change.backup)
        lines.append(Line(LogLevel.NOTICE, f"{who} remains in forced drain mode."))
    return lines


def _subject(server: CheckedServer, *, backup: bool) -> str:
    kind = "Backup Server" if backup else "Server"
    return f"{kind} {server.backend_name}/{server.name}"


def _administered_line(change: Administered, left: Usable) -> Line:
    who = _subject(change.server, backup=change.backup)
    online = f"{_counts(left, 'online')} 0 sessions requeued, 0 total in queue."
    gone = f"{change.sessions} sessions active, 0 requeued, 0 remaining in queue."
    if change.word is AgentWord.MAINT:
        if change.lacks_address:
            text = f"{who} was in maintenance and now enters forced maintenance."
        elif not change.up:
            text = f"{who} was DOWN and now enters maintenance."
        else:
            text = f"{who} is going DOWN for maintenance. {_counts(left, 'left')} {gone}"
            drained = change.was is AgentWord.DRAIN  # it took no sessions any more
            return Line(LogLevel.NOTICE if drained else LogLevel.ALERT, text)
        return Line(LogLevel.NOTICE, text)
    if change.was is AgentWord.MAINT:
        if change.lacks_address:
            text = f"{who} is leaving forced maintenance but remains in maintenance."
        else:
            now = "DRAIN" if change.word is AgentWord.DRAIN else "READY"
            health = "UP" if change.comes_up else "DOWN"
            text = f"{who} is {health}/{now} (leaving forced maintenance)."
    elif change.word is AgentWord.DRAIN:
        end = online if change.up else f"{_counts(left, 'left')} {gone}"
        text = f"{who} enters drain state. {end}"
    else:
        text = f"{who} is {'UP' if change.up else 'DOWN'} (leaving forced drain)."
    return Line(LogLevel.NOTICE, text)


def none_left(server: CheckedServer) -> Line:
    """The line of a backend without a usable server."""
    text = f"{server.backend_kind} {server.backend_name} has no server available!"
    return Line(LogLevel.EMERG, text)


def _counts(left: Usable, word: str) -> str:
    on_backup = " Running on backup." if left.active == 0 and left.backup > 0 else ""
    return f"{left.active} active and {left.backup} backup servers {word}.{on_backup}"


def server_line(transition: Transition, left: Usable) -> Line:
    """The line of one transition; `left` are the usable servers after it."""
    server = transition.server
    subject = _subject(server, backup=transition.backup)
    why = ", changed from CLI"
    if not transition.ordered:
        # with `option log-health-checks` the line before says why
        why = "" if server.log_checks else f", {reason(transition.state, transition.text)}"
    if transition.change is Change.DOWN:
        sessions = f"{transition.sessions} sessions active, 0 requeued, 0 remaining in queue."
        text = f"{subject} is DOWN{why}. {_counts(left, 'left')} {sessions}"
        return Line(LogLevel.NOTICE if transition.left else LogLevel.ALERT, text)
    sessions = "0 sessions requeued, 0 total in queue."
    now = "stopping" if transition.change is Change.STOPPING else "UP"
    return Line(LogLevel.NOTICE, f"{subject} is {now}{why}. {_counts(left, 'online')} {sessions}")


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
            found.append(none_left(transition.server))
    return found
