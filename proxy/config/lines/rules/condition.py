"""What follows `if` and `unless` (manual section 7.2): words to clauses, clauses to flat terms.

A condition is a row of clauses joined by `or`; a clause is a row of lists that all have to match,
each perhaps negated; a list matches if one of its expressions does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from proxy.config.http_drafts import Expression
from proxy.config.lines.rules.expression import parse_expression
from proxy.config.lines.rules.fetches import PREDEFINED
from proxy.config.model.lists import NOWHERE, Place
from proxy.config.model.rules import ACCEPTED, REJECTED, Condition, Term
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

OR = ("or", "||")
BEGINNINGS = ("if", "unless")
Lists = Mapping[str, tuple[Expression, ...]]
Linked = Callable[[Expression, int, int], Term]  # the expression, and where it jumps


class Literal(NamedTuple):
    """One list of a clause."""

    negated: bool
    expressions: tuple[Expression, ...]
    name: str = ""  # "": it stands between braces


Clauses = tuple[tuple[Literal, ...], ...]


def parse_clauses(
    origin: Origin,
    words: Sequence[str],
    named: Lists,
    warn: Callable[[str], None],
    place: Place = NOWHERE,
) -> Clauses:
    """The clauses of the words after `if`; `named` are the section's own lists.

    The paths of files begin in `place`.
    """
    clauses: list[list[Literal]] = [[]]
    negated = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in OR:
            if negated or not clauses[-1]:
                raise ConfigError(f"'{word}' stands between two conditions")
            clauses.append([])
            continue
        bare = word.lstrip("!")
        negated ^= (len(word) - len(bare)) % 2 == 1
        if not bare:
            continue
        expressions = (
            _anonymous(origin, rest, warn, place)
            if bare == "{"
            else _named(origin, bare, named, warn)
        )
        clauses[-1].append(Literal(negated, expressions, "" if bare == "{" else bare))
        negated = False
    if negated or not clauses[-1]:
        raise ConfigError("the condition ends where another word is expected")
    return tuple(map(tuple, clauses))


def _anonymous(
    origin: Origin, rest: list[str], warn: Callable[[str], None], place: Place
) -> tuple[Expression, ...]:
    """The expression up to the closing brace, which is taken from the words."""
    if "}" not in rest:
        raise ConfigError("missing closing '}' in condition")
    end = rest.index("}")
    words = tuple(rest[:end])
    del rest[: end + 1]
    return parse_expression(origin, words, warn, place)


def _named(
    origin: Origin, name: str, named: Lists, warn: Callable[[str], None]
) -> tuple[Expression, ...]:
    """The expressions of a list that stands before this line."""
    if name in named:
        first = named[name][0].origin
        if first.file != origin.file or first.line < origin.line:
            return named[name]
    elif name in PREDEFINED:
        return parse_expression(origin, tuple(PREDEFINED[name].split()), warn)
    raise ConfigError(f"no such ACL : '{name}'{hint(name, (*named, *PREDEFINED))}")


def flattened(clauses: Clauses, linked: Linked, *, unless: bool = False) -> Condition:
    """The terms of a condition: every jump leads forward."""
    accepted, rejected = (REJECTED, ACCEPTED) if unless else (ACCEPTED, REJECTED)
    terms: list[Term] = []
    for clause, next_clause in zip(clauses, _starts(clauses, rejected), strict=True):
        for position, literal in enumerate(clause):
            end = len(terms) + len(literal.expressions)
            after = accepted if position == len(clause) - 1 else end
            for expression in literal.expressions:
                last = len(terms) == end - 1
                missed = after if literal.negated else next_clause
                then = next_clause if literal.negated else after
                term = linked(expression, then, missed if last else len(terms) + 1)
                terms.append(msgspec.structs.replace(term, negated=literal.negated))
    return Condition(tuple(terms))


def _starts(clauses: Clauses, rejected: int) -> Iterator[int]:
    """Where the clause after each begins."""
    start = 0
    for clause in clauses[:-1]:
        start += sum(len(literal.expressions) for literal in clause)
        yield start
    yield rejected
