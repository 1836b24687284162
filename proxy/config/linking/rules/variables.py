"""Numbers of variables: one for each name, over all sections.

Owns which scopes there are at each stage. A variable of another scope has no number: nothing is in
it, and nothing gets into it, as in HAProxy. Those of the program are there at all stages, and have
numbers of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.config.lines.rules.arguments import is_shared
from proxy.config.lines.rules.fetches import Scope
from proxy.config.text.messages import ConfigError
from shm.shape import VARIABLES_MAX as SHARED_MAX

NOT_THERE = -1
CAPTURES = "capture"  # the scope of what a session captures; no file can name it
FIRST_SHARED = 65_536  # behind all numbers of sessions; as in proxy/rules/variables/shared.pxd
VARIABLES_MAX = 256  # a session that sets one has room for all
_LEVELS = {"sess": 1, CAPTURES: 1, "txn": 2, "req": 3, "res": 3}  # proxy/rules/variables/memory.pxd
_BEFORE = ("sess",)  # nothing of a stream is there
_VISIBLE = {
    Scope.CONNECTION: _BEFORE,
    Scope.SESSION: _BEFORE,
    Scope.CONTENT: ("sess", CAPTURES, "txn", "req"),
    Scope.RESPONSE: ("sess", CAPTURES, "txn", "res"),
    Scope.LOG: ("sess", CAPTURES, "txn", "res"),
}


class VariableTable:
    """The variables of a configuration."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._shared: dict[str, int] = {}

    def number(self, name: str, stage: Scope) -> int:
        """The number of a variable, by its name with the scope; NOT_THERE: not at this stage."""
        if is_shared(name):
            return self.shared(name)
        if name.partition(".")[0] not in _VISIBLE[stage & ~Scope.BACKEND]:
            return NOT_THERE
        if name not in self._numbers and len(self._numbers) == VARIABLES_MAX:
            raise ConfigError(f"more than {VARIABLES_MAX} variables of sessions (at '{name}')")
        return self._numbers.setdefault(name, len(self._numbers))

    def shared(self, name: str) -> int:
        """The number of a variable of the program."""
        if name not in self._shared and len(self._shared) == SHARED_MAX:
            raise ConfigError(f"more than {SHARED_MAX} variables of the program (at '{name}')")
        return self._shared.setdefault(name, FIRST_SHARED + len(self._shared))

    def admit(self, names: Iterable[str]) -> None:
        """Give these variables of the program the first numbers, in their order."""
        self._shared = {name: FIRST_SHARED + number for number, name in enumerate(names)}

    @property
    def shared_names(self) -> tuple[str, ...]:
        """The variables of the program, with their scope, in the order of their numbers."""
        return tuple(self._shared)

    @property
    def levels(self) -> tuple[int, ...]:
        """By number, how narrow the scope is: 1 a session, 2 a transaction, 3 a side."""
        return tuple(_LEVELS[name.partition(".")[0]] for name in self._numbers)
