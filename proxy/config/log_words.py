"""`log` lines: targets, facilities and levels (manual section 3.1 and 4.2, `log`).

Owns the names and numbers of syslog (RFC 5424 section 6.2.1) as HAProxy spells them. Sends nothing.
"""

from __future__ import annotations

from proxy.config.addresses import parse_address, single_endpoint
from proxy.config.context import Context
from proxy.config.drafts import GlobalDraft, ProxyDraft
from proxy.config.messages import ConfigError
from proxy.config.model import Endpoint, LogTarget, SocketFamily
from proxy.config.suggest import hint
from proxy.config.units import parse_number
from proxy.config.words import Prefix, Statement

SYSLOG_PORT = 514
LENGTH_MIN = 80  # bytes of one message, HAProxy's limits
LENGTH_MAX = 65_535
LENGTH_DEFAULT = 1_024

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FORMATS = ("local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw")
_STANDARD = {"stdout": 1, "stderr": 2}


def global_log(statement: Statement, draft: GlobalDraft) -> None:
    """`log` of the global section: operational messages go there; `no log` forgets them."""
    if statement.prefix is Prefix.NO:
        draft.logs = []
        return
    draft.logs = [*draft.logs, parse_log(statement)]


def proxy_log(statement: Statement, _draft: ProxyDraft) -> None:
    """`log` of a proxy: checked, and without effect while there is no access log."""
    if statement.prefix is Prefix.NONE and statement.arguments != ("global",):
        parse_log(statement)
    statement.notice("'log' has no effect here yet: connections are not logged")


def parse_log(statement: Statement) -> LogTarget:
    """`log <address> [len <n>] [format <f>] <facility> [<level> [<lowest level>]]`."""
    words = list(statement.arguments)
    if len(words) < 2:
        raise ConfigError("'log' expects an address and a facility")
    endpoint, descriptor = _target(words.pop(0), statement.context)
    length = LENGTH_DEFAULT
    log_format = "rfc3164"
    while words and words[0] in ("len", "format", "sample"):
        option = words.pop(0)
        value = words.pop(0) if words else ""
        if option == "len":
            length = _length(value)
        elif option == "format":
            log_format = _choose("format", value, FORMATS)
        else:
            raise ConfigError("'log ... sample' is not supported yet: every message is sent")
    if not words:
        raise ConfigError("'log' expects a facility after the address")
    if len(words) > 3:
        raise ConfigError(f"'log' cannot handle unexpected argument '{words[3]}'")
    facility = FACILITIES.index(_choose("facility", words[0], FACILITIES))
    levels = [LEVELS.index(_choose("level", word, LEVELS)) for word in words[1:]]
    return LogTarget(
        endpoint=endpoint,
        facility=facility,
        max_level=levels[0] if levels else len(LEVELS) - 1,
        min_level=levels[1] if len(levels) > 1 else 0,
        format=log_format,
        descriptor=descriptor,
        length_max=length,
    )


def _length(value: str) -> int:
    try:
        return parse_number(value, LENGTH_MIN, LENGTH_MAX)
    except ConfigError as error:
        raise ConfigError(f"'log ... len' {error}") from error


def _choose(what: str, word: str, known: tuple[str, ...]) -> str:
    if word not in known:
        raise ConfigError(f"unknown log {what} '{word}'{hint(word, known)}")
    return word


def _target(text: str, context: Context) -> tuple[Endpoint | None, int | None]:
    if text in _STANDARD:
        return None, _STANDARD[text]
    address = parse_address(text)
    if address.transport == "tcp":
        raise ConfigError(f"log over TCP is not supported yet ('{text}'): use UDP")
    if address.local is SocketFamily.DESCRIPTOR:
        return None, int(address.host)
    return single_endpoint(address, context.resolve_host, SYSLOG_PORT), None
