"""What the log says when a server's address changes: HAProxy 3.x wording. Pure."""

from __future__ import annotations

from resolverd.answer import Address
from resolverd.config import ResolvedServer
from shm.states import Cause

EMERGENCY = 0  # syslog severities (RFC 5424 section 6.2.1)
ALERT = 1
NOTICE = 5

FROM_ADDITIONAL = "DNS additional record"  # sources of an address that are no nameserver
FROM_CACHE = "DNS cache"

_REASONS = {
    Cause.NO_RECORD: "No IP for server ",
    Cause.NX: "DNS NX status",
    Cause.TIMEOUT: "DNS timeout status",
    Cause.REFUSED: "DNS refused status",
    Cause.REMOVED: "entry removed from SRV record",
}

Lines = list[tuple[int, str]]  # severity, text


def describe_loss(server: ResolvedServer, cause: Cause) -> Lines:
    """The lines about a server that has lost its address."""
    name = f"{server.backend_name}/{server.server_name}"
    reason = _REASONS.get(cause, "unspecified DNS error")
    return [(ALERT, f"Server {name} is going DOWN for maintenance ({reason}).")]


def describe_empty(server: ResolvedServer) -> Lines:
    """The line about a backend whose last server is gone."""
    name = f"{server.backend_kind} {server.backend_name}"
    return [(EMERGENCY, f"{name} has no server available!")]


def describe_address(
    server: ResolvedServer, fqdn: str, before: Address | None, after: Address, source: str
) -> Lines:
    """The lines about a server that has got an address; `source` is `resolvers/nameserver`."""
    name = f"{server.backend_name}/{server.server_name}"
    former = "(none)" if before is None else before.text
    lines = [(NOTICE, f"{name}: IP changed from '{former}' to '{after.text}' by '{source}'.")]
    if before is None:
        lines.append((NOTICE, f"Server {name} ('{fqdn}') is UP/READY (resolves again)."))
        if source != FROM_ADDITIONAL:
            lines.append(
                (NOTICE, f"Server {name} administratively READY thanks to valid DNS answer.")
            )
    return lines


def describe_surplus(name: str, records: int, missing: int) -> Lines:
    """The line about records that no server is left for, or that there are none any more."""
    if missing:
        return [(NOTICE, f"{missing} of {records} records of '{name}' have no server.")]
    return [(NOTICE, f"All records of '{name}' have a server again.")]


def describe_search(name: str, found: str, section: str) -> Lines:
    """The line about a short name: under which name of the search list it has been found."""
    return [(NOTICE, f"'{name}' is found as '{found}' (search list of resolvers '{section}').")]
