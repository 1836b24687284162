from collections.abc import Sequence
from typing import NamedTuple

from proxy.config.model.rules import Condition
from proxy.lists.changing.kinds import Lists
from shm.segment import Segment

FETCHES: dict[str, int]
CONVERTERS: dict[str, int]
MATCHERS: dict[str, int]

class Seen(NamedTuple):
    method: bytes | None = None
    target: bytes = b""
    version: bytes = b""
    headers: bytes = b""
    client: tuple[str, int] | None = None
    front: tuple[str, int] | None = None
    content: bytes | None = None
    final: bool = False

class Conditions:
    def __init__(
        self, segment: Segment, conditions: Sequence[Condition], lists: Lists = ()
    ) -> None: ...
    def __len__(self) -> int: ...
    def holds(self, number: int, seen: Seen, *, authorised: int = 0) -> bool: ...

class Phrases: ...
