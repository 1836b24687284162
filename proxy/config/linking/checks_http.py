"""Sections that serve statistics to HTTP clients, and the lines that they do not honour.

Owns the definition of a statistics section, and the messages about lines that it does not honour: a
line that could deny access is an error, the others are listed in a notice. Changes no draft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import HttpRule, ProxyDraft
from proxy.config.lines.http import HONOURED_LABELS
from proxy.config.lines.proxy.http_request import EXPORTER
from proxy.config.text.messages import Messages


def serves_statistics(draft: ProxyDraft) -> bool:
    """Whether a section serves only metrics, statistics or its health."""
    alive = draft.monitor_uri is not None and draft.kind.accepts
    return draft.mode == "http" and (
        draft.metrics_paths is not None or draft.stats_enabled or alive
    )


def shown_section(draft: ProxyDraft, backends: Mapping[str, ProxyDraft]) -> ProxyDraft | None:
    """The section whose statistics are served to clients of this one; None if it forwards them.

    That is the section itself, or the backend of all its clients.
    """
    if serves_statistics(draft):
        return draft
    name = draft.switched_backend or draft.default_backend
    found = backends.get(name) if name is not None and draft.kind.accepts else None
    usable = found is not None and found is not draft and not found.disabled
    return found if usable and found is not None and serves_statistics(found) else None


def check_direct(draft: ProxyDraft, messages: Messages) -> None:
    """Refuse the PROXY protocol in a section that serves statistics."""
    if draft.expect_proxy or any(bind.options.accept_proxy for bind in draft.binds):
        messages.alert(
            f"the PROXY protocol is not supported in {draft.title}: statistics are served "
            "to direct clients",
            draft.origin,
        )


def asks_for(rules: Sequence[HttpRule]) -> bool:
    """Whether one of the lines serves metrics, under a condition that is not supported."""
    return any(rule.line.startswith(EXPORTER) for rule in rules)


def refusal(rule: HttpRule, draft: ProxyDraft) -> str:
    """The error about a line that could deny access, with advice."""
    return (
        f"'{rule.line}' is not supported yet in {draft.title}: a statistics section serves metrics "
        f"with '{EXPORTER}' alone or with '{EXPORTER} if {{ path <path>... }}'; keep others out "
        "by the address in 'bind' or by the packet filter of the host"
    )


def report_skipped(draft: ProxyDraft, messages: Messages) -> None:
    """List the words without effect in a statistics section in one notice."""
    labels = [word.label for word in draft.http_words if draft.mode == "http"]
    labels += [f"'{name}'" for name, given in _limits(draft) if given]
    skipped = [label for label in dict.fromkeys(labels) if label not in HONOURED_LABELS]
    if skipped:
        messages.notice(
            f"{', '.join(skipped)} without effect in {draft.title}: it serves statistics only",
            draft.origin,
        )


def _limits(draft: ProxyDraft) -> tuple[tuple[str, bool], ...]:
    """Frontend words that have no effect where statistics are served, and if they are given."""
    return (
        ("log", bool(draft.logs) or draft.log_global),
        ("rate-limit sessions", draft.session_rate > 0),
        ("maxconn", draft.maxconn > 0),
        ("maxconn of 'bind'", any(bind.options.maxconn > 0 for bind in draft.binds)),
    )
