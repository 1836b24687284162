"""The end of generations that have ended: their last counts are added, all is given back.

One after the other, in slices. What is raised ends that; the next turn begins anew with what is not
closed yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.runtime import Log, Runtime
from proxy.supervisor.former import Former
from proxy.supervisor.generation import Generation, Phase
from proxy.supervisor.late_counts import LateCounts, adding
from proxy.supervisor.slices import PORTION, Sliced, Steps
from shm.counters import CounterReader
from shm.log_level import LogLevel


class Burial:
    """The one that goes on; every method is called from the supervisor's loop."""

    def __init__(self, old: list[Generation | Former], late: LateCounts) -> None:
        """`old` are all generations before the newest; what is buried leaves it."""
        self._old = old
        self._late = late
        self._steps: Sliced[None] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether one has begun and is not over."""
        return self._steps is not None

    def turn(self, newest: Generation) -> None:
        """One slice."""
        if self._steps is None:
            dead = Phase.ENDED  # looked up once: there may be a hundred of them
            ended = next((old for old in self._old if old.phase is dead), None)
            if ended is None:
                return
            self._steps = Sliced(self._burying(ended, newest))
        steps, self._steps = self._steps, None  # none, if this raises
        if not steps.advance():
            self._steps = steps

    def _burying(self, generation: Generation | Former, newest: Generation) -> Steps[None]:
        """Add what it has counted since the last time; give everything back."""
        self._late.leave(generation)
        yield from adding(generation, newest)
        generation.carried = None
        self._old.remove(generation)  # its segment must not be looked at any more
        generation.close()
        if generation.runtime is None:
            return
        resolverd = generation.runtime.settings.resolverd
        parts = [*generation.runtime.servers, *resolverd.resolutions, *resolverd.addressed]
        del generation, resolverd
        yield
        while parts:  # all at once they would take long
            del parts[-PORTION:]
            yield


def end_oldest(old: Sequence[Generation | Former], current: Generation, now_ms: int) -> None:
    """`mworker-max-reloads`; without it no number of reloads ends a session."""
    limit = current.runtime.settings.globals.reloads_max
    if limit is not None:
        end_behind(old, current.number, limit, current.runtime.log, now_ms)


def end_behind(
    old: Sequence[Generation | Former], newest: int, limit: int, log: Log, now_ms: int
) -> None:
    """End those that are more than `limit` reloads behind the newest generation.

    Those before the last one of a former program its steward ends.
    """
    for each in old:
        behind, runtime = newest - each.number, each.runtime
        if isinstance(each, Former):
            each.renewed(newest, limit)
        if each.phase is not Phase.ENDING and behind > limit:
            sessions = "the" if runtime is None else CounterReader(runtime.segment).sessions()
            log(
                LogLevel.WARNING,
                f"mworker-max-reloads {limit}: ending {sessions} sessions of generation "
                f"{each.number}, which is {behind} reloads old",
            )
            each.stop(now_ms)


def elders(
    old: Sequence[Generation | Former], current: Generation | None, number: int
) -> tuple[Runtime, ...]:
    """The generations before that one that serve, or finish their sessions; oldest first.

    Of a former program the last, where its segment can be read and its bells are known.
    """
    ending = (Phase.ENDING, Phase.ENDED)
    found: list[Runtime] = []
    for each in (*old, *(() if current is None else (current,))):
        runtime = each.runtime
        if runtime is None or len(runtime.bells.relays) != runtime.workers:
            continue
        if each.number < number and each.phase not in ending:
            found.append(runtime)
    return tuple(found)
