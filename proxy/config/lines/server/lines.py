"""`server`, `default-server` and `server-template` lines (manual sections 4.2 and 5.2).

Owns the options of a server, the templates that it may have them from, and the forms of its
address. References (resolvers), and the mode of the section, are checked when all sections are
known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.server.options import SERVER_OPTIONS, argument_count
from proxy.config.lines.table import Statement, act
from proxy.config.model.settings import LOCAL_PLACE, SocketFamily
from proxy.config.server_drafts import ServerDraft, ServerOptions, ServerTemplate
from proxy.config.text.addresses import WrittenAddress, parse_address, parse_port
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label, is_service_name, normalize_host_name
from proxy.config.text.suggest import hint
from shm.shape import SLOTS_MAX

TEMPLATE_SERVERS_MAX = SLOTS_MAX
NAMED = "name"
FROM = "from"


def server(statement: Statement, draft: ProxyDraft) -> None:
    """`server <name> <address>[:<port>] [<option> ...]`."""
    if len(statement.arguments) < 2:
        raise ConfigError("'server' expects a name and <address>[:<port>] as arguments")
    name, text = statement.arguments[:2]
    check_label(name, "server")
    options = _server_options(statement.skip(3), f"server {draft.name}/{name}", draft)
    address, port, relative = _server_address(text, statement.context.environment)
    _add(draft, ServerDraft(name, statement.origin, address, port, relative, options))


def one_server(statement: Statement, draft: ProxyDraft) -> ServerDraft:
    """The server of such a line, which the draft has now."""
    server(statement, draft)
    return draft.servers[-1]


def server_template(statement: Statement, draft: ProxyDraft) -> None:
    """`server-template <prefix> <count>|<first>-<last> <address>[:<port>] [<option> ...]` (S7)."""
    if len(statement.arguments) < 3:
        raise ConfigError(
            "'server-template' expects a prefix, a number or range, and <address>[:<port>]"
        )
    prefix, numbers_text, text = statement.arguments[:3]
    check_label(prefix, "server-template")
    numbers = _template_numbers(numbers_text)
    options = _server_options(statement.skip(4), f"server-template {draft.name}/{prefix}", draft)
    address, port, relative = _server_address(text, statement.context.environment)
    for number in numbers:
        own = options.copy()
        own.id = options.id if number == numbers[0] else None  # a number fits one server only
        name = f"{prefix}{number}"
        _add(draft, ServerDraft(name, statement.origin, address, port, relative, own))


def default_server(statement: Statement, draft: ProxyDraft) -> None:
    """`default-server <option> ...`: the defaults of the servers after this line.

    `default-server name <template> <option> ...` are those of servers with `from <template>` alone.
    Such a template begins with nothing from the lines without a name, and a second line of that
    name adds to the first, which may be one of the `defaults` section.
    """
    if not statement.arguments:
        raise ConfigError("'default-server' expects the options that servers start with")
    if statement.arguments[0] == NAMED:
        _template(statement, draft)
        return
    options = draft.server_defaults.copy()
    _read_defaults(statement.skip(1), "default-server", options)
    draft.server_defaults = options


def _template(statement: Statement, draft: ProxyDraft) -> None:
    """The line with a name."""
    if len(statement.arguments) < 2:
        raise ConfigError("'default-server name' expects a name and the options of its servers")
    name, *added = statement.arguments[1:]
    check_label(name, "default-server")
    known = draft.server_templates.get(name, ServerTemplate((), ServerOptions()))
    options = known.options.copy()
    _read_defaults(statement.skip(3), f"default-server {name}", options)
    draft.server_templates[name] = ServerTemplate((*known.words, *added), options)


def _read_defaults(statement: Statement, described: str, options: ServerOptions) -> None:
    """The options of a `default-server` line."""
    _read_options(statement, described, options)
    if options.id is not None:
        raise ConfigError("'id' fits one server only: write it on the 'server' line")
    if options.tls.excluded:
        raise ConfigError(
            "'no-sslv3' and 'no-tlsv1x' are not accepted in 'default-server': use 'ssl-min-ver'"
        )


def _server_options(statement: Statement, described: str, draft: ProxyDraft) -> ServerOptions:
    """What the words behind an address say, `from <template>` first."""
    words = statement.words
    options = draft.server_defaults.copy()
    if words[:1] == (FROM,):
        if len(words) < 2:
            raise ConfigError(f"'{described}' : 'from' expects the name of a 'default-server' line")
        name = words[1]
        if name not in draft.server_templates:
            raise ConfigError(
                f"'{described}' : unable to find 'default-server name {name}' before this line"
                + hint(name, draft.server_templates)
            )
        options = draft.server_templates[name].options.copy()
        statement = statement.skip(2)
    _read_options(statement, described, options)
    return options


def _add(draft: ProxyDraft, new: ServerDraft) -> None:
    if len(draft.servers) >= SLOTS_MAX:
        raise ConfigError(f"more than {SLOTS_MAX} servers in {draft.title}")
    draft.servers.append(new)


def _template_numbers(text: str) -> range:
    match = re.fullmatch(r"(?:([0-9]{1,9})-)?([0-9]{1,9})", text)
    low, high = (1, 0) if match is None else (int(match[1] or 1), int(match[2]))
    if high < low or high - low >= TEMPLATE_SERVERS_MAX:
        raise ConfigError(
            f"Wrong server-template number or range arg '{text}': give a number from 1 to "
            f"{TEMPLATE_SERVERS_MAX}, or a range such as 1-5"
        )
    return range(low, high + 1)


def _read_options(statement: Statement, described: str, options: ServerOptions) -> None:
    """Read `<option> [<value>]...`; `statement.words` hold nothing before the first option."""
    words = statement.words
    while words:
        keyword = words[0]
        if keyword not in SERVER_OPTIONS:
            suggestion = hint(keyword, SERVER_OPTIONS)
            raise ConfigError(f"'{described}' : unknown keyword '{keyword}'{suggestion}")
        size = 1 + argument_count(words)
        piece = Statement(statement.origin, words[:size], statement.context)
        try:
            act(piece, options, SERVER_OPTIONS, f"'{keyword}'", keyword)
        except ConfigError as error:
            raise ConfigError(f"'{described}' : {error}") from error
        words = words[size:]


def _server_address(
    written: str, environment: Mapping[str, str]
) -> tuple[WrittenAddress, int, bool]:
    """Address, port and whether the port is relative to the client's destination port."""
    address = parse_address(written, environment)
    text = address.text
    if address.transport == "udp":
        raise ConfigError(f"'{text}' is UDP, which Millrace does not forward")
    if address.local is SocketFamily.DESCRIPTOR:
        raise ConfigError(f"a file descriptor is not acceptable here in '{text}'")
    if address.local is not None:
        return msgspec.structs.replace(address, number=LOCAL_PLACE), 0, True
    if address.number is not None and "%" in address.number:  # a slot record has no interface
        raise ConfigError(f"server address '{text}' names an interface, which is not supported")
    port, relative = _server_port(address.port_text, text)
    if address.number is None:
        normalize_host_name(address.host)
        if is_service_name(address.host):  # its port is in the SRV record
            return address, 0 if relative else port, False
    return address, port, relative


def _server_port(text: str, address: str) -> tuple[int, bool]:
    """The port of `80`, the offset of `+80` and `-80`; "" is the offset 0."""
    if not text:
        return 0, True
    if text[0] not in "+-":
        if "-" in text:
            raise ConfigError(f"port range not permitted in server address '{address}'")
        port = parse_port(text, address)
        return port, port == 0
    offset = parse_port(text[1:], address)
    return (offset if text[0] == "+" else -offset), True
