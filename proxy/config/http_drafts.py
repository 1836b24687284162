"""What a section in mode http answers, while it is being read: lines by their words.

The lines of rules are kept as they are written: conditions name lists, backends and servers that
later lines may make, and in mode tcp none of them means anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from proxy.config.model.http import User
from proxy.config.model.lists import PatternList, Place
from proxy.config.model.matching import Matcher
from proxy.config.model.rules import Converter
from proxy.config.model.settings import Origin


class Expression(msgspec.Struct, frozen=True):
    """One fetch with its patterns: the content of an `acl` line, or of braces."""

    word: str  # as written, for messages
    fetch: str
    arguments: tuple[str, ...]
    matcher: Matcher
    insensitive: bool  # in one of its lists
    lists: tuple[PatternList, ...]  # one of them has to match
    words: tuple[str, ...]  # patterns as they are written; those of files are not among them
    origin: Origin
    converters: tuple[Converter, ...] = ()
    of_file: bool = False


class RuleLine(msgspec.Struct, frozen=True):
    """A line with a rule for requests: its words from the keyword on."""

    words: tuple[str, ...]
    origin: Origin
    lists: dict[str, tuple[Expression, ...]]  # the `acl` lines of its section, also later ones
    environment: Mapping[str, str]
    folder: str = ""  # where the paths of its files begin

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.folder, self.origin)

    @property
    def text(self) -> str:
        """The line as it is shown in messages."""
        return " ".join(self.words)


def written(words: Sequence[str]) -> str:
    """The words of a line, with the quotes that they need; it stays one line."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if word and not re.search(r"[\s\"'#\\\x00-\x1f\x7f]", word):
        return word
    escaped = re.sub(r'(["\\$])', r"\\\1", word)
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda it: f"\\x{ord(it[0]):02x}", escaped) + '"'


class StatsDraft(msgspec.Struct):
    """The `stats` lines of a section."""

    enabled: bool = False
    uri: str | None = None
    show_legends: bool = False
    hide_version: bool = False
    refresh_seconds: int | None = None
    node: str | None = None
    description: str | None = None
    scope: tuple[str, ...] = ()
    realm: str | None = None
    users: tuple[User, ...] = ()
    rules: tuple[RuleLine, ...] = ()
    admin: RuleLine | None = None
    from_defaults: bool = False  # the first line of the section's own begins another page


class ErrorFile(msgspec.Struct, frozen=True):
    """One `errorfile` line."""

    status: int
    path: str
    origin: Origin


class HttpDraft(msgspec.Struct):
    """All lines about requests of one section."""

    stats: StatsDraft = msgspec.field(default_factory=StatsDraft)
    rules: tuple[RuleLine, ...] = ()
    monitor_uri: str | None = None
    monitor_fail: tuple[RuleLine, ...] = ()
    error_files: dict[int, ErrorFile] = {}
    expressions: dict[str, tuple[Expression, ...]] = {}  # `acl` lines by name
    named: set[str] = set()  # what stands in conditions, of whichever line

    def inherited(self) -> HttpDraft:
        """What another section gets of it."""
        return msgspec.structs.replace(
            self,
            stats=msgspec.structs.replace(self.stats, from_defaults=True),
            error_files=dict(self.error_files),
            expressions={},  # rules of `defaults` keep theirs
            named=set(),
        )


class UserListDraft(msgspec.Struct):
    """A `userlist` section; members are checked when all of it is known."""

    name: str
    origin: Origin
    users: dict[str, User] = {}
    members: dict[str, tuple[str, ...]] = {}  # of each group, as its line has them

    def groups_of(self, user: User) -> frozenset[str]:
        """The groups of a user, by its own line and by theirs."""
        named = {group for group, members in self.members.items() if user.name in members}
        return frozenset((*user.groups, *named))
