from collections.abc import Sequence
from typing import NamedTuple

from proxy.rules.program import Conditions, Seen

class Judged(NamedTuple):
    holds: bool | None
    open: tuple[int, ...] = ()
    waits: bool = False

class DryConditions(Conditions):
    def judged(self, number: int, seen: Seen, known: Sequence[bool]) -> Judged: ...
