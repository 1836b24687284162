"""Types of the compiled module; its documentation is in master_orders.pyx."""

from typing import NamedTuple

MESSAGES_BYTES_MAX: int

class MasterOrder(NamedTuple):
    number: int
    hard: int

class ReloadOutcome(NamedTuple):
    answered: int
    succeeded: bool
    messages: str

class MasterRecords:
    def order(self) -> MasterOrder: ...
    def order_reload(self, *, hard: bool) -> int: ...
    def outcome(self) -> ReloadOutcome: ...
    def publish(self, outcome: ReloadOutcome) -> None: ...
    def live(self, state: int, beat_ms: int) -> None: ...
    @property
    def life(self) -> tuple[int, int]: ...
