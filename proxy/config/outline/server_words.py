"""What server lines say together with the `default-server` lines that they go by.

Those of the section and of its `defaults` sections count, as far as they stand before the line.
"""

from __future__ import annotations

from proxy.config.lines.server.lines import FROM, NAMED
from proxy.config.lines.server.options import argument_count
from proxy.config.outline.compare import SERVERS
from proxy.config.outline.heirs import DEFAULTS, Sections, parents_of
from proxy.config.outline.sections import OutlinedSection, SectionKey
from proxy.config.text.sources import SourceLine

Words = tuple[str, ...]
Templates = dict[str, Words]  # by their names; "" has the lines without one


class ServerWords:
    """The server lines of one side of a comparison; a section is read when it is asked for."""

    def __init__(self, sections: Sections) -> None:
        self._sections = sections
        self._parents = parents_of(sections)
        self._ends: dict[SectionKey, Templates] = {}
        self._said: dict[int, Words] = {}  # by the id of a line

    def of(self, section: OutlinedSection | None, line: SourceLine) -> Words:
        """All options of the line's servers, in the order in which they are read.

        A line that is none of the section's is that of a server added to it: lines without a name
        are not for that.
        """
        if section is not None and section.key not in self._ends:
            self._read(section.key)
        if id(line) in self._said:
            return self._said[id(line)]
        name, options = _named(line.words[3:], FROM)
        templates = {} if section is None or not name else self._ends[section.key]
        return templates.get(name, ()) + options

    def _read(self, key: SectionKey) -> None:
        lineage, each = [key], self._parents.get(key)
        while each is not None and each not in lineage:
            lineage.append(each)
            each = self._parents.get(each)
        templates: Templates = {}
        for each in reversed(lineage):
            if each not in self._ends:
                self._ends[each] = self._after(self._sections[each], templates)
            templates = self._ends[each]

    def _after(self, section: OutlinedSection, inherited: Templates) -> Templates:
        """The templates behind the last line of a section."""
        templates = dict(inherited)
        for line in section.lines:
            if line.words[0] == "default-server":
                name, options = _named(line.words[1:], NAMED)
                templates[name] = templates.get(name, ()) + options
            elif line.words[0] in SERVERS and section.key.kind != DEFAULTS:
                place = 3 + (line.words[0] == "server-template")
                name, options = _named(line.words[place:], FROM)
                self._said[id(line)] = templates.get(name, ()) + options
        return templates


def _named(words: Words, keyword: str) -> tuple[str, Words]:
    """The template that the words name behind `keyword`, "" for none; the options."""
    if words[:1] != (keyword,):
        return "", words
    return "".join(words[1:2]), words[2:]


def last_of(words: Words, names: tuple[str, ...]) -> Words:
    """The last of these options with its arguments; nothing where none is said."""
    found: Words = ()
    while words:
        size = 1 + argument_count(words)
        if words[0] in names:
            found = words[:size]
        words = words[size:]
    return found
