"""Sections that serve statistics to HTTP clients, and the lines that they do not honour.

Owns the definition of a statistics section, and the messages about lines that it does not honour: a
line that could deny access is an error, the others are listed in a notice. Changes no draft.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.http import HONOURED_LABELS
from proxy.config.linking.http import REDIRECT, SectionLinker
from proxy.config.linking.rules.conditions import SectionIndex
from proxy.config.text.messages import Messages

_ANSWERS = frozenset(
    ("http-request", action) for action in ("use-service", "return", "deny", "auth", "redirect")
)


def answers_itself(draft: ProxyDraft) -> bool:
    """Whether a section has lines that say what it answers: nothing is forwarded in mode http."""
    http = draft.http
    alive = http.monitor_uri is not None and draft.kind.accepts
    own = any(line.words[:2] in _ANSWERS or line.words[0] == REDIRECT for line in http.rules)
    forwards = draft.servers or draft.default_backend is not None or draft.switches
    page = 503 in http.error_files and not forwards  # often inherited by all sections
    return draft.mode == "http" and (http.stats.enabled or alive or own or page)


def shown_section(draft: ProxyDraft, backends: Mapping[str, ProxyDraft]) -> ProxyDraft | None:
    """The section whose statistics are served to clients of this one; None if it forwards them.

    That is the section itself, or the backend of all its clients.
    """
    name = draft.switched_backend or draft.default_backend
    found = backends.get(name) if name is not None and draft.kind.accepts else None
    if found is not None and found is not draft and not found.disabled and answers_itself(found):
        return found
    return draft if answers_itself(draft) else None


def check_direct(draft: ProxyDraft, messages: Messages) -> None:
    """Refuse the PROXY protocol, and other backends, in a section that serves statistics."""
    if draft.rules.some_headed or any(bind.options.accept_proxy for bind in draft.binds):
        messages.alert(
            f"the PROXY protocol is not supported in {draft.title}: statistics are served "
            "to direct clients",
            draft.origin,
        )
    for rule in draft.rules.backends if draft.switched_backend is None else ():
        messages.alert(
            f"'{rule.line.text}' is not supported in {draft.title} : its clients are answered "
            "here, and none is led to another backend: give these a frontend of their own",
            rule.line.origin,
        )


def check_section(
    draft: ProxyDraft, shown: ProxyDraft, directory: SectionIndex, messages: Messages
) -> None:
    """Add an error for each line that is not honoured, and one notice of words without effect."""
    linker = SectionLinker(draft, shown, directory, messages)
    section = linker.section("", "")
    _report_skipped(draft, linker.unused_files(section), messages)


def _report_skipped(draft: ProxyDraft, files: Sequence[str], messages: Messages) -> None:
    labels = [word.label for word in draft.http_words if draft.mode == "http"]
    labels += [f"'{name}'" for name, given in _limits(draft) if given]
    skipped = [label for label in dict.fromkeys(labels) if label not in HONOURED_LABELS]
    skipped += files
    if skipped:
        messages.notice(
            f"{', '.join(skipped)} without effect in {draft.title}: it forwards nothing, and "
            "answers as its own lines say",
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
