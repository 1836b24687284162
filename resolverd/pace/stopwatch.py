"""The durations of runs, and those from a failed connect to another address of the server.

Owns the times of failed connects that triggered a run; counts durations in the histograms of their
section. Reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from resolverd.board import Board
from resolverd.config import ResolversSection
from resolverd.pace.durations import MOVE_MS_MAX, move_bucket, run_bucket
from shm.histograms import MOVES, RUNS


class Stopwatch:
    """The histograms of all sections."""

    def __init__(self, board: Board, sections: Sequence[ResolversSection]) -> None:
        self._board = board
        self._indices = {section.name: index for index, section in enumerate(sections)}
        self._failed_ms: dict[int, int] = {}  # by slot: the first failed connect since it moved

    def ran(self, section: str, milliseconds: int) -> None:
        """Count a run that took so long."""
        bucket = run_bucket(milliseconds)
        self._board.observe(self._indices[section], RUNS, bucket, milliseconds)

    def failed(self, slot: int, now_ms: int) -> None:
        """A connect to the server failed and triggered a run."""
        since_ms = self._failed_ms.get(slot)
        if since_ms is None or now_ms - since_ms > MOVE_MS_MAX:
            self._failed_ms[slot] = now_ms

    def moved(self, section: str, slots: Sequence[int], now_ms: int) -> None:
        """These servers have got another address."""
        for slot in slots:
            since_ms = self._failed_ms.pop(slot, None)
            if since_ms is not None and now_ms - since_ms <= MOVE_MS_MAX:
                waited_ms = now_ms - since_ms
                index = self._indices[section]
                self._board.observe(index, MOVES, move_bucket(waited_ms), waited_ms)
