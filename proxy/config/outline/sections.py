"""Lines as sections, and words as a file would have them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from proxy.config.model.settings import Origin
from proxy.config.sections import SECTIONS
from proxy.config.text.sources import SourceLine

SINGLE = ("global",)  # their lines are those of one section, however many headers there are
_PLAIN = re.compile(r"[^\s#\"'\\]+")
_ESCAPED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


class SectionKey(NamedTuple):
    """By what a section is found again: its number tells apart those that have one name."""

    kind: str
    name: str = ""
    number: int = 0

    def __str__(self) -> str:
        """As messages name it."""
        number = f" #{self.number + 1}" if self.number else ""
        return f"{self.kind} {self.name}".strip() + number


class OutlinedSection(NamedTuple):
    """One section: its header and its lines."""

    key: SectionKey
    header: SourceLine
    lines: list[SourceLine]


def sections_of(lines: Iterable[SourceLine]) -> dict[SectionKey, OutlinedSection]:
    """All sections in the order of their first lines; what precedes any is one without a kind."""
    found: dict[SectionKey, OutlinedSection] = {}
    counted: dict[tuple[str, str], int] = {}
    section: OutlinedSection | None = None
    for line in lines:
        kind = line.words[0]
        if kind in SECTIONS or section is None:
            opens = kind in SECTIONS
            name = "" if not opens or line.words[1:2] in ((), ("from",)) else line.words[1]
            number = counted.get((kind, name), 0)
            if kind not in SINGLE:
                counted[kind, name] = number + 1
            key = SectionKey(kind if opens else "", name, number)
            header = line if opens else SourceLine(Origin(), ())
            section = found.setdefault(key, OutlinedSection(key, header, []))
            if opens:
                continue
        section.lines.append(line)
    return found


def written(words: Iterable[str]) -> str:
    """Words as a line of a file that says the same."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    if "'" not in word and word.isprintable():
        return f"'{word}'"
    return "".join(_ESCAPED.get(each, f"\\{each}" if each in " #\"'\\" else each) for each in word)
