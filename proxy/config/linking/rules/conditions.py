"""Conditions and values when all sections are known: names of what there is to numbers.

Owns the errors about names that there are not. Changes no draft.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from proxy.config.http_drafts import Expression, UserListDraft
from proxy.config.lines.rules.arguments import ArgumentReader, is_shared
from proxy.config.lines.rules.expression import READ_AS_VALUES
from proxy.config.lines.rules.fetches import FETCHES, Argument, Scope
from proxy.config.lines.rules.lists import ListReader
from proxy.config.lines.rules.table_words import entry_asked, entry_numbers
from proxy.config.linking.rules.lists import ListTable
from proxy.config.linking.rules.table_names import TableLinker, refuse_tables
from proxy.config.linking.rules.variables import VariableTable
from proxy.config.model.http import AuthQuestion
from proxy.config.model.lists import ListUse
from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.rules import Converter, Format, FormatPart, FormatText, Target, Term, Value
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint
from shm.tables.shape import TableShape

QUESTIONS_MAX = 64  # of one section: a request's answers are the bits of a word
LASTING = ("check", "sess")  # scopes whose variables outlive the step that sets them
VALUES_ALONE = ("hostname", "proc", "nbproc")  # known when the file is read
CONSTANTS = {"zero": 0}
NO_ROWS = (-1, False)  # of a section that answers itself: it has no servers, and no queue


class OwnNumbers(NamedTuple):
    """What rules of a backend may ask of it; its time-outs are 0 where it has none."""

    own_id: int = 0
    own_server_timeout: int = 0
    own_tunnel_timeout: int = 0


class SectionIndex(Protocol):
    """Where the things are that conditions name; None for what there is not, or NO_ROWS."""

    lists: ListTable
    user_lists: Mapping[str, UserListDraft]

    def backend(self, name: str) -> tuple[int, bool] | None:
        """A backend's index, and whether all its backups serve together."""

    def server(self, backend: str, name: str) -> int | None:
        """A server's slot."""

    def frontend(self, name: str) -> int | None:
        """A frontend's index."""

    variables: VariableTable
    backends: Mapping[str, tuple[int, bool]]  # those with servers; as `backend` has them

    def table(self, name: str) -> tuple[int, TableShape] | None:
        """The number of a stick table, and what it is."""

    def own(self, name: str) -> OwnNumbers:
        """What a backend's lines say of it."""


class ConditionLinker:
    """Links the expressions of one section, and collects its questions about users."""

    def __init__(
        self, directory: SectionIndex, section: str = "", tables: TableLinker | None = None
    ) -> None:
        """`section` is the one whose lines are linked; `tables`: None where conditions ask none."""
        self._directory = directory
        self._section = section
        self._tables = tables
        self.environment: Mapping[str, str] = {}  # of the line that is being linked
        self.questions: list[AuthQuestion] = []

    def term(
        self, expression: Expression, then: int, otherwise: int, stage: Scope | None = None
    ) -> Term:
        """The term of an expression; ConfigError for a name that there is not.

        `stage`: where the condition of a connection stands; None for those of requests.
        """
        name = re.split("[(,]", expression.word)[0]
        if expression.fetch == "http_auth_group":  # its patterns are part of the question
            return self._of_groups(expression, then, otherwise, stage)
        if self._tables is None:
            refuse_tables(expression.converters)
            converters = expression.converters
        else:
            converters = self._tables.converters(expression.converters, name)
        fields = {"fetch": expression.fetch, **self._arguments(expression, stage)}
        fields["fetch"] = _fetch_of(fields["fetch"], fields.get("numbers", ()))
        fields |= constant_fields(fields["fetch"], self._section, self._directory)
        return Term(
            **fields,
            matcher=expression.matcher,
            then=then,
            otherwise=otherwise,
            lists=self._directory.lists.numbers(expression),
            pattern=next(iter(expression.words), ""),
            converters=linked_converters(converters, self._directory, stage),
        )

    def _of_groups(
        self, expression: Expression, then: int, otherwise: int, stage: Scope | None
    ) -> Term:
        numbers = self._arguments(expression, stage)["numbers"]
        return Term("http_auth", Matcher.BOOL, then, otherwise, numbers=numbers)

    def _arguments(self, expression: Expression, stage: Scope | None) -> dict[str, Any]:
        """Fields of the term."""
        word = re.split("[(,]", expression.word)[0]
        kind = FETCHES[word].argument
        if kind is Argument.ENTRY and self._tables is not None:
            asked = entry_asked(word, expression.arguments)
            return {"numbers": self._tables.numbers(entry_numbers(word, asked), asked.table)}
        name = expression.arguments[0] if expression.arguments else ""
        if kind in READ_AS_VALUES or word in VALUES_ALONE:
            read = ArgumentReader(word, self.environment).read(kind, expression.arguments)
            table = read.pop("table", None)
            if table is not None and self._tables is not None:
                read["numbers"] = self._tables.numbers(read["numbers"], table)
            variable = read.pop("variable", "")
            if variable:
                number = number_of(variable, self._directory, stage)
                read["numbers"] = (number, *read["numbers"][1:])
            return read
        if kind is Argument.NONE:
            return {}
        if kind in (Argument.NAME, Argument.HEADER):
            occurrence = int(expression.arguments[1]) if len(expression.arguments) > 1 else 0
            return {"text": name, "numbers": (occurrence,)}
        if kind is Argument.USERS:
            return {"numbers": (self._question(expression, name),)}
        return {"numbers": self._numbers(kind, expression, name)}

    def _numbers(self, kind: Argument, expression: Expression, name: str) -> tuple[int, ...]:
        word = re.split("[(,]", expression.word)[0]
        if kind is Argument.BACKEND:
            backend = self._directory.backend(name or self._section)
            if backend is not None:
                return backend[0], int(backend[1])
        else:
            section, _, server = name.rpartition("/")
            section = section or self._section
            found = (
                self._directory.frontend(name or self._section)
                if kind is Argument.FRONTEND
                else self._directory.server(section, server)
            )
            if found is not None:
                return (found,)
            if kind is Argument.SERVER and "/" not in name:
                raise ConfigError(
                    f"unable to find server '{name}' in proxy '{section}', referenced in arg 1 of "
                    f"ACL keyword '{word}' in proxy '{section}'."
                )
        if not name:
            raise ConfigError(
                f"proxy '{self._section}', referenced in arg 1 of ACL keyword '{word}' in proxy "
                f"'{self._section}', has not {kind.name.lower()} capability."
            )
        raise ConfigError(
            f"unable to find {kind.name.lower()} '{name}' that '{expression.word}' names"
        )

    def _question(self, expression: Expression, name: str) -> int:
        lists = self._directory.user_lists
        if name not in lists:
            raise ConfigError(
                f"unable to find userlist '{name}' that '{expression.word}' names"
                f"{hint(name, lists)}"
            )
        found = lists[name]
        users = tuple(found.users.values())
        if expression.fetch == "http_auth_group":
            changed = expression.insensitive or expression.converters or expression.of_file
            if expression.matcher is not Matcher.STR or changed:
                raise ConfigError(f"'{expression.word}' is compared with names of groups only")
            if not expression.words:
                raise ConfigError(f"'{expression.word}' needs the name of a group")
            groups = set(expression.words)
            for group in sorted(groups - found.members.keys()):
                raise ConfigError(
                    f"'{expression.word}': userlist '{name}' has no group '{group}'"
                    f"{hint(group, found.members)}"
                )
            users = tuple(user for user in users if found.groups_of(user) & groups)
        question = AuthQuestion(users)
        if question not in self.questions:
            if len(self.questions) == QUESTIONS_MAX:
                raise ConfigError(f"more than {QUESTIONS_MAX} different conditions about users")
            self.questions.append(question)
        return self.questions.index(question)


def constant_fields(fetch: str, section: str, directory: SectionIndex) -> dict[str, Any]:
    """Fields of a value that is always the same in one section; none for another fetch."""
    if fetch in CONSTANTS:
        return {"fetch": "number", "numbers": (CONSTANTS[fetch], 0)}
    if fetch == "success":  # of a connection that did not fail
        return {"fetch": "text", "text": "Success", "numbers": (0,)}
    if fetch == "own_name":
        return {"fetch": "text", "text": section, "numbers": (0,)}
    if fetch in OwnNumbers._fields:
        return {"fetch": "number", "numbers": (getattr(directory.own(section), fetch), 0)}
    return {}


def _fetch_of(fetch: str, numbers: tuple[int, ...]) -> str:
    """The fetch, or where a section has no rows what says 0; ConfigError for what it does not."""
    if fetch not in ("nbsrv", "queue", "be_conn") or numbers != NO_ROWS:
        return fetch
    if fetch == "be_conn":
        raise ConfigError("'be_conn' counts no sessions of a section that answers itself")
    return "always_false"


def number_of(name: str, directory: SectionIndex, stage: Scope | None) -> int:
    """The number of a variable; ConfigError for a session's where there is none."""
    if is_shared(name):
        return directory.variables.shared(name)
    if stage is None:
        raise ConfigError(f"variables ('{name}') are not supported in rules about requests")
    return directory.variables.number(name, stage)


def with_variables(
    converters: tuple[Converter, ...], directory: SectionIndex, stage: Scope | None
) -> tuple[Converter, ...]:
    """Converters with the numbers of their variables; ConfigError."""
    if not any(converter.variable for converter in converters):
        return converters
    return tuple(
        msgspec.structs.replace(
            each, numbers=(*each.numbers[:-1], number_of(each.variable, directory, stage))
        )
        if each.variable
        else each
        for each in converters
    )


def linked_converters(
    converters: tuple[Converter, ...], directory: SectionIndex, stage: Scope | None
) -> tuple[Converter, ...]:
    """Converters with the numbers of their maps, variables and backends; ConfigError."""
    found = with_variables(directory.lists.linked(converters), directory, stage)
    if not any(each.name == "nbsrv" for each in found):
        return found
    use = ListUse(Matcher.STR, gives=MapType.NUMBER)
    reader = ListReader(use, valued=True)
    for name, (index, every) in directory.backends.items():
        reader.add_content(f"{name} {2 * index + every}\n".encode(), "backends")
    named = Converter(
        "map",
        numbers=(0,),
        matcher=use.matcher,
        gives=MapType.NUMBER,
        patterns=directory.lists.unshown(reader.packed()),
    )
    usable = (named, Converter("usable"))
    return tuple(one for each in found for one in (usable if each.name == "nbsrv" else (each,)))


class ValueLinker:
    """Links the formats and values of one section, and numbers its variables.

    `front` is the section that has the clients, where requests are answered.
    """

    def __init__(
        self,
        directory: SectionIndex,
        name: str,
        number: int,
        *,
        front: str = "",
        serves: bool = True,
        stage: Scope | None = None,
    ) -> None:
        """`name` and `number` are the section's own, its id; `serves`: it is a backend.

        `stage`: where a rule of connections stands, whose variables all sections share.
        """
        self._stage = stage
        self.variables: dict[str, int] = {}
        self._directory = directory
        self._name = name
        self._number = number
        self._front = front
        self._serves = serves

    def text(self, text: FormatText | None) -> FormatText | None:
        """A format with all numbers, or a text as it is; ConfigError for what there is not."""
        return self.format(text) if isinstance(text, tuple) else text

    def format(self, form: Format) -> Format:
        """A format with all numbers; ConfigError."""
        return tuple(map(self._part, form))

    def value(self, value: Value | None) -> Value | None:
        """A value with all numbers; ConfigError."""
        if value is None:
            return None
        refuse_tables(value.converters)
        if value.converters:
            converters = linked_converters(value.converters, self._directory, self._stage)
            value = msgspec.structs.replace(value, converters=converters)
        constant = constant_fields(value.fetch, self._name, self._directory)
        if constant:
            return msgspec.structs.replace(value, target=None, **constant)
        if value.variable:
            numbers = (self.variable(value.variable), *value.numbers[1:])
            return msgspec.structs.replace(value, numbers=numbers)
        if value.target is None:
            return value
        kind = value.target.kind
        if kind == "be_name" and not self._serves:
            raise ConfigError("'be_name' needs a backend, which is not chosen here")
        if kind in ("name", "be_name", "fe_name"):
            name = self._front if kind == "fe_name" else self._name
            return msgspec.structs.replace(value, target=None, text=name)
        numbers = self._numbers(value.target)
        fetch = _fetch_of(value.fetch, numbers)
        return msgspec.structs.replace(value, fetch=fetch, target=None, numbers=numbers)

    def variable(self, name: str) -> int:
        """The number of a variable; -1: nothing can be in it when a later step looks."""
        if is_shared(name) or self._stage is not None:
            return number_of(name, self._directory, self._stage)
        if name.partition(".")[0] not in LASTING:
            return -1
        return self.variables.setdefault(name, len(self.variables))

    def _part(self, part: FormatPart) -> FormatPart:
        return msgspec.structs.replace(part, value=self.value(part.value))

    def _numbers(self, target: Target) -> tuple[int, ...]:
        if target.kind == "id":
            return (self._number,)
        if target.kind == "backend":
            backend = self._directory.backend(target.name or self._name)
            if backend is not None:
                return backend[0], int(backend[1])
        else:
            section, slash, server = target.name.partition("/")
            found = (
                self._directory.frontend(target.name or self._front)
                if target.kind == "frontend"
                else self._directory.server(
                    section if slash else self._name, server if slash else section
                )
            )
            if found is not None:
                return (found,)
        raise ConfigError(
            f"unable to find {target.kind} '{target.name or self._name}' that an expression names"
        )
