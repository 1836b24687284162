"""The `AccessLog` of a frontend from its log words and the global ones.

Owns the precedence of these words. A format is parsed here, for a section that logs TCP
connections: in `defaults` it may be meant for HTTP. `build_access_log` needs checked drafts. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from proxy.config.drafts import GlobalDraft, LogFormatDraft, ProxyDraft, ProxyKind
from proxy.config.lines.http import HTTP_LOG_LABELS
from proxy.config.lines.log import DEFAULT_FORMAT, OTHER_FORMATS, TCP_FORMAT
from proxy.config.lines.rules.arguments import captured
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.log_format import parse_log_format
from proxy.config.linking.rules.conditions import SectionIndex, ValueLinker
from proxy.config.linking.rules.table_names import TableLinker, UnknownTableError
from proxy.config.model.lists import Place
from proxy.config.model.settings import AccessLog, LogItem, LogTarget, Origin
from proxy.config.text.messages import ConfigError, Messages

CAPTURES = ("hr", "hrl")  # variables that tell them
UNIQUE_ID = "unique-id-format"
_OF_SESSIONS = ("log-format", "log-format-sd")  # without a target they are for nothing


def global_targets(draft: GlobalDraft) -> tuple[LogTarget, ...]:
    """The targets of the global section, each with its format."""
    return _with_format(draft.logs, draft)


def _with_format(targets: list[LogTarget], draft: GlobalDraft) -> tuple[LogTarget, ...]:
    usual = "local" if draft.log_host is None else "rfc3164"
    return tuple(
        msgspec.structs.replace(target, format=usual) if target.format == DEFAULT_FORMAT else target
        for target in targets
    )


def _logs_connections(draft: ProxyDraft) -> bool:
    return draft.kind.accepts and not draft.disabled and draft.mode == "tcp"


def _wanted_format(draft: ProxyDraft) -> str:
    """The text of the format, "" without one; for an HTTP log that of the TCP log."""
    if any(word.label in HTTP_LOG_LABELS for word in draft.http_words):
        return TCP_FORMAT
    return draft.log_format.text if draft.log_format is not None else ""


def _formats(draft: ProxyDraft) -> dict[str, LogFormatDraft]:
    """All formats by their word; "log-format" is always there."""
    usual = draft.log_format or LogFormatDraft("", draft.origin)
    return {"log-format": replace(usual, text=_wanted_format(draft)), **draft.log_formats}


def _items(said: LogFormatDraft, draft: ProxyDraft, directory: SectionIndex) -> tuple[LogItem, ...]:
    place = Place(said.folder, said.origin)
    return _linked(parse_log_format(said.text, said.environment, place), draft, directory)


def _linked(
    items: tuple[LogItem, ...], draft: ProxyDraft, directory: SectionIndex
) -> tuple[LogItem, ...]:
    """Items whose expressions have numbers instead of names; ConfigError."""
    values = ValueLinker(directory, draft.name, 0, front=draft.name, stage=Scope.LOG)
    tables = TableLinker(directory, draft.name, "sample fetch keyword", "log-format string")
    captures = tuple(
        directory.variables.number(captured(slot), Scope.LOG) for slot in range(draft.captures)
    )
    return tuple(
        replace(
            _empty_captures(item, draft.answer_captures),
            value=None if item.value is None else values.value(tables.value(item.value)),
        )
        if item.name not in CAPTURES
        else replace(item, captures=captures)
        for item in items
    )


def _empty_captures(item: LogItem, count: int) -> LogItem:
    """`%hs` and `%hsl` as what they say of so many places with nothing in them."""
    quote = '"' if item.quote else ""
    if item.name == "hs" and count:
        return LogItem("text", f"{quote}{{{'|' * (count - 1)}}}{quote}")
    if item.name == "hsl" and count:
        return LogItem("text", " ".join([2 * quote or "-"] * count))
    return item


def check_log_format(
    draft: ProxyDraft, directory: SectionIndex, messages: Messages, *, global_logs: bool
) -> None:
    """Add a message about an error in a frontend's format, or about one without a target."""
    if not _logs_connections(draft):
        return
    items: tuple[LogItem, ...] = ()
    for word, said in _formats(draft).items():
        try:
            found = _items(said, draft, directory)
        except UnknownTableError as error:
            _alert_once(str(error), said.origin, messages)
            return
        except ConfigError as error:
            name = OTHER_FORMATS.get(word, word)
            _alert_once(f"failed to parse {name} : {error}", said.origin, messages)
            return
        if word in _OF_SESSIONS:
            items += found
    if items and not draft.logs and not (draft.log_global and global_logs):
        what = "proxy" if draft.kind is ProxyKind.LISTEN else draft.kind.value
        messages.warning(
            f"log format ignored for {what} '{draft.name}' since it has no log address."
        )


def _alert_once(text: str, origin: Origin, messages: Messages) -> None:
    if not messages.failed_at(origin):  # of `defaults`: once for all sections
        messages.alert(text, origin)


def build_access_log(
    draft: ProxyDraft, global_draft: GlobalDraft, directory: SectionIndex
) -> AccessLog | None:
    """How a frontend's connections are logged; None: not at all."""
    own = list(draft.logs)
    if draft.log_global:
        own = [*(log for log in global_draft.logs if log not in own), *own]
    if not _logs_connections(draft) or not (own or UNIQUE_ID in draft.log_formats):
        return None
    items = {word: _items(said, draft, directory) for word, said in _formats(draft).items()}
    return AccessLog(
        targets=_with_format(own, global_draft),
        tag=draft.log_tag or global_draft.log_tag,
        items=items["log-format"],
        structured=items.get("log-format-sd", ()),
        failed=items.get("error-log-format", ()),
        unique_id=items.get(UNIQUE_ID, ()),
        skip_null=draft.log_skip_null,
        skip_normal=draft.log_skip_normal,
        separate_errors=draft.log_separate_errors,
        as_soon=draft.log_as_soon,
    )
