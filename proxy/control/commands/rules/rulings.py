"""What rules say of a client that is only told of: those that act, and those that may.

The conditions are compiled and judged as the relay's are. What a condition looks at and was not
told leaves it open: the answer names it. Nothing is tracked, set or counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from proxy.config.lines.rules.table_words import entry_word
from proxy.config.model.rules import Condition, Converter, Rule, RuleAction, Term
from proxy.config.model.settings import Settings
from proxy.lists.changing.kinds import Lists
from proxy.rules.dry.conditions import DryConditions
from proxy.rules.formats import Formats
from proxy.rules.program import Seen
from shm.segment import Segment

FINAL = frozenset(  # what decides, so that no rule behind it in its ruleset is looked at
    {
        RuleAction.ACCEPT,
        RuleAction.REJECT,
        RuleAction.SILENT_DROP,
        RuleAction.CLOSE,
        RuleAction.USE_BACKEND,
    }
)
ALWAYS_TOLD = frozenset(  # by the configuration, or by the segment as it is now
    {
        *("always_true", "always_false", "nothing", "text", "number", "address", "wait_end"),
        *("nbsrv", "srv_is_up", "srv_conn", "be_conn", "queue", "fe_conn", "srv_queue"),
    }
)
TOLD_BY_NAME = frozenset({"req.ssl_sni", "req.ssl_hello_type", "req.proto_http"})
_COUNTING = frozenset({"add", "sub", "mul", "div", "mod", "and", "or", "xor"})  # with a number
_PURE = _COUNTING | {  # converters whose value depends on nothing but the sample
    *("upper", "lower", "hex", "length", "bytes", "field", "word", "base64", "b64dec"),
    *("neg", "cpl", "not", "bool", "even", "odd", "ipmask"),
    *("djb2", "sdbm", "wt6", "crc32", "crc32c", "xxh32", "xxh64"),
}


class Known(NamedTuple):
    """What is known of a client at some stage; the other fetches are open."""

    seen: Seen
    fetches: frozenset[str]

    def missing(self, term: Term) -> tuple[str, ...]:
        """What a term looks at that was not told: its fetch, or converters."""
        if term.fetch not in self.fetches:
            return (_word_of(term),)
        return tuple(each.name for each in term.converters if not _is_pure(each))


def _word_of(term: Term) -> str:
    """What a term looks at, as it stands in rules."""
    of_entry = term.fetch.startswith("entry_") and entry_word(term.fetch, term.numbers)
    return of_entry or term.fetch


def _is_pure(converter: Converter) -> bool:
    return converter.name in _PURE and not (converter.name in _COUNTING and converter.variable)


class Finding(NamedTuple):
    """A rule that acts; with `open` one that acts or not, which depends on that."""

    rule: Rule
    open: tuple[str, ...] = ()


class NameSaid(NamedTuple):
    """A name that a rule gives; with `open` it is not known, which depends on that."""

    name: str
    open: tuple[str, ...] = ()


class Rulings:
    """The rules of a configuration, compiled once."""

    def __init__(self, settings: Settings, segment: Segment, lists: Lists) -> None:
        """Raises MemoryError."""
        conditions = [rule.condition for _, rule in settings.rules if rule.condition is not None]
        self._numbers: dict[Condition, int] = {}
        for condition in conditions:
            self._numbers.setdefault(condition, len(self._numbers))
        self._conditions = DryConditions(segment, tuple(self._numbers), lists)
        forms = [rule.form for _, rule in settings.rules if rule.action is RuleAction.USE_BACKEND]
        self._forms = {form: at for at, form in enumerate(dict.fromkeys(filter(None, forms)))}
        self._formats = Formats(segment, tuple(self._forms), lists=lists) if self._forms else None

    def findings(
        self, rules: Sequence[Rule], told: Known, decides: Callable[[Rule], bool]
    ) -> list[Finding] | None:
        """The rules that act or may act, up to the first that decides; None: bytes are waited for.

        A rule that waits keeps those behind it back. What one sets is open for those behind it.
        """
        found = []
        for rule in rules:
            holds = True
            names: tuple[str, ...] = ()
            if rule.condition is not None:
                known = [not told.missing(term) for term in rule.condition.terms]
                judged = self._conditions.judged(self._numbers[rule.condition], told.seen, known)
                if judged.holds is None and not judged.open:
                    return None
                holds = judged.holds is not False
                names = self._names(rule.condition, judged.open, told)
            if holds:
                found.append(Finding(rule, names))
                told = told._replace(fetches=told.fetches - {rule.action.moves})
                if not names and decides(rule):
                    break
        return found

    def said(self, rule: Rule, told: Known) -> NameSaid:
        """The name that the format of a rule gives, with maps as they are now."""
        values = [part.value for part in rule.form if part.value is not None]
        missing = [value.fetch for value in values if value.fetch not in told.fetches]
        for value in values:
            missing += [
                each.name for each in value.converters if not _is_pure(each) and each.name != "map"
            ]
        if missing or self._formats is None:
            return NameSaid("", tuple(dict.fromkeys(missing)))
        name = self._formats.answer(self._forms[rule.form], told.seen)
        return NameSaid((name or b"").decode("utf-8", "replace"))

    @staticmethod
    def _names(condition: Condition, terms: Iterable[int], told: Known) -> tuple[str, ...]:
        """What these terms look at that was not told, each once."""
        missing = (name for at in terms for name in told.missing(condition.terms[at]))
        return tuple(dict.fromkeys(missing))
