"""The options of a server line about the source of its address (manual section 5.3).

Owns `resolvers`, `resolve-*`, `init-addr` and `init-state`. Resolves no name: networks and
addresses are numeric, and a reference to a resolvers section is checked when all are known.
"""

from __future__ import annotations

import ipaddress
import re

from proxy.config.lines.table import Statement, Table, works
from proxy.config.model.settings import InitAddr, InitState
from proxy.config.server_drafts import ServerOptions
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from resolverd.config import RESOLVE_NETS_MAX, Family

_NETWORK = re.compile(r"([0-9A-Fa-f.:]+)(?:/([0-9.]+))?")
# Option of `resolve-opts` -> field and value.
_RESOLVE_OPTIONS = {
    "allow-dup-ip": ("allow_dup_ip", True),
    "prevent-dup-ip": ("allow_dup_ip", False),
    "ignore-weight": ("ignore_weight", True),
    "srv-priority": ("srv_priority", True),
    "rfc-weight": ("rfc_weight", True),
    "search": ("search", True),
    "all-families": ("all_families", True),
}


def _resolvers(statement: Statement, options: ServerOptions) -> None:
    options.resolvers = statement.one("the name of a resolvers section")


def _prefer(statement: Statement, options: ServerOptions) -> None:
    either = "either ipv4 or ipv6"
    family = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}.get(statement.one(either))
    if family is None:
        raise ConfigError(
            f"'resolve-prefer' expects {either} as argument, not '{statement.words[1]}'"
        )
    options.resolve_prefer = family


def _networks(statement: Statement, options: ServerOptions) -> None:
    """`resolve-net`: added to those of `default-server` and of earlier words, as in HAProxy."""
    found = options.resolve_networks
    for text in _list_items(statement.one("a list of networks such as 10.0.0.0/8")):
        if len(found) == RESOLVE_NETS_MAX:
            raise ConfigError(f"'resolve-net' exceed {RESOLVE_NETS_MAX} networks")
        found = (*found, _network(text))
    options.resolve_networks = found


def _network(text: str) -> str:
    """`10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`, or one address, as address/prefix length."""
    match = _NETWORK.fullmatch(text)
    if match is not None and not (":" in match[1] and "." in (match[2] or "")):
        try:
            return str(ipaddress.ip_network(_without_zeros(match), strict=False))
        except ValueError:
            pass
    raise ConfigError(f"'resolve-net' invalid network '{text}'")


def _without_zeros(match: re.Match[str]) -> str:
    length = match[2]
    if length is None:
        return match[1]
    return f"{match[1]}/{length if '.' in length else int(length[:20])}"


def _options(statement: Statement, options: ServerOptions) -> None:
    """`resolve-opts`; without an argument it has no effect, as in HAProxy."""
    statement.at_most(1)
    text = statement.words[1] if statement.arguments else ""
    for name in _list_items(text) if text else ():
        if name not in _RESOLVE_OPTIONS:
            known = "', '".join(_RESOLVE_OPTIONS)
            raise ConfigError(
                f"'resolve-opts' : unknown resolve-opts option '{name}', supported methods are "
                f"'{known}'{hint(name, _RESOLVE_OPTIONS)}"
            )
        field, value = _RESOLVE_OPTIONS[name]
        setattr(options, field, value)


def _list_items(text: str) -> list[str]:
    """The items of a comma-separated list; a comma at its end adds none."""
    return text.removesuffix(",").split(",")


def _init_addr(statement: Statement, options: ServerOptions) -> None:
    """`init-addr`: methods in order, at most one address (S5); an empty list is the default."""
    statement.at_most(1)
    methods: list[str] = []
    for text in statement.words[1].split(",") if statement.arguments else ():
        if text:
            methods.append(_init_method(text, methods))
    options.init_addr = tuple(dict.fromkeys(methods)) or None


def _init_method(text: str, before: list[str]) -> str:
    known = [method.value for method in InitAddr]
    if text in known:
        return text
    address = _init_address(text)
    if any(method not in known for method in before):
        raise ConfigError(f"'init-addr' : initial address already specified, cannot add '{text}'")
    return address


def _init_address(text: str) -> str:
    """The canonical form of an address without port, with or without brackets."""
    bare = text[1:-1] if text[0] == "[" and text[-1] == "]" else text
    try:
        address = ipaddress.ip_address("" if "%" in bare else bare)
    except ValueError:
        raise ConfigError(
            f"'init-addr' : unknown init-addr method '{text}', supported methods are 'libc', "
            "'last', 'none' and an IP address"
        ) from None
    if address.is_unspecified:
        raise ConfigError(f"'init-addr {text}' (the client's own destination) is not supported")
    return str(address)


def _init_state(statement: Statement, options: ServerOptions) -> None:
    text = statement.one("up, down, fully-up or fully-down")
    known = [state.value for state in InitState]
    if text not in known:
        raise ConfigError(f"'init-state' knows {', '.join(known)}, not '{text}'")
    options.init_state = InitState(text)


RESOLUTION_OPTIONS: Table[ServerOptions] = {
    "resolvers": works(_resolvers),
    "resolve-prefer": works(_prefer),
    "resolve-net": works(_networks),
    "resolve-opts": works(_options),
    "init-addr": works(_init_addr),
    "init-state": works(_init_state),
}
