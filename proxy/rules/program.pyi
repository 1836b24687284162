from collections.abc import Sequence

from proxy.config.model.rules import Condition
from shm.segment import Segment

FETCHES: dict[str, int]
MATCHERS: dict[str, int]

class Conditions:
    def __init__(self, segment: Segment, conditions: Sequence[Condition]) -> None: ...
    def __len__(self) -> int: ...
    def holds(
        self,
        number: int,
        *,
        method: bytes | None = None,
        target: bytes = b"",
        headers: bytes = b"",
        client: tuple[str, int] | None = None,
        front: tuple[str, int] | None = None,
        authorised: int = 0,
    ) -> bool: ...
