"""What the log says when a server's address changes: HAProxy 3.x wording. Pure."""

from __future__ import annotations

from resolverd.assignment import Change
from shm.states import Cause

ALERT = 1  # syslog severities (RFC 5424 section 6.2.1)
NOTICE = 5

_REASONS = {
    Cause.NO_RECORD: "No IP for server ",
    Cause.NX: "DNS NX status",
    Cause.TIMEOUT: "DNS timeout status",
    Cause.REFUSED: "DNS refused status",
}


def describe(change: Change, fqdn: str, source: str) -> list[tuple[int, str]]:
    """The lines about one change, each with its severity; `source` is `resolvers/nameserver`."""
    name = f"{change.server.backend_name}/{change.server.server_name}"
    if change.after is None:
        reason = _REASONS.get(change.cause, "unspecified DNS error")
        return [(ALERT, f"Server {name} is going DOWN for maintenance ({reason}).")]
    before = "(none)" if change.before is None else change.before.text
    lines = [
        (NOTICE, f"{name}: IP changed from '{before}' to '{change.after.text}' by '{source}'.")
    ]
    if change.before is None:
        lines += [
            (NOTICE, f"Server {name} ('{fqdn}') is UP/READY (resolves again)."),
            (NOTICE, f"Server {name} administratively READY thanks to valid DNS answer."),
        ]
    return lines
