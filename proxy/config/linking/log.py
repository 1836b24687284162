"""The `AccessLog` of a frontend from its log words and the global ones.

Owns the precedence of these words. A format is parsed here, for a section that logs TCP
connections: in `defaults` it may be meant for HTTP. `build_access_log` needs checked drafts. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from proxy.config.drafts import GlobalDraft, ProxyDraft, ProxyKind
from proxy.config.lines.http import HTTP_LOG_LABELS
from proxy.config.lines.log import DEFAULT_FORMAT, TCP_FORMAT
from proxy.config.lines.rules.arguments import captured
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.log_format import parse_log_format
from proxy.config.linking.rules.conditions import SectionIndex, ValueLinker
from proxy.config.model.lists import NOWHERE, Place
from proxy.config.model.settings import AccessLog, LogItem, LogTarget
from proxy.config.text.messages import ConfigError, Messages

CAPTURES = ("hr", "hrl")  # variables that tell them


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


def _items(draft: ProxyDraft, directory: SectionIndex) -> tuple[LogItem, ...]:
    said = draft.log_format
    environment = {} if said is None else said.environment
    place = NOWHERE if said is None else Place(said.folder, said.origin)
    return _linked(parse_log_format(_wanted_format(draft), environment, place), draft, directory)


def _linked(
    items: tuple[LogItem, ...], draft: ProxyDraft, directory: SectionIndex
) -> tuple[LogItem, ...]:
    """Items whose expressions have numbers instead of names; ConfigError."""
    values = ValueLinker(directory, draft.name, 0, front=draft.name, stage=Scope.LOG)
    captures = tuple(
        directory.variables.number(captured(slot), Scope.LOG) for slot in range(draft.captures)
    )
    return tuple(
        replace(_empty_captures(item, draft.answer_captures), value=values.value(item.value))
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
    try:
        items = _items(draft, directory)
    except ConfigError as error:
        assert draft.log_format is not None, "the built-in format has no error"
        origin = draft.log_format.origin
        if not messages.failed_at(origin):  # of `defaults`: once for all sections
            messages.alert(f"failed to parse log-format : {error}", origin)
        return
    if items and not draft.logs and not (draft.log_global and global_logs):
        what = "proxy" if draft.kind is ProxyKind.LISTEN else draft.kind.value
        messages.warning(
            f"log format ignored for {what} '{draft.name}' since it has no log address."
        )


def build_access_log(
    draft: ProxyDraft, global_draft: GlobalDraft, directory: SectionIndex
) -> AccessLog | None:
    """How a frontend's connections are logged; None: not at all."""
    own = list(draft.logs)
    if draft.log_global:
        own = [*(log for log in global_draft.logs if log not in own), *own]
    if not own or not _logs_connections(draft):
        return None
    return AccessLog(
        targets=_with_format(own, global_draft),
        tag=draft.log_tag or global_draft.log_tag,
        items=_items(draft, directory),
        skip_null=draft.log_skip_null,
        skip_normal=draft.log_skip_normal,
        separate_errors=draft.log_separate_errors,
        as_soon=draft.log_as_soon,
    )
