"""The words that mean something in mode http only, and what HAProxy says of them in mode tcp.

Owns that list, nothing else: no such word does anything here, except that a statistics section
(mode http) may serve metrics through `http-request use-service`.
"""

from __future__ import annotations

from proxy.config.drafts import HttpWord, ProxyDraft
from proxy.config.messages import ConfigError
from proxy.config.words import Handler, Kind, Statement, Table, Word

METRICS_SERVICE = "prometheus-exporter"

_IGNORED = "{} ignored for {} as it requires HTTP mode."
_RULES = "{} rules ignored for {} as they require HTTP mode."
_NEEDS = "{} will be ignored for {} (needs 'mode http')."


def noted(label: str, warning: str = "", *, rule: bool = False) -> Handler[ProxyDraft]:
    """A handler that only remembers that the word was there."""

    def handle(statement: Statement, draft: ProxyDraft) -> None:
        note(statement, draft, label, warning, rule=rule)

    return handle


def note(
    statement: Statement, draft: ProxyDraft, label: str, warning: str, *, rule: bool = False
) -> None:
    """Remember an HTTP word; one of each label is enough to warn."""
    if all(word.label != label or word.rule != rule for word in draft.http_words):
        draft.http_words.append(HttpWord(label, statement.origin, warning, rule))


def _http_request(statement: Statement, draft: ProxyDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'http-request' expects an action")
    metrics = statement.arguments[:2] == ("use-service", METRICS_SERVICE)
    if metrics:
        draft.metrics = True
    note(statement, draft, "'http-request'", _RULES, rule=not metrics)


def _word(label: str, warning: str = "", *, rule: bool = False) -> Word[ProxyDraft]:
    return Word(Kind.HTTP_ONLY, noted(label, warning, rule=rule), negatable=True)


_SILENT = (
    *("errorfile", "errorfiles", "errorloc", "errorloc302", "errorloc303", "http-error"),
    *("http-reuse", "http-send-name-header", "unique-id-format", "unique-id-header"),
    *("max-keep-alive-queue", "ignore-persist", "force-persist"),
)

HTTP_WORDS: Table[ProxyDraft] = {
    "http-request": Word(Kind.HTTP_ONLY, _http_request),
    "http-response": _word("'http-response'", _RULES, rule=True),
    "http-after-response": _word("'http-after-response'", _RULES, rule=True),
    "redirect": _word("'redirect'", _RULES, rule=True),
    "capture": _word("'capture' statement", _IGNORED),
    "declare": _word("'declare'"),
    "cookie": _word("cookie", _NEEDS),
    "monitor-uri": _word("monitor-uri", _NEEDS),
    **{name: _word(f"'{name}'") for name in _SILENT},
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
_LOG_OPTION = "{} not usable with {} (needs 'mode http'). Falling back to 'option tcplog'."

HTTP_OPTIONS: Table[ProxyDraft] = {
    **{name: _word(f"'option {name}'", _IGNORED) for name in _WARNED_OPTIONS},
    **{name: _word(f"'option {name}'") for name in _SILENT_OPTIONS},
    **{name: _word(f"'option {name}'", _LOG_OPTION) for name in ("httplog", "httpslog")},
}

HTTP_TIMEOUTS: Table[ProxyDraft] = {
    name: _word(f"'timeout {name}'") for name in ("http-request", "http-keep-alive", "tarpit")
}

HTTP_BALANCES = frozenset({"uri", "url_param", "hdr"})
HTTP_BALANCE = "Layer 7 hash not possible for {1} (needs 'mode http'). Falling back to round robin."


def warning_text(word: HttpWord, title: str) -> str:
    """What HAProxy says of the word in a TCP section; nothing for most of them."""
    return word.warning.format(word.label, title)
