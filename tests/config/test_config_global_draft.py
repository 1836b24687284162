"""What is read of `global` and what it becomes have the same fields and defaults."""

from __future__ import annotations

import msgspec

from proxy.config.drafts import GlobalDraft
from proxy.config.model.settings import Global

# spent on other sections, not kept
OF_READING = {"splice", "accept_families"} | {
    "tls",
    "key_beside",
    "key_replaces_suffix",
    "tls_refused",
    "shared_settings",
}


def defaults(of: msgspec.Struct) -> dict[str, object]:
    """Field by field; a list that grows becomes a tuple."""
    values = msgspec.structs.asdict(of)
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def test_a_draft_without_lines_is_a_section_without_lines() -> None:
    draft = defaults(GlobalDraft())
    assert draft.keys() >= OF_READING
    kept = {name: value for name, value in draft.items() if name not in OF_READING}
    assert kept == defaults(Global())
