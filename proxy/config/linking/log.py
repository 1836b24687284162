"""The `AccessLog` of a frontend from its log words and the global ones.

Owns the precedence of these words. A format is parsed here, for a section that logs TCP
connections: in `defaults` it may be meant for HTTP. `build_access_log` needs checked drafts. Pure.
"""

from __future__ import annotations

import msgspec

from proxy.config.drafts import GlobalDraft, ProxyDraft, ProxyKind
from proxy.config.lines.http import HTTP_LOG_LABELS
from proxy.config.lines.log import DEFAULT_FORMAT
from proxy.config.lines.log_format import TCP_FORMAT, parse_log_format
from proxy.config.model.settings import AccessLog, LogItem, LogTarget
from proxy.config.text.messages import ConfigError, Messages


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


def _items(draft: ProxyDraft) -> tuple[LogItem, ...]:
    return parse_log_format(_wanted_format(draft))


def check_log_format(draft: ProxyDraft, messages: Messages, *, global_logs: bool) -> None:
    """Add a message about an error in a frontend's format, or about one without a target."""
    if not _logs_connections(draft):
        return
    try:
        items = _items(draft)
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


def build_access_log(draft: ProxyDraft, global_draft: GlobalDraft) -> AccessLog | None:
    """How a frontend's connections are logged; None: not at all."""
    own = list(draft.logs)
    if draft.log_global:
        own = [*(log for log in global_draft.logs if log not in own), *own]
    if not own or not _logs_connections(draft):
        return None
    return AccessLog(
        targets=_with_format(own, global_draft),
        tag=draft.log_tag or global_draft.log_tag,
        items=_items(draft),
        skip_null=draft.log_skip_null,
        skip_normal=draft.log_skip_normal,
        separate_errors=draft.log_separate_errors,
        as_soon=draft.log_as_soon,
    )
