"""Acls and maps at run time: `show|get|add|set|del|clear|prepare|commit`, each for both.

Owns the words and their errors, as HAProxy has them; what becomes of patterns is patterns.py. As in
HAProxy, each level of a stats socket may do all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from proxy.config.model.lists import ListUse, Reference
from proxy.config.model.matching import MapType, Matcher
from proxy.control.command import Answer, Command, CommandError, Level, Payload
from proxy.control.commands.lists.patterns import ListChange, ListedPatterns, to_bytes
from proxy.control.commands.lists.words import (
    ACL,
    MAP,
    ListKind,
    entries_of,
    is_later,
    order_of,
    shown_order,
    split_version,
)
from proxy.control.limits import PIECES_AT_ONCE
from proxy.control.rows.report import Report
from proxy.lists.changing.editor import ListEditor

_SHARED = (
    "This ACL is shared with a map containing samples. You must use the command 'add map' to add "
    "values."
)
_ADD_USAGE = {
    ACL: "'add acl' expects two parameters: ACL identifier and pattern.",
    MAP: "'add map' expects three parameters (map identifier, key and value) or one parameter "
    "(map identifier) and a payload",
}
_TREES = (Matcher.STR, Matcher.BEG)  # what HAProxy finds without a walk, where case counts
_TYPES = {MapType.TEXT: "str", MapType.NUMBER: "sint"}
_Order = Callable[[ListKind, list[str]], Answer]


class Lists:
    """Orders about lists."""

    def __init__(self, report: Report, beat: Callable[[], None]) -> None:
        """`beat` is called while something takes long."""
        self._beat = beat
        self._runtime = report.runtime
        self._references = self._runtime.settings.references
        self._known: dict[int, ListedPatterns] = {}  # those that were asked for
        self._numbers: dict[str, list[int]] = {}
        for number, said in enumerate(self._references):
            for name in (said.name, f"#{said.id}"):
                self._numbers.setdefault(name, []).append(number)

    def commands(self) -> list[Command]:
        """What this family answers to."""
        found = []
        for kind in (ACL, MAP):
            name = f"<{kind.word}>"
            value = " <value>" if kind is MAP else ""
            described: list[tuple[str, str, str, _Order]] = [
                ("show", f"[[@<ver>] {name}]", f"{kind.word}s, or the entries of one", self.show),
                ("get", f"{name} <value>", f"what the {kind.word} has for a value", self.get),
                ("add", f"[@<ver>] {name} <key>{value}", f"add to {kind.word}s", self.add),
                ("del", f"{name} <key>|#<ref>", "remove entries by their key", self.remove),
                ("clear", f"[@<ver>] {name}", "remove all entries", self.clear),
                ("prepare", name, "begin a version that is seen when committed", self.prepare),
                ("commit", f"@<ver> {name}", "put a version in force", self.commit),
            ]
            if kind is MAP:
                described.append(
                    ("set", f"{name} <key>|#<ref> <value>", "change values of a map", self.set)
                )
            found += [
                Command(
                    *((verb, kind.word), usage, text, Level.USER, partial(_run, order, kind)),
                    takes_payload=verb == "add",
                )
                for verb, usage, text, order in described
            ]
        return found

    def _find(self, kind: ListKind, word: str, *, either: bool = False) -> ListedPatterns:
        """The list of a name or of `#<id>`; `either`: it need not be of this kind."""
        for number in self._numbers.get(word, ()) if word else ():
            if either or _is_of(self._references[number], kind):
                return self._at(number)
        raise kind.unknown

    def _at(self, number: int) -> ListedPatterns:
        if number not in self._known:
            runtime = self._runtime
            if runtime.lists is None:
                raise CommandError("The kernel refused the memory for lists that change.")
            reference = self._references[number]
            self._known[number] = ListedPatterns(
                runtime, runtime.lists, number, reference, self._beat
            )
        return self._known[number]

    def changed(self) -> Iterator[tuple[Reference, ListChange]]:
        """Lists that are not as they were read."""
        for number, reference in enumerate(self._references if self._runtime.lists else ()):
            change = self._at(number).changed()
            if change is not None:
                yield reference, change

    def show(self, kind: ListKind, words: list[str]) -> Answer:
        """`show map|acl [[@<version>] <list>]`."""
        version, rest = split_version(words)
        if not words:
            return self._heads(kind)
        known = self._find(kind, rest[0] if rest else "")
        editor = known.load()
        return _rows(editor, editor.version if version is None else version)

    def _heads(self, kind: ListKind) -> Iterator[str]:
        yield "# id (file) description\n"
        for number, said in enumerate(self._references):
            if _is_of(said, kind):
                known = self._at(number)
                editor = known.editor
                yield (
                    f"{said.id} ({said.name}) {said.description}. curr_ver={editor.version} "
                    f"next_ver={editor.next_version} entry_cnt={known.count}\n"
                )

    def get(self, kind: ListKind, words: list[str]) -> Answer:
        """`get map|acl <list> <value>`."""
        if len(words) < 2:
            raise CommandError(f"Missing {kind.title} identifier and/or key.")
        known = self._find(kind, words[0], either=True)
        if not known.uses:
            return ["type=found, case=sensitive, match=no\n"]
        value = to_bytes(words[1])
        return [
            _finding(kind, use, probe.find(value))
            for use, probe in zip(known.uses, known.probes(), strict=True)
        ]

    def add(self, kind: ListKind, words: list[str]) -> Answer:
        """`add map [@<version>] <list> <key> <value>`, or a payload; `add acl` without values."""
        version, rest = split_version(words)
        payload = rest.pop() if rest and isinstance(rest[-1], Payload) else None
        wanted = 2 if kind is ACL else 3
        if len(rest) < wanted and (payload is None or kind is ACL or not rest):
            raise CommandError(_ADD_USAGE[kind])
        known = self._find(kind, rest[0], either=True)
        if kind is ACL and known.reference.valued:
            raise CommandError(_SHARED)
        if version is not None and is_later(version, known.editor.next_version):
            raise CommandError(
                f"Version number in the future, please use 'prepare {kind.word}' before."
            )
        if kind is ACL:
            return known.add([(rest[1], None)], version)
        if payload is None:
            return known.add([(rest[1], rest[2])], version)
        return known.add(entries_of(payload), version)

    def set(self, kind: ListKind, words: list[str]) -> Answer:
        """`set map <list> <key>|#<number> <value>`."""
        if len(words) < 3:
            raise CommandError("'set map' expects three parameters: map identifier, key and value.")
        known = self._find(kind, words[0], either=True)
        order = order_of(words[1])
        answer = known.give(words[1], order, words[2])
        if answer is None:
            raise CommandError("entry not found." if order == -1 else "key or pattern not found.")
        return answer

    def remove(self, kind: ListKind, words: list[str]) -> Answer:
        """`del map|acl <list> <key>|#<number>`."""
        if len(words) < 2:
            raise CommandError(
                f"This command expects two parameters: {kind.title} identifier and key."
            )
        try:
            known = self._find(kind, words[0])
        except CommandError:
            raise MAP.unknown from None  # as HAProxy, of acls too
        if not known.remove(words[1], order_of(words[1])):
            raise CommandError("Key not found.")
        return []

    def clear(self, kind: ListKind, words: list[str]) -> Answer:
        """`clear map|acl [@<version>] <list>`."""
        version, rest = split_version(words)
        return self._named(kind, rest).change(
            lambda editor: editor.clear(editor.version if version is None else version)
        )

    def prepare(self, kind: ListKind, words: list[str]) -> Answer:
        """`prepare map|acl <list>`."""
        editor = self._find(kind, words[0] if words else "").load()
        version = editor.prepare()
        editor.publish()
        return [f"New version created: {version}\n"]

    def commit(self, kind: ListKind, words: list[str]) -> Answer:
        """`commit map|acl @<version> <list>`."""
        version, rest = split_version(words)
        if version is None:
            raise CommandError("Missing version number.")
        known = self._named(kind, rest)
        editor = known.load()
        if not is_later(version, editor.version) or is_later(version, editor.next_version):
            raise CommandError("Version number out of range.")
        return known.change(lambda editor: editor.commit(version))

    def _named(self, kind: ListKind, words: list[str]) -> ListedPatterns:
        if not words:
            raise CommandError(f"Missing {kind.title} identifier.")
        return self._find(kind, words[0])


def _run(order: _Order, kind: ListKind, words: list[str], _level: Level) -> Answer:
    return order(kind, words)


def _is_of(said: Reference, kind: ListKind) -> bool:
    return said.of_acls if kind is ACL else said.of_maps


def _rows(editor: ListEditor, version: int) -> Iterator[str]:
    rows = editor.rows(version)
    for first in range(0, len(rows), PIECES_AT_ONCE):
        yield "".join(
            " ".join((shown_order(order), *map(_text, (key, value)[: 1 + (value is not None)])))
            + "\n"
            for order, key, value in rows.page(first, PIECES_AT_ONCE)
        )


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="surrogateescape")


def _finding(kind: ListKind, use: ListUse, found: tuple[bytes, bytes | None] | None) -> str:
    """What one list has for a value, as HAProxy says it."""
    case = "insensitive" if use.insensitive else "sensitive"
    said, key = ("match", "pattern") if kind is ACL else ("found", "key")
    first = f"type={use.matcher.value}, case={case}, {said}"
    if found is None:
        return f"{first}=no\n"
    tree = use.matcher is Matcher.IP or (use.matcher in _TREES and not use.insensitive)
    text, value = found
    line = f'{first}=yes, idx={"tree" if tree else "list"}, {key}="{_text(text)}"'
    if kind is ACL:
        return f"{line}\n"
    if value is None or use.gives is None:
        return f"{line}, value=none\n"
    said_value = _text(value)
    type_ = _TYPES.get(use.gives) or ("ipv6" if ":" in said_value else "ipv4")
    return f'{line}, value="{said_value}", type="{type_}"\n'
