"""What differs between two configurations, line by line.

Lines that say the same are found wherever they stand in their section; of the rest those that are
about the same thing (a server of that name, that time-out) are one line that changed. Order counts
where words make rules or a sequence of servers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import zip_longest

import msgspec

from proxy.config.lines.server.options import argument_count
from proxy.config.model.settings import Origin
from proxy.config.outline.secrets import without_secrets
from proxy.config.outline.sections import OutlinedSection, SectionKey, written
from proxy.config.text.sources import SourceLine

ADDRESS = "address"  # of a server: an option without a word of its own
SERVERS = ("server", "server-template")
_SUBJECT_WORDS = {  # how many words say what a line is about; of others the first alone
    **dict.fromkeys(("timeout", "option", "hold", "nameserver", "user", "group", "peer"), 2),
    **dict.fromkeys(("server", "server-template", "acl", "bind", "log", "mailer", "table"), 2),
    **dict.fromkeys(("http-check", "tcp-check", "tcp-request", "tcp-response", "setenv"), 2),
    **dict.fromkeys(("presetenv", "rate-limit", "stats", "http-request", "errorfile"), 2),
}
_STATS_SOCKET = ("stats", "socket")
_TEMPLATE = ("default-server", "name")
_ORDERED = {
    *("acl", "http-after-response", "http-check", "http-request", "http-response", "stick"),
    *("tcp-check", "tcp-request", "tcp-response", "use-server", "use_backend"),
}
_ORDERED_TOGETHER = (*SERVERS, "default-server")  # such a line counts for servers behind it


class LineChange(Enum):
    """What became of a line or a section."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"
    MOVED = "order"


class Difference(msgspec.Struct, frozen=True):
    """One thing that differs; without a subject it is the whole section."""

    change: LineChange
    section: SectionKey
    subject: tuple[str, ...] = ()  # the first words of the line; of a server also the option
    old: tuple[str, ...] = ()  # a line that is gone, or what stood behind the subject
    new: tuple[str, ...] = ()  # a line that is new, or what stands there now
    old_origin: Origin = Origin()
    new_origin: Origin = Origin()
    option: str = ""  # of a server that has changed: which
    lines: int = 0  # of a section that came or went

    @property
    def origin(self) -> Origin:
        """Where the line is now, or where it was."""
        return self.old_origin if self.change is LineChange.REMOVED else self.new_origin

    @property
    def text(self) -> str:
        """What happened, in the words of the file."""
        about = written(self.subject)
        if self.change is LineChange.MOVED:
            return f"other order of '{about}' lines"
        if not self.subject:
            many = "line" if self.lines == 1 else "lines"
            return "section" + (f" ({self.lines} {many})" if self.lines else "")
        if self.change is not LineChange.CHANGED:
            return written(self.old or self.new)
        if self.old == self.new:  # but for what is not shown
            return f"{about}: another secret ({written(self.new)})"
        return f"{about}: {written(self.old) or '(none)'} -> {written(self.new) or '(none)'}"


def subject_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """The first words of a line, which say what it is about; `no option x` is about `option x`."""
    if words[0] in ("no", "default") and len(words) > 1:
        words = words[1:]
    if words[:2] == _TEMPLATE:
        return words[:3]
    count = _SUBJECT_WORDS.get(words[0], 1)
    return words[: count + (words[:2] == _STATS_SOCKET)]


def compare(
    old: dict[SectionKey, OutlinedSection], new: dict[SectionKey, OutlinedSection]
) -> Iterator[Difference]:
    """All differences: by section, in the order of the new ones, those that are gone last."""
    for key, section in new.items():
        if key in old:
            yield from _compare_sections(old[key], section)
        else:
            origin, count = section.header.origin, len(section.lines)
            yield Difference(LineChange.ADDED, key, new_origin=origin, lines=count)
    for key, section in old.items():
        if key not in new:
            origin, count = section.header.origin, len(section.lines)
            yield Difference(LineChange.REMOVED, key, old_origin=origin, lines=count)


def _compare_sections(old: OutlinedSection, new: OutlinedSection) -> Iterator[Difference]:
    key = new.key
    if old.header.words != new.header.words:
        yield from _changed(key, old.header, new.header, new.header.words[:2])
    if [line.words for line in old.lines] == [line.words for line in new.lines]:
        return
    gone = _lacking(old.lines, new.lines)
    come = _lacking(new.lines, old.lines)
    for subject in dict.fromkeys((*come, *gone)):
        for before, after in zip_longest(gone.get(subject, ()), come.get(subject, ())):
            if before is None:
                come_line = without_secrets(after)
                yield Difference(
                    LineChange.ADDED, key, subject, new=come_line.words, new_origin=after.origin
                )
            elif after is None:
                gone_line = without_secrets(before)
                yield Difference(
                    LineChange.REMOVED, key, subject, old=gone_line.words, old_origin=before.origin
                )
            else:
                yield from _changed(key, without_secrets(before), without_secrets(after), subject)
    settled = {id(line) for lines in (*gone.values(), *come.values()) for line in lines}
    yield from _moved(old, new, settled)


def _lacking(
    lines: Iterable[SourceLine], others: Iterable[SourceLine]
) -> dict[tuple[str, ...], list[SourceLine]]:
    """Lines that have no equal among the others, by subject."""
    known = Counter(line.words for line in others)
    found: dict[tuple[str, ...], list[SourceLine]] = defaultdict(list)
    for line in lines:
        if known[line.words]:
            known[line.words] -= 1
        else:
            found[subject_of(line.words)].append(line)
    return found


def _changed(
    key: SectionKey, before: SourceLine, after: SourceLine, subject: tuple[str, ...]
) -> Iterator[Difference]:
    """A line that says something else; of a server each option that does."""
    old, new = (
        words[len(subject) :] if words[: len(subject)] == subject else words
        for words in (before.words, after.words)
    )
    found = [("", old, new)]
    if subject[0] in SERVERS:
        found = list(_differing_options(old, new)) or found
    for option, was, now in found:
        named = option not in ("", ADDRESS) and max(len(was), len(now)) > 1
        yield Difference(
            LineChange.CHANGED,
            key,
            (*subject, option) if named else subject,
            was[named:],
            now[named:],
            before.origin,
            after.origin,
            option,
        )


def options_of(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The options of a server line behind its name, each with its arguments; the address is one."""
    options = {ADDRESS: words[:1]}
    words = words[1:]
    while words:
        size = 1 + argument_count(words)
        options[words[0]] = words[:size]
        words = words[size:]
    return options


def _differing_options(
    old: tuple[str, ...], new: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The options that two servers do not have alike, and how each has it."""
    before, after = options_of(old), options_of(new)
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield name, before.get(name, ()), after.get(name, ())


def _moved(old: OutlinedSection, new: OutlinedSection, settled: set[int]) -> Iterator[Difference]:
    """Words whose lines have another order, but for lines that are `settled` (by their id)."""
    was, now = (_ordered(section.lines, settled) for section in (old, new))
    for word, lines in now.items():
        pairs = zip(was[word], lines, strict=True)
        first = next((pair for pair in pairs if pair[0].words != pair[1].words), None)
        if first is not None:
            origins = (first[0].origin, first[1].origin)
            yield Difference(LineChange.MOVED, new.key, (word,), (), (), *origins)


def _ordered(lines: Iterable[SourceLine], settled: set[int]) -> dict[str, list[SourceLine]]:
    """Lines by the words that they are ordered with."""
    found: dict[str, list[SourceLine]] = defaultdict(list)
    for line in lines:
        word = SERVERS[0] if line.words[0] in _ORDERED_TOGETHER else line.words[0]
        if (word in _ORDERED or word == SERVERS[0]) and id(line) not in settled:
            found[word].append(line)
    return found
