"""What the words of an agent's line mean (manual section 5.2, `agent-check`). Pure.

Owns the words, and what is told about the line, in HAProxy's words. Of several words of one kind
the last counts, of several unknown ones the first is told. Knows no record.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.ordered_values import OrderedValueError, maxconn_of, weight_of
from shm.check_status import CheckStatus
from shm.states import AgentWord

_WORD = re.compile(r"[^ \t,]+")
_HEALTH = {"up": False, "down": True, "stopped": True, "fail": True}  # whether it is down
_ADMINISTRATION = {"ready": AgentWord.READY, "drain": AgentWord.DRAIN, "maint": AgentWord.MAINT}
_MAXCONN = "maxconn:"


class AgentReport(NamedTuple):
    """What a line says; None: nothing of that."""

    status: CheckStatus
    text: str = ""
    down: bool | None = None
    word: AgentWord | None = None
    weight: int | None = None  # -1: the weight that the server began with
    maxconn: int | None = None  # 0: no limit


class _Words(NamedTuple):
    """The last word of each kind, as it was written."""

    health: str = ""
    administration: str = ""
    weight: str = ""
    maxconn: str | None = None
    unknown: str = ""  # the first one
    description: str = ""


def understood(line: bytes, initial_weight: int, *, fixed: bool) -> AgentReport:
    """What a line says about a server; `fixed`: its weight is the initial one or 0."""
    words = _words(line.decode(errors="surrogateescape"))
    weight, weight_wrong = _value(words.weight or None, initial_weight, fixed=fixed)
    maxconn, maxconn_wrong = _value(words.maxconn)
    wrong = weight_wrong or maxconn_wrong
    down = _HEALTH[words.health.lower()] if words.health else None
    if down is None:
        status = CheckStatus.CHECKED
        text = f"agent warns : {wrong}" if wrong else ""
        if words.unknown:
            text = f"agent reports an error : {words.unknown}"
    else:
        status = CheckStatus.L7STS if down else CheckStatus.L7OK
        said = words.description
        if not said or not down:
            said = words.unknown or wrong or said
        text = f"via agent : {words.health}" + (f" ({said})" if said else "")
    word = _ADMINISTRATION.get(words.administration.lower())
    return AgentReport(status, text, down, word, weight, maxconn)


def _words(text: str) -> _Words:
    found, at = _Words(), 0
    while match := _WORD.search(text, at):
        word, at = match.group(), match.end()
        if word.startswith("#"):
            return found._replace(description=text[match.start() + 1 :].lstrip("\t "))
        lowered = word.lower()
        if lowered in _HEALTH:
            found = found._replace(health=word)
        elif lowered in _ADMINISTRATION:
            found = found._replace(administration=word)
        elif word[0] in "0123456789" and "%" in word:
            found = found._replace(weight=word)
        elif lowered.startswith(_MAXCONN):
            found = found._replace(maxconn=word[len(_MAXCONN) :])
        elif not found.unknown:
            found = found._replace(unknown=word)
    return found


def _value(
    text: str | None, initial_weight: int | None = None, *, fixed: bool = False
) -> tuple[int | None, str]:
    """A weight (with an initial one) or a maxconn, and what is wrong with it."""
    if text is None:
        return None, ""
    try:
        if initial_weight is None:
            return maxconn_of(text), ""
        return weight_of(text, initial_weight, fixed=fixed), ""
    except OrderedValueError as error:
        return None, str(error)
