"""The words with a meaning in mode http only, and HAProxy's warnings about them in mode tcp.

Owns that list only: no such word has an effect here. `http-request`, with which a statistics
section (mode http) serves metrics, has a file of its own.
"""

from __future__ import annotations

from proxy.config.drafts import HttpWord, ProxyDraft, ProxyKind, Side
from proxy.config.http_drafts import ErrorFile, RuleLine
from proxy.config.lines.shapes import (
    ALONE,
    ALONE_LENIENT,
    NUMBER_LENIENT,
    ONE_LENIENT,
    TIME,
    TWO_LENIENT,
    ArgumentShape,
    one_of,
)
from proxy.config.lines.table import Prefix, Statement, Table, Treatment, Word, works
from proxy.config.lines.wrong_side import side_of_option, side_of_word
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import full_path
from proxy.config.text.units import parse_number

CAPTURE_MAX = 65_535  # characters of a value
ERROR_CODES = (
    *("200", "400", "401", "403", "404", "405", "407", "408", "410", "413", "421", "422", "425"),
    *("429", "500", "501", "502", "503", "504"),
)

_IGNORED = "{} ignored for {} as it requires HTTP mode."
_STATEMENT = "{} statement ignored for {} as it requires HTTP mode."
REDIRECT = "'redirect'"
RULES = "{} rules ignored for {} as they require HTTP mode."
_NEEDS = "{} will be ignored for {} (needs 'mode http')."


def note(
    statement: Statement,
    draft: ProxyDraft,
    label: str,
    warning: str,
    *,
    side: Side = Side.BOTH,
    rule: bool = False,
) -> None:
    """Add an HTTP word to the draft, or remove it after `no`: one of each label, but each rule."""
    if statement.prefix is not Prefix.NONE:
        forget(draft, label)
    elif not noted(draft, label):
        draft.http_words.append(HttpWord(label, statement.origin, warning, side))
    if rule:
        draft.http.rules = (*draft.http.rules, rule_line(statement, draft))


def noted(draft: ProxyDraft, label: str) -> bool:
    """Whether the draft has this word: a look at one of each label, not at each rule."""
    return any(word.label == label for word in draft.http_words)


def warn_order(statement: Statement, rule: str, earlier: str) -> None:
    """HAProxy's warning about a rule that is not in force where it stands."""
    statement.warn(f"{rule} rule placed after {earlier} rule will still be processed before.")


def rule_line(statement: Statement, draft: ProxyDraft, *before: str) -> RuleLine:
    """A line with a rule; `before` are words before the statement's."""
    words = (*before, *statement.words)
    context = statement.context
    folder = full_path("", "", context, statement.origin)
    expressions = draft.http.expressions
    return RuleLine(words, statement.origin, expressions, context.environment, folder)


def forget(draft: ProxyDraft, *labels: str) -> None:
    """Remove the words of an earlier line or of `defaults`."""
    draft.http_words = [word for word in draft.http_words if word.label not in labels]


def _noted(
    label: str,
    warning: str = "",
    side: Side = Side.BOTH,
    *,
    rule: bool = False,
    negatable: bool = False,
    shape: ArgumentShape | None = None,
) -> Word[ProxyDraft]:
    """A word that is only stored: the mode of the section is known at its end."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        note(statement, draft, label, warning, side=side, rule=rule)

    return Word(Treatment.HTTP_ONLY, handle, negatable=negatable, shape=shape)


def _word(
    name: str, warning: str = "", *, rule: bool = False, shape: ArgumentShape | None = None
) -> Word[ProxyDraft]:
    return _noted(f"'{name}'", warning, side_of_word(name), rule=rule, shape=shape)


def _option(name: str, warning: str = "") -> Word[ProxyDraft]:
    return _noted(
        f"'option {name}'",
        warning,
        side_of_option(name),
        negatable=name not in _NOT_NEGATABLE,
        shape=_OPTION_SHAPES.get(name, ALONE),
    )


def _capture(statement: Statement, draft: ProxyDraft) -> None:
    """HAProxy warns of `capture cookie` in a TCP section, and not of the captures of headers."""
    what = " ".join(statement.arguments[:2])
    words = statement.arguments
    if words[:1] == ("cookie",):
        statement = statement.pass_over(4, "'capture cookie'")
        words = statement.arguments[1:]
    elif what in ("request header", "response header"):
        statement.at_most(5)
        words = statement.arguments[2:]
    else:
        raise ConfigError("'capture' expects 'cookie', 'request header' or 'response header'")
    if len(words) != 3 or words[1] != "len":
        raise ConfigError(f"'capture {what}' expects a name and 'len <number>'")
    parse_number(words[2], 0, CAPTURE_MAX)
    warning = _STATEMENT if statement.words[1] == "cookie" else ""
    note(statement, draft, "'capture'", warning, side=side_of_word("capture"))


def _declare(statement: Statement, draft: ProxyDraft) -> None:
    """A place for what is captured: log lines tell it, and nothing here fills it."""
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'declare' not available in default section")
    if not draft.kind.accepts:
        raise ConfigError("'declare' only available in frontend or listen section")
    if int(statement.arguments[3]) == 0:
        raise ConfigError("length must be > 0")
    if statement.arguments[1] == "request":
        draft.captures += 1
    else:
        draft.answer_captures += 1


def _redirect(statement: Statement, draft: ProxyDraft) -> None:
    if draft.kind is ProxyKind.DEFAULTS:
        raise ConfigError("'redirect' not allowed in 'defaults' section.")
    if draft.switches:
        warn_order(statement, "a 'redirect'", "a 'use_backend'")
    note(statement, draft, REDIRECT, RULES, rule=True)


def _monitor_uri(statement: Statement, draft: ProxyDraft) -> None:
    draft.http.monitor_uri = statement.one("an URI")
    note(statement, draft, "'monitor-uri'", _NEEDS, side=side_of_word("monitor-uri"))


def _error_file(statement: Statement, draft: ProxyDraft) -> None:
    """The file is read where the section sends such an answer (linking/http.py)."""
    status, path = statement.arguments[:2]
    if status not in ERROR_CODES:
        raise ConfigError(
            f"'errorfile': status code '{status}' not handled; the codes are "
            f"{', '.join(ERROR_CODES)}"
        )
    draft.http.error_files[int(status)] = ErrorFile(int(status), path, statement.origin)
    note(statement, draft, "'errorfile'", "")


_SILENT: dict[str, ArgumentShape | None] = {
    "errorloc": TWO_LENIENT,
    "errorloc302": TWO_LENIENT,
    "errorloc303": TWO_LENIENT,
    "errorfiles": None,
    "http-error": None,
    "http-reuse": one_of("never", "safe", "aggressive", "always"),
    "http-send-name-header": ONE_LENIENT,
    "unique-id-header": ONE_LENIENT,
    "max-keep-alive-queue": NUMBER_LENIENT,
}
_DECLARE = ArgumentShape(
    4,
    4,
    lenient=True,
    form="capture (request|response) len [0-9]+",
    expected="'capture request|response len <number>'",
    joined=True,
)
_COOKIE = ArgumentShape(
    least=1,
    before=1,
    expected="a name",
    options=dict.fromkeys(
        (
            *("rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve"),
            *("httponly", "secure", "dynamic"),
        ),
        0,
    )
    | dict.fromkeys(("domain", "maxidle", "maxlife", "attr"), 1),
)
_OPTION_SHAPES = {
    "forwardfor": ArgumentShape(options={"except": 1, "header": 1, "if-none": 0}),
    "originalto": ArgumentShape(options={"except": 1, "header": 1}),
    "forwarded": None,
    "http-restrict-req-hdr-names": one_of("preserve", "reject", "delete"),
    "httplog": one_of("clf", least=0),
    "httpslog": ALONE_LENIENT,
}

HTTP_WORDS: Table[ProxyDraft] = {
    "http-response": _word("http-response", RULES, rule=True),
    "http-after-response": _word("http-after-response", RULES, rule=True),
    "redirect": Word(Treatment.HTTP_ONLY, _redirect),
    "capture": Word(Treatment.HTTP_ONLY, _capture),
    "cookie": _word("cookie", _NEEDS, shape=_COOKIE),
    "monitor-uri": Word(Treatment.HTTP_ONLY, _monitor_uri),
    "declare": works(_declare, shape=_DECLARE),
    "errorfile": Word(Treatment.HTTP_ONLY, _error_file, shape=TWO_LENIENT),
    **{name: _word(name, shape=shape) for name, shape in _SILENT.items()},
}

_WARNED_OPTIONS = (
    *("accept-invalid-http-request", "accept-invalid-http-response", "checkcache", "forwardfor"),
    *("accept-unsafe-violations-in-http-request", "accept-unsafe-violations-in-http-response"),
    *("forwarded", "http-buffer-request", "http-ignore-probes", "http-no-delay"),
    *("http-pretend-keepalive", "http-use-proxy-header", "idle-close-on-response", "originalto"),
)
_SILENT_OPTIONS = (
    *("h1-case-adjust-bogus-client", "h1-case-adjust-bogus-server", "http-keep-alive"),
    *("http-restrict-req-hdr-names", "http-server-close", "httpclose", "disable-h2-upgrade"),
    *("http-drop-request-trailers", "http-drop-response-trailers"),
)
_NOT_NEGATABLE = frozenset(
    {"httplog", "httpslog", "forwardfor", "forwarded", "originalto", "http-restrict-req-hdr-names"}
)
HTTP_LOG_OPTIONS = ("httplog", "httpslog")
HTTP_LOG_LABELS = tuple(f"'option {name}'" for name in HTTP_LOG_OPTIONS)
_LOG_OPTION = "{} not usable with {} (needs 'mode http'). Falling back to 'option tcplog'."

HTTP_OPTIONS: Table[ProxyDraft] = {
    **{name: _option(name, _IGNORED) for name in _WARNED_OPTIONS},
    **{name: _option(name) for name in _SILENT_OPTIONS},
    **{name: _option(name, _LOG_OPTION) for name in HTTP_LOG_OPTIONS},
}

# The words that a statistics section honours, and rules, each of which it honours or refuses.
HONOURED_LABELS = frozenset(
    {
        *("'stats' statement", "'monitor-uri'", "'monitor fail'", "'errorfile'"),
        *("'http-request'", "'http-response'", "'http-after-response'", REDIRECT),
    }
)

HTTP_TIMEOUTS: Table[ProxyDraft] = {
    name: _noted(f"'timeout {name}'", shape=TIME)
    for name in ("http-request", "http-keep-alive", "tarpit")
}

HTTP_BALANCES = frozenset({"uri", "url_param", "hdr"})
HTTP_BALANCE = "Layer 7 hash not possible for {1} (needs 'mode http'). Falling back to round robin."


def warning_text(word: HttpWord, draft: ProxyDraft) -> str:
    """HAProxy's warning about the word in a TCP section; "" for many of them."""
    if not word.side.fits(draft.kind):
        return ""
    return word.warning.format(word.label, draft.title)
