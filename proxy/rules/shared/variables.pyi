"""Types of the compiled module; its documentation is in variables.pyx."""

from collections.abc import Sequence
from typing import NamedTuple

from proxy.config.model.rules import Format, Value
from proxy.lists.changing.kinds import Lists
from shm.segment import Segment

class Shown(NamedTuple):
    type: str
    value: bytes

class NoRoomError(Exception): ...

class ProcessVariables:
    def __init__(self, segment: Segment, names: Sequence[str], process: int = 0) -> None: ...
    def limit(self, bytes_max: int) -> None: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def number(self, name: str) -> int | None: ...
    def name(self, name: str) -> int: ...
    def set(
        self,
        number: int,
        *,
        value: Value | None = None,
        form: Format = (),
        when: int = 0,
        lists: Lists = (),
        ordered: bool = False,
    ) -> None: ...
    def ordered(self, number: int) -> bool: ...
    def shown(self, number: int) -> Shown | None: ...
