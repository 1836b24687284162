"""The sections that a `defaults` section is for, and which of them a line of it reaches."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.outline.compare import subject_of
from proxy.config.outline.sections import OutlinedSection, SectionKey
from proxy.config.sections import PROXY_KINDS

DEFAULTS = "defaults"
NAMED_MAX = 3  # heirs that are told by their names

Sections = dict[SectionKey, OutlinedSection]


def parents_of(sections: Sections) -> dict[SectionKey, SectionKey]:
    """The `defaults` section of each section that has one: that behind `from`, or the last one."""
    found: dict[SectionKey, SectionKey] = {}
    last: SectionKey | None = None
    for key, section in sections.items():
        if key.kind not in PROXY_KINDS:
            continue
        words = section.header.words
        if "from" in words[1:3] and words[-1] != "from":
            parent = SectionKey(DEFAULTS, words[words.index("from", 1) + 1])
            if parent in sections:
                found[key] = parent
        elif key.kind != DEFAULTS and last is not None:
            found[key] = last
        if key.kind == DEFAULTS:
            last = key
    return found


def reached(
    sections: Sections,
    parents: dict[SectionKey, SectionKey],
    origin: SectionKey,
    subject: tuple[str, ...],
) -> Iterator[SectionKey]:
    """Proxies for which a line of the section `origin` counts: none nearer says that itself.

    `default-server` lines that are nearer add to it.
    """
    for key in sections:
        if key.kind == DEFAULTS or key.kind not in PROXY_KINDS:
            continue
        seen: SectionKey | None = key
        while seen is not None and seen != origin:
            seen = None if _says(sections[seen], subject) else parents.get(seen)
        if seen == origin:
            yield key


def _says(section: OutlinedSection, subject: tuple[str, ...]) -> bool:
    if subject[0] == "default-server":
        return False
    return any(subject_of(line.words) == subject for line in section.lines)


def told_heirs(found: list[SectionKey]) -> str:
    """`for frontend web, backend be`; `for 12 sections`."""
    if not found:
        return "for no section"
    if len(found) > NAMED_MAX:
        return f"for {len(found)} sections"
    return "for " + ", ".join(map(str, found))
