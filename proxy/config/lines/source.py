"""`source` of a server line and of a backend (manual sections 4.2 and 5.2).

    source <addr>[:<port>[-<port>]] [usesrc client|clientip|<addr>[:<port>]] [interface <name>]

Owns its forms. Opens no socket; bind() fails at a connect if the address is not this host's.
"""

from __future__ import annotations

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.handlers import store
from proxy.config.lines.sockets import interface_name
from proxy.config.lines.table import Statement
from proxy.config.model.settings import Source
from proxy.config.server_drafts import ServerOptions
from proxy.config.text.addresses import parse_address, parse_port, parse_port_range
from proxy.config.text.messages import ConfigError

_MORE = ("usesrc", "interface")


def server_source(statement: Statement, options: ServerOptions) -> None:
    """`source` on a server line, which may have a range of ports."""
    store(options, "connecting.source", _source(statement, ranges=True))


def proxy_source(statement: Statement, draft: ProxyDraft) -> None:
    """`source` in a backend, for its servers without one of their own."""
    draft.source = _source(statement, ranges=False)


def source_argument_count(words: tuple[str, ...]) -> int:
    """How many words follow `source` on a server line."""
    count = 1
    while words[count + 1 : count + 2] and words[count + 1] in _MORE:
        count += 2
    return count


def _source(statement: Statement, *, ranges: bool) -> Source:
    if not statement.arguments:
        raise ConfigError(
            "'source' expects <addr>[:<port>[-<port>]], and optionally "
            "'usesrc' <addr>, and 'interface' <name> as argument"
        )
    found = _placed(Source(), statement, ranges=ranges)
    rest = statement.skip(2)
    while rest.words:
        piece = Statement(statement.origin, rest.words[:2], statement.context)
        if rest.keyword == "interface":
            found = msgspec.structs.replace(found, interface=interface_name(piece))
        elif rest.keyword == "usesrc":
            found = _used(found, piece)
        else:
            raise ConfigError(
                f"'source' only supports 'usesrc' and 'interface', not '{rest.keyword}'"
            )
        rest = rest.skip(2)
    return found


def _placed(found: Source, statement: Statement, *, ranges: bool) -> Source:
    """The address and ports of a first argument; with a wildcard alone the kernel chooses."""
    address = parse_address(statement.words[1], statement.context.environment)
    text = address.text
    if address.local is not None or address.number is None:
        raise ConfigError(f"'source' expects a numeric IP address, not '{text}'")
    if "-" in address.port_text and not ranges:
        raise ConfigError(f"'source' : port range not permitted here in '{text}'")
    if not address.port_text or (
        "-" not in address.port_text and parse_port(address.port_text, text) == 0
    ):
        number = None if address.wildcard else address.number
        return msgspec.structs.replace(found, address=number)
    ports = parse_port_range(address.port_text, text)
    return msgspec.structs.replace(
        found, address=address.number, port_first=ports[0], ports=len(ports)
    )


def _used(found: Source, piece: Statement) -> Source:
    """`usesrc`: a source address that need not be this host's."""
    what = piece.words[1] if piece.arguments else ""
    if what in ("client", "clientip"):
        return msgspec.structs.replace(found, from_client=True, from_client_port=what == "client")
    if not what or what.startswith("hdr_ip("):
        raise ConfigError("'usesrc' expects <addr>[:<port>], 'client' or 'clientip' as argument")
    return msgspec.structs.replace(_placed(found, piece, ranges=False), foreign=True)
