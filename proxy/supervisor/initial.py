"""Where each server is when the first client comes: `init-addr` (manual section 5.2). Pure.

The names are resolved by somebody else; here the methods of each server are walked in order:
`last` (no state file yet: nothing to say), `libc`, `none` (starts in RMAINT), an address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from proxy.config.messages import Message, Severity
from proxy.config.model import InitAddr, Server, Settings
from shm.states import Cause, SlotFlag

FAILED = "Failed to initialize server(s) addr."


class InitialAddress(msgspec.Struct, frozen=True):
    """The first record of one slot."""

    slot: int
    address: str | None
    port: int
    cause: Cause
    flags: int = 0


class InitialAddresses(msgspec.Struct, frozen=True):
    """One record for each slot, and what the operator should know."""

    addresses: tuple[InitialAddress, ...]
    messages: tuple[Message, ...]


def names_wanted(settings: Settings, known: Collection[int]) -> set[str]:
    """The names that libc must be asked for; `known` slots have an address from before a reload."""
    return {
        server.host
        for server in settings.servers
        if server.slot not in known and server.address is None and _asks_libc(server)
    }


def decide(
    settings: Settings,
    resolved: Mapping[str, str],
    known: Collection[int] = (),
    *,
    ignore_failures: bool = False,
) -> InitialAddresses:
    """The first record of each slot; an ALERT among the messages means that there is no start.

    `ignore_failures` is -dr: a server without an address waits for one.
    """
    addresses = []
    messages: list[Message] = []
    backends = settings.backends
    for server in settings.servers:
        if server.slot in known:  # the record itself is carried over
            addresses.append(_without_address(server))
            continue
        address, message = _decide_server(server, resolved, ignore_failures)
        addresses.append(address)
        if message is not None:
            severity, text = message
            place = f"[{server.origin.file}:{server.origin.line}]"
            name = f"{backends[server.backend_index].name}/{server.name}"
            messages.append(Message(severity, f"{place} : 'server {name}' : {text}"))
    if any(message.severity is Severity.ALERT for message in messages):
        messages.append(Message(Severity.ALERT, FAILED))
    return InitialAddresses(tuple(addresses), tuple(messages))


def _decide_server(
    server: Server, resolved: Mapping[str, str], ignore_failures: bool
) -> tuple[InitialAddress, tuple[Severity, str] | None]:
    if server.address is not None:
        return _at(server, server.address, Cause.CONFIGURED), None
    asked = False
    failure = f"could not resolve address '{server.host}'"
    for method in server.init_addr:
        if method == InitAddr.LAST:
            continue
        if method == InitAddr.LIBC:
            if not _is_service(server.host):
                asked = True
                if server.host in resolved:
                    return _at(server, resolved[server.host], Cause.LIBC), None
        elif method == InitAddr.NONE:
            warning = (Severity.WARNING, f"{failure}, disabling server.") if asked else None
            return _without_address(server), warning
        else:
            text = f"{failure}, falling back to configured address."
            warning = (Severity.WARNING, text) if asked else None
            return _at(server, method, Cause.INIT_ADDRESS), warning
    if ignore_failures:
        return _without_address(server), (Severity.WARNING, f"{failure}, disabling server.")
    return _without_address(server), (Severity.ALERT, f"{failure}.")


def _at(server: Server, address: str, cause: Cause) -> InitialAddress:
    return InitialAddress(server.slot, address, server.port, cause)


def _without_address(server: Server) -> InitialAddress:
    return InitialAddress(server.slot, None, server.port, Cause.NOTHING, SlotFlag.RMAINT)


def _asks_libc(server: Server) -> bool:
    for method in server.init_addr:
        if method == InitAddr.LIBC:
            return not _is_service(server.host)
        if method != InitAddr.LAST:
            return False  # this one always succeeds, so nothing after it is tried
    return False


def _is_service(name: str) -> bool:
    """SRV names have no address of their own."""
    return name.startswith("_")
