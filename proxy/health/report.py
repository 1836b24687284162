"""What log lines say of checks, in HAProxy's words: how one ended, and why. Pure.

What follows for a server is proxy/server_news.py. Must not know where a line goes nor when.
"""

from __future__ import annotations

from proxy.health.share import CheckedServer
from proxy.server_news import Line
from shm.check_status import CheckResult, CheckStatus, escaped
from shm.log_level import LogLevel
from shm.states import AgentState, HealthState

TEXT_MAX = 127  # bytes of what a server said, in HAProxy as here


def cut(text: str) -> str:
    """As much of a check's text as HAProxy keeps: so many bytes up to a NUL."""
    if not text:
        return text
    whole = text.partition("\0")[0].encode(errors="surrogateescape")
    return whole[:TEXT_MAX].decode(errors="surrogateescape")


def errors_text(error_limit: int) -> str:
    """Why errors of sessions counted as a failed check (manual: observe)."""
    last = "last one was: L4 unsuccessful connection"
    return f"Detected {error_limit} consecutive errors, {last}"


def reason(state: HealthState | AgentState, text: str) -> str:
    """Why a check ended as it did, with its duration, or why sessions' errors counted as one."""
    status = CheckStatus.of(state.status)
    parts = [f"reason: {status.description}"]
    if status.coded:
        parts.append(f"code: {status.shown_code(state.code)}")
    if info := text or status.cause(state.code):
        parts.append(f'info: "{escaped(info)}"')
    if status is not CheckStatus.HANA:
        parts.append(f"check duration: {state.duration_us // 1000}ms")
    return ", ".join(parts)


def check_line(server: CheckedServer, state: HealthState, text: str, *, weighs: bool) -> Line:
    """The line of one check (manual: option log-health-checks).

    `weighs`: the server's weight is not 0.
    """
    rise, fall = server.check.rise, server.check.fall
    counter = f"{state.health}/{rise} DOWN"
    if state.health >= rise:
        counter = f"{state.health - rise + 1}/{fall} {_up(weighs)}"
    return _ended_line("Health", server, CheckResult(state.result), reason(state, text), counter)


def agent_line(server: CheckedServer, state: AgentState, text: str, *, weighs: bool) -> Line:
    """The same of an agent, whose rise and fall are 1."""
    counter = "0/1 DOWN" if state.down else f"1/1 {_up(weighs)}"
    result = CheckStatus.of(state.status).result
    return _ended_line("Agent", server, result, reason(state, text), counter)


def _up(weighs: bool) -> str:
    return "UP" if weighs else "DRAIN"


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
