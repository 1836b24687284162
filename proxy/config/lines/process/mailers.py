"""The words of a `mailers` section (manual section 3.6): lines are judged, and no mail is sent.

Owns nothing that outlives the reading: a mail server is read so that a wrong line is seen.
"""

from __future__ import annotations

from proxy.config.lines.shapes import AT_MOST_TWO
from proxy.config.lines.table import Statement, Table, works
from proxy.config.model.settings import Origin
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.config.text.units import parse_time_ms


def _mailer(statement: Statement, _draft: Origin) -> None:
    if len(statement.arguments) < 2 or not statement.arguments[1]:
        raise ConfigError("'mailer' expects <name> and <addr>[:<port>] as arguments.")
    name, text = statement.arguments
    check_label(name, "mailer")
    address = parse_address(text, statement.context.environment)
    if address.local is not None or address.transport == "udp":
        raise ConfigError(f"'mailer {name}' expects a TCP address, not '{text}'")
    single_endpoint(address, statement.context.resolve_host)


def _timeout(statement: Statement, _draft: Origin) -> None:
    what, value = (*statement.arguments, "", "")[:2]
    if what != "mail":
        raise ConfigError(f"'timeout' expects 'mail' and <time> as arguments, not '{what}'.")
    if not value:
        raise ConfigError("'timeout mail' expects <time> as argument.")
    try:
        parse_time_ms(value, statement.warn)
    except ConfigError as error:
        raise ConfigError(f"'timeout mail' : {error}") from error


MAILERS_WORDS: Table[Origin] = {
    "mailer": works(_mailer, shape=AT_MOST_TWO),
    "timeout": works(_timeout, shape=AT_MOST_TWO),
}
