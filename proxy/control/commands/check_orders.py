"""Where the checks of one server connect to, by order. Pure: server and words in, order out.

Answers in HAProxy's words (management manual 9.3, `set server ... check-addr|check-port`).
"""

from __future__ import annotations

import ipaddress

from proxy.control.command import CommandError, CommandWarningError
from proxy.control.commands.agent_orders import TOLD_MAX, is_numeric
from proxy.control.rows.observation import Observed
from shm.check_orders import CheckOrder

PORT_MAX = 65_535
NOT_CHECKED = "health checks are not enabled on this server"
ANY = {"*": "0.0.0.0"}  # the server's own again


def _port(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal():
        raise CommandWarningError("provided port is not an integer")
    if text.startswith("-") or len(digits.lstrip("0")) > len(str(PORT_MAX)) or int(text) > PORT_MAX:
        raise CommandWarningError("provided port is invalid")
    return int(text)


def _ordered(observed: Observed) -> CheckOrder:
    if observed.server.check is None:
        raise CommandWarningError(NOT_CHECKED)
    return observed.standing.aimed


def aimed_at(observed: Observed, words: list[str]) -> CheckOrder:
    """`set server b/s check-addr <addr> [port <port>]`; raises CommandError.

    The unspecified address is the server's own again.
    """
    if not words:
        raise CommandError(
            "set server <b>/<s> check-addr requires an address and optionally a port."
        )
    order = _ordered(observed)
    address = ANY.get(words[0], words[0])
    if not is_numeric(address):
        raise CommandWarningError(f"invalid addr '{words[0][:TOLD_MAX]}'")
    order = order._replace(address=str(ipaddress.ip_address(address)))
    if words[1:2] != ["port"]:
        return order
    return order._replace(port=_port("".join(words[2:3])))


def aimed_at_port(observed: Observed, words: list[str]) -> CheckOrder:
    """`set server b/s check-port <port>`, 0 for the server's own; raises CommandError."""
    if not words:
        raise CommandError("set server <b>/<s> check-port requires a port.")
    return _ordered(observed)._replace(port=_port(words[0]))
