"""The record of one resolution in the segment: runs, triggers, records and slots (M4, M6).

Owns the counts, which a successor continues, and two log lines: about records without a server
(limited for all names of a section together), and about the first record that left and came back.
A target of an SRV record, or a name that was ordered, has no row: nothing is stored then.
"""

from __future__ import annotations

from collections.abc import Sequence

from resolverd.board import Board
from resolverd.config import Family, ResolversSection
from resolverd.dns.answer import Status
from resolverd.log.lines import describe_came_back, describe_surplus
from resolverd.log.throttle import LogThrottle
from resolverd.resolution.resolution import Resolution
from shm.log_level import Log

FIELDS = (
    *("last_valid_ms", "last_run_ms", "status", "records_seen", "slots_used", "slots_missing"),
    *("runs", "triggers", "ipv4_valid_ms", "ipv6_valid_ms", "triggers_held_until_ms"),
    *("returns", "answered"),
)
EMPTY = dict.fromkeys(FIELDS, 0)


class ResolutionCounts:
    """The counts of one name; `index` is its row, None without one."""

    __slots__ = (
        *("_board", "_index", "_log", "_missing", "_name", "_outcome", "_records_seen"),
        *("_returns", "_runs", "_section", "_throttle", "_triggers"),
    )

    def __init__(
        self,
        board: Board,
        log: Log,
        throttle: LogThrottle,
        name: str,
        section: str,
        *,
        index: int | None,
    ) -> None:
        """Call `carry_on` before the first run."""
        self._board = board
        self._log = log
        self._throttle = throttle
        self._section = section
        self._name = name
        self._index = index
        self._runs = 0
        self._triggers = 0
        self._returns = 0
        self._records_seen = 0
        self._missing = 0
        self._outcome: tuple[int, ...] = ()  # of the last run, as stored in the row

    def carry_on(self, resolution: Resolution) -> None:
        """Restore the counts and the resolution from a predecessor's row."""
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
            resolution.leases.begun = bool(record["answered"])

    def begin(self, index: int, resolution: Resolution) -> None:
        """Keep the record in this row from now on; what is there is of no name any more."""
        self._index, self._outcome = index, ()
        now = {
            "last_valid_ms": resolution.last_valid_ms,
            "last_run_ms": resolution.last_run_ms,
            "status": resolution.last_status or 0,
            "records_seen": self._records_seen,
            "runs": self._runs,
            "triggers": self._triggers,
            "returns": self._returns,
            **_by_family(resolution),
        }
        self._board.record(index, **{**EMPTY, **now})

    def move(self, index: int) -> None:
        """Keep the record in this row from now on."""
        assert self._index is not None, "it has a row"
        record = self._board.resolution(self._index)
        self._board.record(index, **{field: record[field] for field in FIELDS})
        self._index = index

    def empty(self, index: int) -> None:
        """A row has no record."""
        self._board.record(index, **EMPTY)

    def triggered(self) -> None:
        """Count a failed connect that triggered a run."""
        self._triggers += 1
        if self._index is not None:
            self._board.record(self._index, triggers=self._triggers)

    def returned(self, back: Sequence[tuple[str, int]], section: ResolversSection) -> None:
        """Count records that came back, each with its milliseconds unseen; logged once (M4)."""
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

    def abandon(self) -> None:
        """The row is of no name any more, and says that no server has it."""
        if self._index is not None:
            self._board.record(self._index, status=0, slots_used=0, slots_missing=0)
        self._index = None

    def passed(self, runs: int) -> None:
        """Runs have been repeated, and are counted in the row already."""
        self._runs += runs

    def gained(self, resolution: Resolution) -> None:
        """Store a valid answer within a run that goes on."""
        if self._index is not None:
            self._board.record(
                self._index, last_valid_ms=resolution.last_valid_ms, **_by_family(resolution)
            )

    def ended(
        self, resolution: Resolution, records_seen: int | None, known: int, used: int, missing: int
    ) -> None:
        """Count an ended run; `records_seen` is None if it failed."""
        self._runs += 1
        if records_seen is not None:
            self._records_seen = records_seen
        if missing != self._missing and self._index is not None:
            subject, now_ms = f"records of resolvers {self._section}", resolution.last_run_ms
            for level, text in describe_surplus(self._name, known, missing):
                self._throttle.log(subject, level, text, now_ms, more="lines about surplus records")
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
        "answered": int(resolution.leases.begun),
        "ipv4_valid_ms": resolution.leases.valid_ms(Family.IPV4),
        "ipv6_valid_ms": resolution.leases.valid_ms(Family.IPV6),
    }
