"""How long a reload waits, once the new workers serve, for the old ones to accept no more.

Old and new workers share listening sockets. A worker that was told to finish accepts what waits at
its next turn, and publishes that it has left. What is said to be done behind that is true for each
client that comes from then on: a new generation serves it. A worker that has no turn for so long
(stopped, traced, without a core) is named instead: it may serve one more client when it wakes up.
"""

from __future__ import annotations

from proxy.supervisor.children import Child
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.limits import LEAVING_LIMIT_MS
from shm.processes import ProcessBoard


class Leaving:
    """The workers of a generation that was told to stop softly."""

    def __init__(self, old: Generation, now_ms: int) -> None:
        self._old = old
        self._board = ProcessBoard(old.runtime.segment)
        self._until_ms = now_ms + LEAVING_LIMIT_MS

    @property
    def there(self) -> list[Child]:
        """Workers that may accept clients."""
        if self._old.phase not in (Phase.QUIESCING, Phase.DRAINING):
            return []
        alive = (child for child in self._old.children.workers if child.process is not None)
        return [child for child in alive if not self._board.status(child.position).left]

    def over(self, now_ms: int) -> bool:
        """Whether nobody is waited for any more."""
        return now_ms >= self._until_ms or not self.there
