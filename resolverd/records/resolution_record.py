"""The record of one resolution in the segment: runs, triggers, records and slots (M4, M6).

Owns what was counted so far, so that a successor counts on, and says in the log when records are
without a server (all names of a section together a few times a minute), and the first time that
some have left and come back. A name that no configuration mentions has no record: nothing is stored
then.
"""

from __future__ import annotations

from collections.abc import Sequence

from resolverd.board import Board
from resolverd.config import Family, ResolversSection
from resolverd.dns.answer import Status
from resolverd.log.lines import Log, describe_came_back, describe_surplus
from resolverd.log.throttle import Quiet
from resolverd.resolution.resolution import Resolution


class Tally:
    """Counts the runs of one name; `index` is its row, None without one."""

    def __init__(
        self, board: Board, log: Log, quiet: Quiet, name: str, section: str, *, index: int | None
    ) -> None:
        """Nothing has been counted; call `carry_on` before the first run."""
        self._board = board
        self._log = log
        self._quiet = quiet
        self._section = section
        self._name = name
        self._index = index
        self._runs = 0
        self._triggers = 0
        self._returns = 0
        self._records_seen = 0
        self._missing = 0
        self._outcome: tuple[int, ...] = ()  # what the record says of the last run

    def carry_on(self, resolution: Resolution) -> None:
        """Take over what a predecessor recorded, also for the resolution itself."""
        if self._index is None:
            return
        record = self._board.resolution(self._index)
        self._runs, self._triggers = record["runs"], record["triggers"]
        self._returns = record["returns"]
        self._records_seen, self._missing = record["records_seen"], record["slots_missing"]
        if record["last_valid_ms"] == 0:
            self._board.record(
                self._index, last_valid_ms=resolution.last_valid_ms, **_by_family(resolution)
            )
        else:
            status = Status(record["status"]) if record["status"] else None
            family_valid_ms = {
                Family.IPV4: record["ipv4_valid_ms"],
                Family.IPV6: record["ipv6_valid_ms"],
            }
            resolution.restore(
                record["last_valid_ms"], family_valid_ms, record["last_run_ms"], status
            )

    def triggered(self) -> None:
        """A failed connect has asked for a run."""
        self._triggers += 1
        if self._index is not None:
            self._board.record(self._index, triggers=self._triggers)

    def returned(self, back: Sequence[tuple[str, int]], section: ResolversSection) -> None:
        """Records have come back, each after so many milliseconds unseen; told once (M4)."""
        if back and not self._returns:
            record, unseen_ms = max(back, key=lambda each: each[1])
            obsolete_ms = section.holds.obsolete_ms
            for level, text in describe_came_back(
                self._name, record, unseen_ms, obsolete_ms, section.name
            ):
                self._log(level, text)
        self._returns += len(back)
        if back and self._index is not None:
            self._board.record(self._index, returns=self._returns)

    def gained(self, resolution: Resolution) -> None:
        """A valid answer has come, its run goes on."""
        if self._index is not None:
            self._board.record(
                self._index, last_valid_ms=resolution.last_valid_ms, **_by_family(resolution)
            )

    def ended(
        self, resolution: Resolution, records_seen: int | None, known: int, used: int, missing: int
    ) -> None:
        """A run has ended; `records_seen` is None if it failed."""
        self._runs += 1
        if records_seen is not None:
            self._records_seen = records_seen
        if missing != self._missing and self._index is not None:
            subject, now_ms = f"records of resolvers {self._section}", resolution.last_run_ms
            for level, text in describe_surplus(self._name, known, missing):
                self._quiet.say(subject, level, text, now_ms, more="lines about servers they want")
        self._missing = missing
        if self._index is None:
            return
        held_ms = resolution.triggers_held_until_ms
        outcome = (resolution.last_status or 0, self._records_seen, used, missing, held_ms)
        if outcome != self._outcome:  # seldom
            self._outcome = outcome
            status, records_seen, *_ = outcome
            self._board.record(
                self._index,
                status=status,
                records_seen=records_seen,
                slots_used=used,
                slots_missing=missing,
                triggers_held_until_ms=held_ms,
            )
        self._board.record(
            self._index,
            last_valid_ms=resolution.last_valid_ms,
            last_run_ms=resolution.last_run_ms,
            runs=self._runs,
            **_by_family(resolution),
        )


def _by_family(resolution: Resolution) -> dict[str, int]:
    return {
        "ipv4_valid_ms": resolution.leases.valid_ms(Family.IPV4),
        "ipv6_valid_ms": resolution.leases.valid_ms(Family.IPV6),
    }
