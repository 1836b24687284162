"""What an operator's order does to the record beside an agent. Pure: record and words in, out.

Answers in HAProxy's words (management manual 9.3, `set server ... agent`). Only a server with
`agent-check` has such a record.
"""

from __future__ import annotations

import ipaddress

from proxy.control.command import CommandError
from proxy.control.rows.observation import Observed
from shm.states import AgentCommand, AgentOrders

ORDERS_WRAP = 1 << 32  # the record's field
PORT_MAX = 65_535
NO_AGENT = "agent checks are not enabled on this server."


def _orders(observed: Observed) -> AgentOrders:
    if observed.orders is None or observed.orders.off:
        raise CommandError(NO_AGENT)
    return observed.orders


def switched(observed: Observed, *, off: bool) -> AgentOrders | None:
    """`enable|disable agent b/s`; None: nothing to do. Raises CommandError."""
    if observed.orders is None:
        if off:
            return None
        raise CommandError("Agent was not configured on this server, cannot enable.")
    return None if observed.orders.off == off else observed.orders._replace(off=off)


def commanded(observed: Observed, word: str) -> AgentOrders:
    """`set server b/s agent up|down`; raises CommandError."""
    orders = _orders(observed)
    command = {"up": AgentCommand.UP, "down": AgentCommand.DOWN}.get(word)
    if command is None:
        raise CommandError("'set server <srv> agent' expects 'up' or 'down'.")
    count = (orders.orders + 1) % ORDERS_WRAP
    return orders._replace(orders=count, order=int(command))


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise CommandError("provided port is not an integer")
    if not 0 < len(text) <= len(str(PORT_MAX)) or not 0 < int(text) <= PORT_MAX:
        raise CommandError("provided port is invalid")
    return int(text)


def moved(observed: Observed, words: list[str]) -> AgentOrders:
    """`set server b/s agent-addr <addr> [port <port>]`; raises CommandError."""
    orders = _orders(observed)
    if not words:
        raise CommandError(
            "set server <b>/<s> agent-addr requires an address and optionally a port."
        )
    try:
        address = str(ipaddress.ip_address(words[0]))
    except ValueError as error:
        raise CommandError(f"invalid addr '{words[0][:100]}'") from error
    orders = orders._replace(address=address)
    if words[1:2] != ["port"]:
        return orders
    return orders._replace(port=_port("".join(words[2:3])))


def on_port(observed: Observed, words: list[str]) -> AgentOrders:
    """`set server b/s agent-port <port>`; raises CommandError."""
    orders = _orders(observed)
    if not words:
        raise CommandError("set server <b>/<s> agent-port requires a port.")
    return orders._replace(port=_port(words[0]))
