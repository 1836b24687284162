"""How many servers a backend has left when one loses its address.

Counted once for all the losses of one event, then counted down: a backend of ten thousand servers
that goes whole is not looked through ten thousand times.
"""

from __future__ import annotations

from typing import NamedTuple

from resolverd.board import Board
from resolverd.config import ResolvedServer
from shm.states import Operational


class Loss(NamedTuple):
    """A server as it was, and what its backend has without it."""

    backup: bool
    was_down: bool  # by its checks
    active_left: int
    backup_left: int
    sessions: int  # still open to it


class Remaining:
    """The counts of backends that have lost servers since `forget`."""

    def __init__(self, board: Board) -> None:
        """Nothing is lost."""
        self._board = board
        self._left: dict[int, tuple[int, int]] = {}

    def without(self, server: ResolvedServer) -> Loss:
        """The server is about to lose its address: call it before that is published."""
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
        """What comes next may find other counts."""
        self._left.clear()
