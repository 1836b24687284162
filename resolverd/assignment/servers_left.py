"""How many servers a backend has left when one loses its address.

Owns the counts during one event: they are read once, then decremented for each loss, so that the
loss of all servers of a large backend does not cost a scan for each.
"""

from __future__ import annotations

from typing import NamedTuple

from resolverd.board import Board
from resolverd.config import ResolvedServer
from shm.states import Operational


class Loss(NamedTuple):
    """A server before its loss, and the counts of its backend without it."""

    backup: bool
    was_down: bool  # by its checks
    active_left: int
    backup_left: int
    sessions: int  # still open to it


class Remaining:
    """The counts of backends that have lost servers since `forget`."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._left: dict[int, tuple[int, int]] = {}

    def without(self, server: ResolvedServer) -> Loss:
        """Count the loss of a server's address; call it before that is published."""
        state = self._board.server(server.slot)
        active, backup = self._left.get(server.backend_index) or self._board.usable(
            server.backend_index
        )
        if state.eligible and state.backup:
            backup = max(0, backup - 1)
        elif state.eligible:
            active = max(0, active - 1)
        self._left[server.backend_index] = active, backup
        return Loss(
            state.backup,
            state.operational == Operational.STOPPED,
            active,
            backup,
            max(0, self._board.sessions(server.slot)),
        )

    def forget(self) -> None:
        """Drop the counts: the next loss reads them anew."""
        self._left.clear()
