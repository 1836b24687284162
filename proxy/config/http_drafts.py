"""What a section in mode http answers, while it is being read: lines by their words.

The lines of rules are kept as they are written: conditions name lists, backends and servers that
later lines may make, and in mode tcp none of them means anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from proxy.config.model.http import User
from proxy.config.model.rules import Converter, Matcher
from proxy.config.model.settings import Origin


class Expression(msgspec.Struct, frozen=True):
    """One fetch with its patterns: the content of an `acl` line, or of braces."""

    word: str  # as written, for messages
    fetch: str
    arguments: tuple[str, ...]
    matcher: Matcher
    insensitive: bool
    patterns: bytes  # the list; b"": the matcher needs none
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
    def text(self) -> str:
        """The line as it is shown in messages."""
        return " ".join(self.words)


def written(words: Sequence[str]) -> str:
    """Words as a line has them, with the quotes that they need."""
    return " ".join(
        '"' + re.sub(r'(["\\$])', r"\\\1", word) + '"'
        if re.search(r"[\s\"'#\\]", word) or not word
        else word
        for word in words
    )


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
