"""Values of socket options that several lines have: interfaces, tcp-ut, keep-alive probes.

Owns their limits, which are the kernel's.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.handlers import store
from proxy.config.lines.shapes import AT_MOST_ONE
from proxy.config.lines.table import D, Handler, Statement, Table, works
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms

INTERFACE_MAX = 15  # bytes: IFNAMSIZ without its NUL
PROBES_MAX = 127  # MAX_TCP_KEEPCNT
PROBE_SECONDS_MAX = 32_767  # MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL


def interface_name(statement: Statement) -> str:
    """The argument of `interface`: the name of a network interface."""
    if not statement.arguments or not statement.words[1]:
        raise ConfigError("'interface' : missing interface name")
    name = statement.one("the name of a network interface")
    if len(name.encode()) > INTERFACE_MAX or "/" in name:
        raise ConfigError(f"'{name}' is no interface's name (at most {INTERFACE_MAX} bytes)")
    return name


def user_timeout(field: str) -> Handler[D]:
    """A handler of `tcp-ut <time>`; 0 is none."""

    def handle(statement: Statement, draft: D) -> None:
        if not statement.arguments:
            raise ConfigError("'tcp-ut' : missing TCP User Timeout value")
        store(draft, field, parse_time_ms(statement.one("a time"), statement.warn))

    return handle


def _probe_count(field: str) -> Handler[ProxyDraft]:
    def handle(statement: Statement, draft: ProxyDraft) -> None:
        count = statement.number(0, PROBES_MAX, "an integer value") or None
        store(draft, field, count)

    return handle


def _probe_seconds(field: str) -> Handler[ProxyDraft]:
    """A handler for a time whose default unit is the second."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        try:
            time_ms = parse_time_ms(
                statement.one("an integer value"), statement.warn, default_unit="s"
            )
        except ConfigError as error:
            raise ConfigError(f"'{statement.keyword}' : {error}") from error
        seconds = -(-time_ms // 1_000)
        if seconds > PROBE_SECONDS_MAX:
            raise ConfigError(f"'{statement.keyword}' : at most {PROBE_SECONDS_MAX} seconds")
        store(draft, field, seconds or None)

    return handle


def _probe_words(prefix: str, field: str) -> Table[ProxyDraft]:
    return {
        f"{prefix}-cnt": works(_probe_count(f"{field}.count"), shape=AT_MOST_ONE),
        f"{prefix}-idle": works(_probe_seconds(f"{field}.idle_s"), shape=AT_MOST_ONE),
        f"{prefix}-intvl": works(_probe_seconds(f"{field}.interval_s"), shape=AT_MOST_ONE),
    }


KEEPALIVE_WORDS: Table[ProxyDraft] = {
    **_probe_words("clitcpka", "client_probes"),
    **_probe_words("srvtcpka", "server_probes"),
}
