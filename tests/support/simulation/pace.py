"""When a simulated resolverd may ask, and when it must: judged without a look at how it decides.

A name is asked again a period after its run has ended, early by a tenth of it at most, where no
failed connect asks for it before; at once when resolverd starts. A failed connect that passes the
gate makes a run at once, one that does not pass it makes none. No more names are asked for at once
than there are places; one that waits for its next try is not, nor one that has been asked for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from resolverd.dns.answer import QueryType, Status
from resolverd.pace.run_limit import HELD_MS
from resolverd.resolution.resolution import Trigger
from resolverd.resolution.transitions import State

if TYPE_CHECKING:
    from tests.support.simulation.simulation import World

DENIALS = {Status.NX, Status.NODATA}
FAR_MS = 1 << 60
STATEMENTS = (Status.VALID, Status.NODATA, Status.NX)  # of a type: its TTL counts
FIRST_PAUSE_MS = 1_000  # of triggers that brought nothing new, doubled by each


class Run(NamedTuple):
    """The last run of a name, over now."""

    end_ms: int
    valid_ms: int  # the end of the last valid one
    valid: bool
    said: frozenset[object]  # by a whole answer about the preferred type, else empty


class Pace:
    """Follows the runs of all names since resolverd has started."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: dict[int, int] = {}  # and since when
        self._began_ms: dict[int, int] = {}  # the beginning of the last run
        self._due: dict[int, tuple[int, int]] = {}  # not before, not after
        self._last: dict[int, Run] = {}
        self._before_last: dict[int, Run] = {}
        self._waiting: set[int] = set()  # for a run that a failed connect has asked for
        self._triggered: set[int] = set()  # that run is the present one, or the last
        self._known_ms: dict[int, int] = {}
        self._asked: dict[int, str] = {}  # the name of a list, or the only one
        self._pause_ms: dict[int, int | None] = {}  # None: it cannot be told from outside

    def restarted(self) -> None:
        """Everything is asked at once, and what was pending is forgotten."""
        for each in (
            self._running, self._last, self._before_last, self._waiting, self._triggered,
            self._pause_ms, self._known_ms,
        ):  # fmt: skip
            each.clear()
        now_ms = self._world.now_ms
        self._due = dict.fromkeys(self._world.core.names, (now_ms, now_ms))

    def idle_until(self, now_ms: int) -> None:
        """The clock was put forward: everything is late for that."""
        self._due = {key: (first_ms, now_ms) for key, (first_ms, _) in self._due.items()}

    def overdue(self, wait_ms: int) -> list[int]:
        """The names that should have been asked by now, after so long a wait for a place."""
        now_ms, names = self._world.now_ms - wait_ms, self._world.core.names
        return [
            key
            for key, (_, last_ms) in self._due.items()
            if last_ms < now_ms and key in names and key not in self._running
        ]

    def known_ms(self, key: int) -> int:
        """When a name was first asked, as far back as resolverd has lived."""
        return self._known_ms.get(key, self._world.now_ms)

    def begun(self, key: int, name: str, now_ms: int) -> None:
        """The first question of a run, or the first for the next name of a search list."""
        world, settings = self._world, self._world.core.names.peek(key).settings
        last = self._last.get(key)
        goes_on = settings.search and last is not None and key in world.ended
        # a run that goes on has had its place since it began, and may have given it back
        self._running.setdefault(key, self._began_ms[key] if goes_on else now_ms)
        self._known_ms.setdefault(key, now_ms)
        recent = [each for each, ms in self._running.items() if now_ms < ms + HELD_MS]
        resolutions = (world.core.names.peek(each).resolution for each in recent)
        asking = [each for each in resolutions if each.state is not State.PAUSED]
        places = sum(1 + each.merges for each in asking)
        assert places <= world.runs_max or len(asking) == 1, "more questions than places"
        if goes_on:
            said = {answer.status for _, answer in world.asked.heard[key]}
            assert said & DENIALS, f"{self._asked[key]} was left without a denial"
            self._asked[key] = name
            return  # the next name of the list
        if last is not None and last.valid:
            assert name == self._asked[key], f"{name} was asked, not where the answer was found"
        self._asked[key] = name
        first_ms, last_ms = self._due.pop(key, (0, FAR_MS))
        assert first_ms <= now_ms, f"{settings.name} was asked {first_ms - now_ms} ms too early"
        if world.runs_max > len(world.core.names):
            assert now_ms <= last_ms, f"{settings.name} was asked {now_ms - last_ms} ms too late"
        (self._triggered.add if key in self._waiting else self._triggered.discard)(key)
        self._waiting.discard(key)

    def closed(self, key: int, now_ms: int) -> None:
        """A run has ended."""
        world = self._world
        self._began_ms[key] = self._running.pop(key, now_ms)
        answers = world.valid_answers(key)
        valid = bool(answers)
        former = self._last.get(key)
        if former is not None:
            self._before_last[key] = former
        said: frozenset[object] = frozenset()
        if len(answers) == 1 == len(set(world.asked.asked[key])) and not answers[0].partial:
            said = frozenset(answers[0].addresses + answers[0].services)
        valid_ms = now_ms if valid else former.valid_ms if former is not None else 0
        self._last[key] = Run(now_ms, valid_ms, valid, said)
        period_ms = self._period_ms(key, min((each.ttl_s for each in answers), default=None))
        ttl = world.section.ttl_period
        earliest_ms = period_ms - period_ms // 10
        if ttl is not None:
            earliest_ms = max(ttl.min_ms, earliest_ms)
        self._due[key] = now_ms + earliest_ms, now_ms + period_ms

    def _period_ms(self, key: int, ttl_s: int | None) -> int:
        ttl = self._world.section.ttl_period
        if ttl is None:
            return self._world.section.timeout_resolve_ms
        kinds: list[QueryType] = self._world.asked.asked[key]
        if self._world.outcome(key, kinds[0]) is Status.VALID and not self._world.asked.merges[key]:
            kinds = kinds[:1]  # the other was asked beside it, and does not matter
        if ttl_s is None or any(self._world.outcome(key, k) not in STATEMENTS for k in kinds):
            return ttl.min_ms
        return max(ttl.min_ms, min(1_000 * ttl_s, ttl.max_ms))

    def triggered(self, slot: int, kind: Trigger, began_ms: int) -> None:
        """A connect has failed: which of the names that feed the slot must be asked now."""
        world = self._world
        now_ms, hold_ms = world.now_ms, world.section.holds.valid_ms
        for key in world.core.names.feeding(slot):
            last = self._last.get(key)
            if key in self._running or key in self._waiting or last is None:
                continue
            outlived = kind is Trigger.CONNECT_TIMEOUT and began_ms > last.valid_ms
            if last.valid and now_ms < last.end_ms + hold_ms and not outlived:
                continue
            pause_ms = self._pause_ms.get(key, 0)
            if pause_ms is None:
                self._due[key] = now_ms, self._due[key][1]
            elif now_ms >= last.end_ms + pause_ms:
                self._due[key] = now_ms, min(now_ms, self._due[key][1])
                self._waiting.add(key)

    def learned(self, keys: list[int]) -> None:
        """These runs have ended and the servers are told: what that means for failed connects."""
        for key in keys:
            if key not in self._last or key not in self._world.core.names:
                continue
            news = self._news(key) if len(keys) == 1 else None
            pause_ms = self._pause_ms.get(key, 0)
            if news:
                self._pause_ms[key] = 0
            elif news is None:
                self._pause_ms[key] = None
            elif key in self._triggered and pause_ms is not None:
                doubled_ms = max(FIRST_PAUSE_MS, 2 * pause_ms)
                self._pause_ms[key] = min(doubled_ms, self._world.section.holds.valid_ms)

    def _news(self, key: int) -> bool | None:
        """Whether the run brought anything new; None if that does not show."""
        last, former = self._last[key], self._before_last.get(key)
        if self._world.judge.changed:
            return None if self._world.core.names.peek(key).settings.is_service else True
        heard = self._world.asked.heard[key]
        same = former is not None and bool(last.said) and last.said == former.said
        if last.valid and not same:
            return None
        return None if not last.valid and any(each.addresses for _, each in heard) else False
