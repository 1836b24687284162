"""Where each server is when the first client comes: `init-addr` (manual section 5.2). Pure.

The names are resolved elsewhere; here the methods of each server are walked in order:
`last` (what the state file says), `libc`, `none` (starts in RMAINT), an address.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import msgspec

from proxy.config.model.settings import InitAddr, Server
from proxy.config.text.messages import Message, Severity
from proxy.server_table import ServerTable
from proxy.supervisor.restore import Restored
from shm.states import Cause, SlotFlag

NOTHING_RESTORED: Mapping[int, Restored] = MappingProxyType({})
FAILED = "Failed to initialize server(s) addr."


class InitialAddress(msgspec.Struct, frozen=True):
    """The first record of one slot."""

    slot: int
    address: str | None
    port: int
    cause: Cause
    flags: int = 0
    weight: int = -1  # from an SRV record; -1: the configured one
    target: str = ""  # where an SRV record points it


class InitialAddresses(msgspec.Struct, frozen=True):
    """One record for each slot, and what the operator should know."""

    addresses: tuple[InitialAddress, ...]
    messages: tuple[Message, ...]


def names_wanted(
    servers: ServerTable,
    known: Collection[int],
    last: Mapping[int, Restored] = NOTHING_RESTORED,
    *,
    last_first: bool = False,
) -> set[str]:
    """The names that libc must be asked for.

    `known` slots have an address from before a reload, those of `last` one from a state file, or,
    with `last_first`, from a former program, whatever `init-addr` says.
    """
    return {
        server.host
        for server in servers
        if server.slot not in known
        and server.address is None
        and _asks_libc(server, last.get(server.slot), last_first=last_first)
    }


def decide(
    servers: ServerTable,
    resolved: Mapping[str, str],
    known: Collection[int] = (),
    last: Mapping[int, Restored] = NOTHING_RESTORED,
    *,
    ignore_failures: bool = False,
    last_first: bool = False,
) -> InitialAddresses:
    """The first record of each slot; an ALERT among the messages means that there is no start.

    `ignore_failures` is -dr: a server without an address waits for one.
    """
    addresses = []
    messages: list[Message] = []
    for server in servers:
        if server.slot in known:  # the record itself is carried over
            addresses.append(_without_address(server))
            continue
        restored = last.get(server.slot, Restored(server.slot))
        if last_first and restored.address is not None and server.address is None:
            addresses.append(_as_it_was(restored, restored.address))
            continue
        address, message = _decide_server(server, resolved, restored, ignore_failures)
        addresses.append(address)
        if message is not None:
            severity, text = message
            place = f"[{server.origin.file}:{server.origin.line}]"
            name = f"{servers.backends[server.backend_index].name}/{server.name}"
            messages.append(Message(severity, f"{place} : 'server {name}' : {text}"))
    if any(message.severity is Severity.ALERT for message in messages):
        messages.append(Message(Severity.ALERT, FAILED))
    return InitialAddresses(tuple(addresses), tuple(messages))


def _decide_server(
    server: Server, resolved: Mapping[str, str], restored: Restored, ignore_failures: bool
) -> tuple[InitialAddress, tuple[Severity, str] | None]:
    if server.address is not None:
        return _at(server, server.address, Cause.CONFIGURED), None
    asked = False
    nowhere = _without_address(server, restored)
    failure = f"could not resolve address '{server.host}'"
    for method in server.init_addr:
        if method == InitAddr.LAST:
            if restored.address is not None:
                return _as_it_was(restored, restored.address), None
        elif method == InitAddr.LIBC:
            if not _is_service(server.host):
                asked = True
                if server.host in resolved:
                    return _at(server, resolved[server.host], Cause.LIBC), None
        else:
            found, what = _last_resort(server, method, nowhere)
            return found, (Severity.WARNING, f"{failure}, {what}") if asked else None
    if not asked:
        failure = f"no method found to resolve address '{server.host}'"
    if ignore_failures:
        return nowhere, (Severity.WARNING, f"{failure}, disabling server.")
    return nowhere, (Severity.ALERT, f"{failure}.")


def _last_resort(
    server: Server, method: str, nowhere: InitialAddress
) -> tuple[InitialAddress, str]:
    """The methods that always succeed, and what to call that."""
    if method == InitAddr.NONE:
        return nowhere, "disabling server."
    return _at(server, method, Cause.INIT_ADDRESS), "falling back to configured address."


def _at(server: Server, address: str, cause: Cause) -> InitialAddress:
    return InitialAddress(server.slot, address, server.port, cause)


def _as_it_was(restored: Restored, address: str) -> InitialAddress:
    changed = SlotFlag.FQDN_CHANGED if restored.target or restored.order else SlotFlag(0)
    return InitialAddress(
        restored.slot,
        address,
        restored.port,
        Cause.STATE_FILE,
        changed,
        weight=restored.slot_weight,
        target=restored.target,
    )


def _without_address(server: Server, restored: Restored | None = None) -> InitialAddress:
    """It waits for an answer; a slot of an SRV record waits where the record had pointed it."""
    if restored is None or not restored.target:
        return InitialAddress(server.slot, None, server.port, Cause.NOTHING, SlotFlag.RMAINT)
    return InitialAddress(
        server.slot,
        None,
        restored.port,
        Cause.STATE_FILE,
        SlotFlag.RMAINT | SlotFlag.FQDN_CHANGED,
        weight=restored.slot_weight,
        target=restored.target,
    )


def _asks_libc(server: Server, restored: Restored | None, *, last_first: bool) -> bool:
    if last_first and restored is not None and restored.address is not None:
        return False
    for method in server.init_addr:
        if method == InitAddr.LIBC:
            return not _is_service(server.host)
        if method != InitAddr.LAST or (restored is not None and restored.address is not None):
            return False  # this one succeeds, so nothing after it is tried
    return False


def _is_service(name: str) -> bool:
    """SRV names have no address of their own."""
    return name.startswith("_")
