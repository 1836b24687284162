"""Conditions when all sections are known: names of backends, servers and user lists to numbers.

Owns the errors about names that there are not. Changes no draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from proxy.config.http_drafts import Expression, UserListDraft
from proxy.config.lines.rules.fetches import FETCHES, Argument
from proxy.config.model.http import AuthQuestion
from proxy.config.model.rules import IntRange, Matcher, Term
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

QUESTIONS_MAX = 64  # of one section: a request's answers are the bits of a word
_IS_TRUE = (IntRange(1, None),)


class SectionIndex(Protocol):
    """Where the things are that conditions name; None for what there is not."""

    user_lists: Mapping[str, UserListDraft]

    def backend(self, name: str) -> tuple[int, bool] | None:
        """A backend's index, and whether all its backups serve together."""

    def server(self, backend: str, name: str) -> int | None:
        """A server's slot."""

    def frontend(self, name: str) -> int | None:
        """A frontend's index."""


class ConditionLinker:
    """Links the expressions of one section, and collects its questions about users."""

    def __init__(self, directory: SectionIndex) -> None:
        self._directory = directory
        self.questions: list[AuthQuestion] = []

    def term(self, expression: Expression, then: int, otherwise: int) -> Term:
        """The term of an expression; ConfigError for a name that there is not."""
        text, numbers = self._arguments(expression)
        term = Term(
            fetch=expression.fetch,
            matcher=expression.matcher,
            then=then,
            otherwise=otherwise,
            text=text,
            numbers=numbers,
            insensitive=expression.insensitive,
            texts=expression.texts,
            ranges=expression.ranges,
            networks=expression.networks,
        )
        if expression.fetch == "http_auth_group":  # its patterns are part of the question
            return Term("http_auth", Matcher.INT, then, otherwise, numbers=numbers, ranges=_IS_TRUE)
        return term

    def _arguments(self, expression: Expression) -> tuple[str, tuple[int, ...]]:
        kind = FETCHES[expression.word.partition("(")[0]].argument
        name = expression.arguments[0] if expression.arguments else ""
        if kind is Argument.NONE:
            return "", ()
        if kind in (Argument.NAME, Argument.HEADER):
            return name, (int(expression.arguments[1]) if len(expression.arguments) > 1 else 0,)
        if kind is Argument.USERS:
            return "", (self._question(expression, name),)
        return "", self._numbers(kind, expression, name)

    def _numbers(self, kind: Argument, expression: Expression, name: str) -> tuple[int, ...]:
        if kind is Argument.BACKEND:
            backend = self._directory.backend(name)
            if backend is not None:
                return backend[0], int(backend[1])
        else:
            section, _, server = name.partition("/")
            found = (
                self._directory.frontend(name)
                if kind is Argument.FRONTEND
                else self._directory.server(section, server)
            )
            if found is not None:
                return (found,)
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
            if expression.matcher is not Matcher.STR or expression.insensitive:
                raise ConfigError(f"'{expression.word}' is compared with names of groups only")
            if not expression.texts:
                raise ConfigError(f"'{expression.word}' needs the name of a group")
            groups = {text.decode(errors="surrogateescape") for text in expression.texts}
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
