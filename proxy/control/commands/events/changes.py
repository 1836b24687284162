"""Notes for the list of events what an order has changed of a server: from what, to what."""

from __future__ import annotations

from proxy.control.caller import note_change
from proxy.control.rows.observation import CHECK_OFF, FDRAIN, MAINT_MASK, Observed
from proxy.health.target import aim
from shm.check_orders import CheckOrder
from shm.states import AdminState


def state_word(flags: int) -> str:
    """The state that an operator ordered, as `set server` takes it."""
    if flags & MAINT_MASK:
        return "maint"
    return "drain" if flags & FDRAIN else "ready"


def address_text(address: str | None, port: int) -> str:
    """An address with its port."""
    return f"[{address}]:{port}" if address and ":" in address else f"{address}:{port}"


def note_server(observed: Observed, record: AdminState) -> None:
    """Note how an admin record differs from what the server was like before it."""
    before, server = observed.admin, observed.server
    weight = server.balancing.weight if record.weight < 0 else record.weight
    note_change("state", state_word(before.flags), state_word(record.flags))
    if record.weight != before.weight:
        note_change("weight", observed.weight, weight)
    if record.maxconn != before.maxconn:
        note_change("maxconn", observed.state.maxconn, record.maxconn)
    if record.address is not None and record != before:
        now = address_text(observed.slot.address, observed.slot.port)
        if record.override_generation == before.override_generation and before.address:
            now = address_text(before.address, before.port or observed.slot.port)
        note_change("address", now, address_text(record.address, record.port or observed.slot.port))
    checks = ("off" if flags & CHECK_OFF else "on" for flags in (before.flags, record.flags))
    note_change("checks", *checks)


def note_aim(observed: Observed, order: CheckOrder) -> None:
    """Note where the checks of a server connect to by an order, and where they did before it."""
    assert observed.server.check is not None
    places = []
    for each in (observed.standing.aimed, order):
        address, port = aim(observed.server.check, each)
        places.append(address_text(address or observed.state.address, port or observed.state.port))
    note_change("check", *places)
