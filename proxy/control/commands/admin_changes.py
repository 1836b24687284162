"""What an operator's order does to an admin record. Pure: record and words in, record out.

    ready   takes sessions        <- clears maint and drain
    drain   keeps its sessions    <- sets drain, clears maint
    maint   no sessions, no check <- sets maint, clears drain

An address override names the generation of the slot that it replaces: as soon as DNS says
something else, the slot gets another generation and the override is void (S41).
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from proxy.config.text.messages import ConfigError
from proxy.config.text.names import normalize_host_name
from proxy.control.command import CommandError, CommandWarningError
from proxy.control.rows.observation import CHECK_OFF, FDRAIN, FMAINT, MAINT_MASK, Observed
from proxy.ordered_values import OrderedValueError, maxconn_of, weight_of
from shm.states import AdminState, AgentOrders, HealthOrder

ORDERS_WRAP = 1 << 16  # the field of the health record that they are compared with
BY = "by 'stats socket command'"
PORT_MAX = 65_535
TOLD_MAX = 100  # characters of a wrong word that an answer repeats


class AdminChange(NamedTuple):
    """The record to publish (None: nothing to do) and what to answer."""

    record: AdminState | None
    answer: str = ""


def beside_agent(
    raw: AdminState, seen: AdminState, wanted: AdminState, orders: AgentOrders, now_ns: int
) -> tuple[AdminState, AgentOrders]:
    """The record of an order for a server with an agent, and its times.

    `raw` is the operator's own record, `seen` what it and the agent's words add up to: of that an
    order changes one thing, which counts from now on against the agent's word. The rest of the
    record stays the operator's.
    """
    state_mask = MAINT_MASK | FDRAIN
    if (wanted.flags ^ seen.flags) & state_mask:
        orders = orders._replace(state_ns=now_ns)
        flags = wanted.flags
    else:
        flags = wanted.flags & ~state_mask | raw.flags & state_mask
        wanted = wanted._replace(changed_ms=raw.changed_ms, returned=raw.returned)
    weight, maxconn = raw.weight, raw.maxconn
    if wanted.weight != seen.weight:
        orders, weight = orders._replace(weight_ns=now_ns), wanted.weight
    if wanted.maxconn != seen.maxconn:
        orders, maxconn = orders._replace(maxconn_ns=now_ns), wanted.maxconn
    return wanted._replace(flags=flags, weight=weight, maxconn=maxconn), orders


def change_state(admin: AdminState, word: str, now_ms: int) -> AdminChange:
    """`set server b/s state ready|drain|maint`; raises CommandError."""
    wanted = {"ready": 0, "drain": FDRAIN, "maint": FMAINT}.get(word)
    if wanted is None:
        raise CommandError("'set server <srv> state' expects 'ready', 'drain' and 'maint'.")
    if word == "maint" and admin.flags & MAINT_MASK:
        wanted = admin.flags & MAINT_MASK
    flags = admin.flags & ~(MAINT_MASK | FDRAIN) | wanted
    if flags == admin.flags:
        return AdminChange(None)
    returned = bool(admin.flags & MAINT_MASK and not flags & MAINT_MASK)
    order = admin.health_order
    if flags & MAINT_MASK:
        order = HealthOrder.NONE
    elif returned:  # it comes back up, whatever was said of its health; only the counter is kept
        order = HealthOrder.UP if order in (HealthOrder.UP, HealthOrder.STOPPING) else 0
    return AdminChange(
        admin._replace(flags=flags, changed_ms=now_ms, health_order=order, returned=returned)
    )


def change_health(observed: Observed, word: str, now_ms: int) -> AdminChange:
    """`set server b/s health up|stopping|down`; raises CommandError.

    It holds until checks say otherwise: the worker that checks the server obeys it once; a server
    without checks and agent is what was said of it. The order is for the present incarnation only.
    """
    order = {"up": HealthOrder.UP, "stopping": HealthOrder.STOPPING, "down": HealthOrder.DOWN}.get(
        word
    )
    if order is None:
        raise CommandError("'set server <srv> health' expects 'up', 'stopping', or 'down'.")
    if observed.server.track is not None:
        raise CommandError("cannot change health on a tracking server.")
    admin = observed.admin
    said = not observed.server.watched
    if said and observed.state.health_order == order:
        return AdminChange(None)
    return AdminChange(
        admin._replace(
            returned=(said and word == "up" and not observed.up) or (not said and admin.returned),
            health_order=order,
            health_orders=(admin.health_orders + 1) % ORDERS_WRAP,
            health_incarnation=observed.slot.incarnation,
            changed_ms=now_ms if said else admin.changed_ms,
        )
    )


def change_checks(observed: Observed, *, enabled: bool) -> AdminChange:
    """`enable|disable health b/s`; raises CommandError for a server without a check."""
    if enabled and observed.server.check is None:
        raise CommandError("Health check was not configured on this server, cannot enable.")
    flags = observed.admin.flags & ~CHECK_OFF if enabled else observed.admin.flags | CHECK_OFF
    if flags == observed.admin.flags or observed.server.check is None:
        return AdminChange(None)
    return AdminChange(observed.admin._replace(flags=flags))


def ordered_name(observed: Observed, words: list[str]) -> str:
    """The name of `set server b/s fqdn <name>` in its normal form; raises CommandError.

    "" when it is the name that the server has already.
    """
    server = observed.server
    if server.srv_record is not None:
        raise CommandError("set server <b>/<s> fqdn failed because SRV resolution is configured.")
    if not server.resolvable:
        raise CommandError("set server <b>/<s> fqdn failed because no resolution is configured.")
    if not words:
        raise CommandError("set server <b>/<s> fqdn requires a FQDN.")
    try:
        name = normalize_host_name(words[0])
    except ConfigError as error:
        where = f"{observed.proxy.name}/{server.name}"
        raise CommandWarningError(f"could not update {where} FQDN {BY}") from error
    return "" if name == observed.name else name


def change_maxconn(observed: Observed, text: str) -> AdminChange:
    """`set maxconn server b/s <n>`: 0 for no limit; raises CommandError."""
    try:
        maxconn = maxconn_of(text)
    except OrderedValueError as error:
        raise CommandError(str(error)) from error
    if maxconn == observed.state.maxconn:
        return AdminChange(None)
    return AdminChange(observed.admin._replace(maxconn=maxconn))


def change_weight(observed: Observed, text: str) -> AdminChange:
    """`set server b/s weight <w>[%]`; raises CommandError.

    The time of change stays: a server with another weight is in the same state.
    """
    if not text:
        raise CommandError("Require <weight> or <weight%>.")
    fixed = observed.proxy.weights_fixed
    try:
        weight = weight_of(text, observed.server.balancing.weight, fixed=fixed)
    except OrderedValueError as error:
        raise CommandError(str(error)) from error
    admin = observed.admin
    if weight == admin.weight:
        return AdminChange(None)
    return AdminChange(admin._replace(weight=weight))


def numeric(text: str) -> str:
    """An address in its shortest form; raises CommandError for a text that is none."""
    try:
        if "%" in text:  # a scope belongs to a link, not to a server
            raise ValueError(text)
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise CommandWarningError(f"Invalid addr '{text}' {BY}") from error


def port_number(text: str) -> int:
    """A port of 1..65535; raises CommandError."""
    digits = text.lstrip("0")
    decimal = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(PORT_MAX))
    if not decimal or int(digits) > PORT_MAX:
        raise CommandWarningError(f"problem converting port '{text[:TOLD_MAX]}' to an int {BY}")
    return int(digits)


def change_address(observed: Observed, words: list[str]) -> AdminChange:
    """`set server b/s addr <ip> [port <p>]`; raises CommandError.

    A server without an address cannot get one: there is no generation that the order could name.
    """
    if not words:
        raise CommandError("set server <b>/<s> addr requires an address and optionally a port.")
    former, former_port = observed.standing.address, observed.state.port
    if former is None or observed.standing.lacks_address:
        raise CommandWarningError(
            f"Update for the current server address family is only supported through configuration "
            f"file {BY}"
        )
    address = numeric(words[0])
    port = (
        port_number(words[2] if len(words) > 2 else "") if words[1:2] == ["port"] else former_port
    )
    moved, turned = address != former, port != former_port
    said = [f"IP changed from '{former}' to '{address}'" if moved else "no need to change the addr"]
    if turned:
        said.append(f"port changed from '{former_port}' to '{port}'")
    elif words[1:2] == ["port"]:
        said.append("no need to change the port")
    answer = f"{', '.join(said)} {BY}"
    if not (moved or turned):
        return AdminChange(None, answer)
    return AdminChange(override(observed, address, port), answer)


def override(observed: Observed, address: str, port: int) -> AdminState:
    """The record that puts a server elsewhere; going back to the slot's own address ends it."""
    slot, admin = observed.slot, observed.admin
    if (address, port) == (slot.address, slot.port):
        return admin._replace(address=None, port=0, override_generation=0)
    return admin._replace(
        address=address,
        port=0 if port == slot.port else port,
        override_generation=slot.generation,
    )
