"""`http-request`, with which a statistics section serves metrics (manual section 4.2).

Owns the lines that are honoured: the exporter, on every path or on the paths of its condition. Any
other line is a rule that could deny access, and is stored as one: a section that serves statistics
refuses it.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.http import RULES, note
from proxy.config.lines.table import Statement, Treatment, Word
from proxy.config.text.messages import ConfigError

EXPORTER = "http-request use-service prometheus-exporter"
_OR = ("or", "||")


def _http_request(statement: Statement, draft: ProxyDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'http-request' expects an action")
    paths: tuple[str, ...] | None = None
    if " ".join(statement.words[:3]) == EXPORTER:
        paths = _paths_of_condition(statement.words[3:])
        if paths is not None:
            draft.metrics_paths = _together(draft.metrics_paths, paths)
    note(statement, draft, "'http-request'", RULES, rule=paths is None)


def _together(known: tuple[str, ...] | None, more: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of two lines; () is every path."""
    return () if known == () or more == () else tuple(dict.fromkeys((*(known or ()), *more)))


def _paths_of_condition(words: tuple[str, ...]) -> tuple[str, ...] | None:
    """The paths of `if { path <path>... } [or { path ... }]...`; None for any other condition.

    () without a condition.
    """
    if not words:
        return ()
    paths: list[str] = []
    separator, rest = words[0] == "if", words[1:]
    while separator and rest[:2] == ("{", "path") and "}" in rest:
        end = rest.index("}")
        patterns = rest[2:end]
        if not patterns or any(pattern.startswith("-") for pattern in patterns):  # -i, -m, -f ...
            return None
        paths += patterns
        if end + 1 == len(rest):
            return tuple(paths)
        separator, rest = rest[end + 1] in _OR, rest[end + 2 :]
    return None


HTTP_REQUEST: Word[ProxyDraft] = Word(Treatment.HTTP_ONLY, _http_request)
