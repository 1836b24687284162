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
SENT_BYTES_MAX = 255  # the record's field
TOLD_MAX = 100  # of a text that is repeated in an answer
UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # in place of bytes that are not UTF-8
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


def is_numeric(text: str) -> bool:
    """Whether it is an IP address, and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def invalid_address(text: str) -> CommandError:
    """What is said of neither an address nor a name that has one."""
    return CommandError(f"invalid addr '{text[:TOLD_MAX]}'")


def sent(observed: Observed, words: list[str]) -> bytes:
    """`set server b/s agent-send <text>`, nothing without a text; raises CommandError.

    As in HAProxy a text is one word, in which a backslash takes the next character as it is.
    """
    _orders(observed)
    text = "".join(words[:1])
    if UNREADABLE in text:
        raise CommandError("agent-send takes a text in UTF-8.")
    data = text.encode()
    if len(data) > SENT_BYTES_MAX:
        raise CommandError(
            f"agent-send takes at most {SENT_BYTES_MAX} bytes at run time: write a longer text "
            f"into the configuration."
        )
    return data


def moved(observed: Observed, words: list[str]) -> AgentOrders:
    """`set server b/s agent-addr <addr> [port <port>]`; raises CommandError."""
    orders = _orders(observed)
    if not words:
        raise CommandError(
            "set server <b>/<s> agent-addr requires an address and optionally a port."
        )
    if not is_numeric(words[0]):
        raise invalid_address(words[0])
    orders = orders._replace(address=str(ipaddress.ip_address(words[0])))
    if words[1:2] != ["port"]:
        return orders
    return orders._replace(port=_port("".join(words[2:3])))


def on_port(observed: Observed, words: list[str]) -> AgentOrders:
    """`set server b/s agent-port <port>`; raises CommandError."""
    orders = _orders(observed)
    if not words:
        raise CommandError("set server <b>/<s> agent-port requires a port.")
    return orders._replace(port=_port(words[0]))
