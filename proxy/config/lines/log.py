"""The words about logs: targets, facilities, levels, formats (manual sections 3.1, 4.2 and 8.2).

Owns the names and numbers of syslog (RFC 5424 section 6.2.1) in HAProxy's spelling. Sends nothing.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft, LogFormatDraft, ProxyDraft, ProxyKind
from proxy.config.lines.http import HTTP_LOG_LABELS, forget
from proxy.config.lines.table import Prefix, Statement
from proxy.config.model.settings import Endpoint, LogTarget, SocketFamily
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.context import Context
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import full_path
from proxy.config.text.suggest import hint
from proxy.config.text.units import parse_number
from shm.log_level import LogLevel

TCP_FORMAT = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq"
SYSLOG_PORT = 514
LENGTH_MIN = 80  # bytes of one message, HAProxy's limits
LENGTH_MAX = 65_535
LENGTH_DEFAULT = 1_024
SAMPLE_MAX = 1_000  # lines of one round of `sample`
DEFAULT_FORMAT = ""  # local, or rfc3164 with `log-send-hostname`: known once all lines are

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2"),
    *("local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
)
LEVELS = tuple(level.name.lower() for level in LogLevel)
FORMATS = ("local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw")
OTHER_FORMATS = {  # with the name that HAProxy has for each in its errors
    "log-format-sd": "log-format-sd",
    "error-log-format": "error-log-format",
    "unique-id-format": "unique-id",
}
_STANDARD = {"stdout": 1, "stderr": 2}


def global_log(statement: Statement, draft: GlobalDraft) -> None:
    """`log` of the global section: operational messages go there; `no log` forgets them."""
    if statement.prefix is Prefix.NO:
        statement.at_most(0)
        draft.logs = []
        return
    draft.logs.append(parse_log(statement))


def proxy_log(statement: Statement, draft: ProxyDraft) -> None:
    """`log global|<target>` of a proxy: its connections are logged there; `no log` forgets all."""
    if statement.prefix is Prefix.NO:
        statement.at_most(0)
        draft.logs = []
        draft.log_global = False
    elif statement.arguments == ("global",):
        draft.log_global = True
    else:
        draft.logs.append(parse_log(statement))


def log_format(statement: Statement, draft: ProxyDraft) -> None:
    """`log-format <string>`; the last one, or `option tcplog`, counts."""
    if len(statement.arguments) > 1:
        raise ConfigError("'log-format' expects only one argument, don't forget to escape spaces!")
    told_of_override(statement, draft, "log-format")
    set_log_format(statement, draft, statement.one("a format"))


def told_of_override(statement: Statement, draft: ProxyDraft, described: str) -> None:
    """Warn, as HAProxy does, of a line that replaces the format of its section `defaults`."""
    former = [word.label for word in draft.http_words if word.label in HTTP_LOG_LABELS]
    if not former and draft.log_format is not None:
        former = ["'option tcplog'" if draft.log_format.text == TCP_FORMAT else "'log-format'"]
    if former and draft.kind is ProxyKind.DEFAULTS:
        statement.warn(f"'{described}' overrides previous {former[0]} in 'defaults' section.")


def set_log_format(statement: Statement, draft: ProxyDraft, text: str = TCP_FORMAT) -> None:
    """Replace the format, or the HTTP log, of an earlier line or of `defaults`."""
    forget(draft, *HTTP_LOG_LABELS)
    draft.log_format = LogFormatDraft(
        text,
        statement.origin,
        statement.context.environment,
        full_path("", "", statement.context, statement.origin),
    )


def other_format(statement: Statement, draft: ProxyDraft) -> None:
    """`log-format-sd`, `error-log-format`, `unique-id-format`; the last one counts."""
    word = statement.keyword
    if not statement.arguments or not statement.arguments[0]:
        raise ConfigError(f"{word} expects an argument.")
    if len(statement.arguments) > 1:
        raise ConfigError(f"{word} expects only one argument, don't forget to escape spaces!")
    said = LogFormatDraft(
        statement.arguments[0],
        statement.origin,
        statement.context.environment,
        full_path("", "", statement.context, statement.origin),
    )
    draft.log_formats = {**draft.log_formats, word: said}


def log_tag(statement: Statement, draft: ProxyDraft) -> None:
    """`log-tag` of a proxy."""
    draft.log_tag = statement.one("a tag for use in syslog")


def log_send_hostname(statement: Statement, draft: GlobalDraft) -> None:
    """`log-send-hostname [<name>]`."""
    statement.at_most(1)
    draft.log_host = statement.arguments[0] if statement.arguments else ""


def parse_log(statement: Statement) -> LogTarget:
    """`log <address> [len <n>] [format <f>] [sample <ranges>:<n>] <facility> [<level> [<min>]]`."""
    words = list(statement.arguments)
    if len(words) < 2:
        raise ConfigError("'log' expects an address and a facility")
    endpoint, descriptor = _target(words.pop(0), statement.context)
    length = LENGTH_DEFAULT
    log_format = DEFAULT_FORMAT
    sample: tuple[bool, ...] = ()
    while words and words[0] in ("len", "format", "sample"):
        option = words.pop(0)
        value = words.pop(0) if words else ""
        if option == "len":
            length = _length(value)
        elif option == "format":
            log_format = _choose("format", value, FORMATS)
        else:
            sample = _sample(value)
    if not words:
        raise ConfigError("'log' expects a facility after the address")
    if len(words) > 3:
        raise ConfigError(f"'log' cannot handle unexpected argument '{words[3]}'")
    facility = FACILITIES.index(_choose("facility", words[0], FACILITIES))
    levels = [LEVELS.index(_choose("level", word, LEVELS)) for word in words[1:]]
    return LogTarget(
        endpoint=endpoint,
        facility=facility,
        max_level=levels[0] if levels else LogLevel.DEBUG,
        min_level=levels[1] if len(levels) > 1 else 0,
        format=log_format,
        descriptor=descriptor,
        length_max=length,
        sample=sample,
    )


def _sample(value: str) -> tuple[bool, ...]:
    """`<ranges>:<size>`, as in `2-3,8-11:11`: which lines of each round of `size` are sent."""
    ranges, colon, size_text = value.rpartition(":")
    if not colon:
        raise ConfigError("'log ... sample' : missing sample size (as in '1,3-4:10')")
    try:
        size = parse_number(size_text, 1, SAMPLE_MAX)
    except ConfigError as error:
        raise ConfigError(f"'log ... sample' size {error}") from error
    sent = [False] * size
    for text in ranges.split(","):
        first, last = _range(text)
        if last > size:
            raise ConfigError(
                f"'log ... sample' : sample size {size} should be greater or equal to {last} "
                "the maximum of the high ranges limits"
            )
        if any(sent[first - 1 : last]):
            raise ConfigError("'log ... sample' : ranges are overlapping")
        sent[first - 1 : last] = [True] * (last - first + 1)
    return tuple(sent)


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    try:
        first = parse_number(low, 1, SAMPLE_MAX)
        last = parse_number(high, first, SAMPLE_MAX) if dash else first
    except ConfigError as error:
        raise ConfigError(f"'log ... sample' : wrong sample range '{text}' ({error})") from error
    return first, last


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
    address = parse_address(text, context.environment)
    if address.transport == "tcp":
        raise ConfigError(f"log over TCP is not supported yet ('{text}'): use UDP")
    if address.local is SocketFamily.DESCRIPTOR:
        return None, int(address.host)
    return single_endpoint(address, context.resolve_host, SYSLOG_PORT), None
