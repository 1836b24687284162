"""Why a server takes no new sessions, as few short links from the effect to its root. Pure.

The same judgement as the chain of `show why` (chain.py), without what is well: for those that see
many at once. `NameFacts` is what the records of a name say, without resolverd.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from proxy.control.commands.resolution import ago
from proxy.control.commands.why.chain import CAUSES, check_text
from proxy.control.rows.observation import Observed
from shm.states import Cause, Operational


class NameFacts(NamedTuple):
    """A name as its record has it."""

    name: str
    section: str
    status: str  # of the last run; "valid", or how it failed; "": none has ended
    last_valid_age_ms: int | None
    dropped_in_ms: int | None  # until when servers live on a hold
    nameservers: tuple[str, ...]  # a sentence about each

    @property
    def fails(self) -> bool:
        """Whether the last run brought nothing."""
        return self.status != "valid"


def name_links(facts: NameFacts) -> Iterator[str]:
    """What is wrong with a name; nothing where it is well."""
    if not facts.fails:
        return
    ended = f"the last run ended with {facts.status}" if facts.status else "no run has ended yet"
    left = facts.dropped_in_ms
    held = "" if left is None else f", its addresses go in {left // 1000} s"
    yield f"name {facts.name} ({facts.section}): {ended}{held}, valid {_age(facts)}"
    yield from facts.nameservers


def _age(facts: NameFacts) -> str:
    age = facts.last_valid_age_ms
    return "never" if age is None else f"{age // 1000} s ago"


def causes(observed: Observed, facts: NameFacts | None, now_ms: int) -> Iterator[str]:
    """What lies behind the verdict on a server that takes nothing; the root last."""
    if observed.standing.lacks_address:
        yield CAUSES[Cause(observed.slot.cause)]
        if facts is not None:
            yield from name_links(facts)
        return
    origin = observed.origin
    if origin.state.operational != Operational.STOPPED or origin.server.check is None:
        return
    said = origin.standing.statement
    if said is not None and said.checked_ms:
        text = check_text(said.status, said.code, origin.check_text)
        yield f"last check {text}, {ago(now_ms - said.checked_ms)}"
