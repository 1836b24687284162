"""The states of servers over time, from `show servers state`, and whether two programs agree.

Pure text and numbers: knows neither programs nor sockets. A snapshot maps each backend to the
sorted (address, port, operational state, administrative state, weight) of its servers, so slots are
compared as sets; the weight of a server without an address says nothing and counts as 0. A timeline
is the sequence of different snapshots, each with its begin and end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

# address ("-" for none), port, srv_op_state, srv_admin_state, srv_uweight
ServerState = tuple[str, int, int, int, int]
Snapshot = tuple[tuple[str, tuple[ServerState, ...]], ...]  # per backend, sorted

WITHIN_SECONDS = 0.7
# A poll may fall between two changes that belong together (HAProxy applies the addresses of a
# template one after the other). What lasts no longer than this is no state of its own.
PASSING_SECONDS = 0.15
# Asked twenty times a second; a longer pause than this means that the machine had no time for us.
PAUSE_SECONDS_MAX = 0.3


def parse_states(text: str) -> Snapshot:
    """The snapshot in an answer to `show servers state`; raises ValueError when it is none."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0] != "1" or not lines[1].startswith("# "):
        raise ValueError(f"no server state of version 1: {text[:200]!r}")
    names = lines[1][2:].split()
    backends: dict[str, list[ServerState]] = {}
    for line in lines[2:]:
        values = dict(zip(names, line.split(), strict=True))
        state = (
            values["srv_addr"],
            int(values["srv_port"]),
            int(values["srv_op_state"]),
            int(values["srv_admin_state"]),
            int(values["srv_uweight"]) if values["srv_addr"] != "-" else 0,
        )
        backends.setdefault(values["be_name"], []).append(state)
    return tuple(sorted((name, tuple(sorted(states))) for name, states in backends.items()))


@dataclass(frozen=True, slots=True)
class Period:
    """One snapshot and when it began and ended, in seconds of the scenario.

    The end is where the next one was first seen, which may have begun `blur` seconds before.
    """

    begin: float
    end: float
    snapshot: Snapshot
    blur: float = field(default=0.0, compare=False)

    @property
    def passing(self) -> bool:
        """Whether it lasted too short to be a state of its own."""
        return self.end - self.blur - self.begin <= PASSING_SECONDS


@dataclass(slots=True)
class Timeline:
    """What one program showed."""

    program: str
    periods: list[Period] = field(default_factory=list)
    pause: float = 0.0  # the longest between two looks, seconds

    @property
    def busy(self) -> bool:
        """Whether the machine was too busy for the times to mean anything."""
        return self.pause > PAUSE_SECONDS_MAX

    def add(self, now: float, snapshot: Snapshot) -> None:
        """Note what was seen at `now` (seconds)."""
        if self.periods:
            self.pause = max(self.pause, now - self.periods[-1].end)
            last = self.periods[-1]
            same = last.snapshot == snapshot
            self.periods[-1] = Period(last.begin, now, last.snapshot, now - last.end)
            if same:
                return
        self.periods.append(Period(now, now, snapshot))

    def since(self, begin: float) -> list[Period]:
        """The periods from `begin` on; the one that lasts across it begins there."""
        return [
            Period(max(period.begin, begin), period.end, period.snapshot, period.blur)
            for period in self.periods
            if period.end > begin or period is self.periods[-1]
        ]

    def __str__(self) -> str:
        """A line per period, with the servers of each backend."""
        lines = [f"{self.program} (longest pause between two looks: {self.pause:.2f} s):"]
        for period in self.periods:
            shown = "  ".join(
                f"{backend}: " + " ".join("{}:{}/{}/{}/{}".format(*server) for server in servers)
                for backend, servers in period.snapshot
            )
            lines.append(f"  {period.begin:6.2f}-{period.end:6.2f}  {shown}")
        return "\n".join(lines)


def agree(ours: Sequence[Period], theirs: Sequence[Period]) -> bool:
    """Whether both show the same sequence, each change within 0.7 s, but for passing snapshots."""

    @cache
    def rest_agrees(i: int, j: int, shown: Snapshot | None) -> bool:
        if i == len(ours) and j == len(theirs):
            return True
        if i < len(ours) and j < len(theirs):
            mine, other = ours[i], theirs[j]
            together = abs(mine.begin - other.begin) <= WITHIN_SECONDS
            if (
                mine.snapshot == other.snapshot
                and together
                and rest_agrees(i + 1, j + 1, mine.snapshot)
            ):
                return True
        if i < len(ours) and _skippable(ours[i], shown) and rest_agrees(i + 1, j, shown):
            return True
        return j < len(theirs) and _skippable(theirs[j], shown) and rest_agrees(i, j + 1, shown)

    return rest_agrees(0, 0, None)


def _skippable(period: Period, shown: Snapshot | None) -> bool:
    return period.passing or period.snapshot == shown
