"""The life of one child as the supervisor judges it. Pure: takes observations and `now_ms`.

                  fork            ready word
       WAITING ---------> STARTING ---------> SERVING <----+
          ^                  |                 |  ^        |
          |                  | start limit     |  | beat   | beat late by half a second,
          |                  v                 |  |        | or stopped by a signal
          +--- death --- CONDEMNED <-- stale --+- SUSPECT <+

WAITING has a time at which the successor is due: later with each death in a row. Where no other
worker is there for the clients, only deaths before the ready word make it later. STARTING, SUSPECT
and CONDEMNED count as away: after 100 ms siblings serve its sockets, and at once where its process
has ended. Time for which a child got no CPU does not make it stale (starvation.py). A retired child
is judged as any other, but is not replaced once it is dead (unless a reload is called off).
"""

from __future__ import annotations

import enum

from proxy.supervisor.backoff import Backoff
from proxy.supervisor.limits import (
    ADOPT_AFTER_MS,
    BACKOFF_FIRST_MS,
    BACKOFF_RESET_MS,
    HOPELESS_DEATHS,
    STALE_AFTER_MS,
    START_LIMIT_MS,
    STARVED_LIMIT_MS,
    SUSPECT_AFTER_MS,
)
from shm.processes import ProcessStatus
from shm.states import ProcessState


class Life(enum.Enum):
    """Where a child stands; see the drawing above."""

    WAITING = "waiting"
    STARTING = "starting"
    SERVING = "serving"
    SUSPECT = "suspect"
    CONDEMNED = "condemned"


class Watch:
    """Judges one child position over all its incarnations."""

    def __init__(self, now_ms: int, *, has_relay: bool) -> None:
        """A position without a process yet; `has_relay`: both heartbeats count."""
        self.life = Life.WAITING
        self.due_ms = now_ms
        self.restarts = 0
        self.retired = False
        self._has_relay = has_relay
        self._backoff = Backoff()
        self._starts = Backoff()
        self._alone_due_ms = now_ms
        self._started_ms = now_ms
        self._pardoned_ms = now_ms
        self._away_since_ms: int | None = now_ms
        self._lost = False  # there is no process, or its successor is not ready yet
        self._served = False  # the present process, or the last one, was ready
        self._was_ready = False

    def __repr__(self) -> str:
        """State, restarts and since when it is away."""
        return f"Watch({self.life.value}, restarts={self.restarts}, away={self._away_since_ms})"

    def due(self, now_ms: int, *, alone: bool = False) -> bool:
        """True when a process should be started now; `alone`: no other serves or starts."""
        waits = self.life is Life.WAITING and not self.retired
        return waits and now_ms >= self.next_start_ms(alone=alone)

    def next_start_ms(self, *, alone: bool = False) -> int:
        """When a process should be started."""
        return min(self.due_ms, self._alone_due_ms) if alone else self.due_ms

    def started(self, now_ms: int) -> None:
        """A process was forked."""
        assert self.life is Life.WAITING, f"started while {self.life}"
        self.life = Life.STARTING
        self._started_ms = now_ms
        self._served = False

    def ended(self, status: ProcessStatus) -> None:
        """The last look: a process may have become ready, and served, since the one before."""
        if self.life is Life.STARTING and status.state == ProcessState.READY:
            self._back()

    def lost(self, now_ms: int) -> None:
        """The process has ended: its sockets need a sibling, before anything else is done."""
        if self.life in (Life.SERVING, Life.SUSPECT):
            self.life = Life.CONDEMNED
        self._lost = True
        self._away(now_ms)

    def died(self, now_ms: int) -> None:
        """The process was reaped; its successor is due at `next_start_ms`."""
        self.lost(now_ms)
        self.life = Life.WAITING
        self.restarts += 1
        self.due_ms = self._backoff.died(now_ms - self._started_ms, now_ms)
        begun_ms = self._starts.died(BACKOFF_RESET_MS if self._served else 0, now_ms)
        self._alone_due_ms = max(begun_ms, now_ms + BACKOFF_FIRST_MS)

    def retire(self) -> None:
        """No successor is wanted; heartbeats count as before while the process lives."""
        self.retired = True

    def revive(self, now_ms: int) -> None:
        """A successor is wanted after all, once the process is dead."""
        self.retired = False
        if self.life is Life.WAITING:
            self.due_ms = now_ms

    def stopped(self, now_ms: int) -> None:
        """The process was stopped by a signal: its sockets need a sibling, a late beat the rest."""
        if self.life is Life.SERVING:
            self.life = Life.SUSPECT
            self._away(now_ms)

    def late(self, status: ProcessStatus, now_ms: int) -> bool:
        """Whether so much time has passed without a sign that the next look may be the last."""
        return self.silent_ms(status, now_ms) >= SUSPECT_AFTER_MS

    def silent_ms(self, status: ProcessStatus, now_ms: int) -> int:
        """How long it has shown no sign of life, milliseconds."""
        return now_ms - self._last_sign_ms(status)

    def pardon(self, now_ms: int) -> None:
        """Silence until now does not make it stale: the supervisor itself was away."""
        self._pardoned_ms = now_ms

    def look(self, status: ProcessStatus, now_ms: int, *, starved_ms: int = 0) -> bool:
        """Judge by the process record; True when the process must be killed (once).

        `starved_ms`: of its silence, how long it got no CPU.
        """
        if self.life in (Life.WAITING, Life.CONDEMNED):
            return False
        silent_ms = self.silent_ms(status, now_ms)
        counted_ms = min(silent_ms, now_ms - self._pardoned_ms)
        if silent_ms < STARVED_LIMIT_MS:
            counted_ms -= starved_ms
        if self.life is Life.STARTING:
            if status.state == ProcessState.READY:
                self._back()
            elif counted_ms >= START_LIMIT_MS:
                return self._condemn(now_ms)
            return False
        if counted_ms >= STALE_AFTER_MS:
            return self._condemn(now_ms)
        if silent_ms >= SUSPECT_AFTER_MS:
            self.life = Life.SUSPECT
            self._away(now_ms)
        elif self.life is Life.SUSPECT and self._beat_since_away(status):
            self._back()
        return False

    def can_serve(self, now_ms: int) -> bool:
        """Whether its sockets stay with it: it serves, or lives and was away only for a moment."""
        due_ms = None if self.life is Life.SERVING else self.adoption_due_ms()
        return due_ms is None or now_ms < due_ms

    def adoption_due_ms(self) -> int | None:
        """When its sockets pass to siblings, None while it serves; at once if it died."""
        if self._away_since_ms is None:
            return None
        return self._away_since_ms + (0 if self._lost else ADOPT_AFTER_MS)

    @property
    def hopeless(self) -> bool:
        """No process here was ever ready, and several have died."""
        return not self._was_ready and self.restarts >= HOPELESS_DEATHS

    def _last_sign_ms(self, status: ProcessStatus) -> int:
        """The older of the two beats; the start counts as one."""
        main = max(status.main_beat_ms, self._started_ms)
        if not self._has_relay:
            return main
        return min(main, max(status.relay_beat_ms, self._started_ms))

    def _beat_since_away(self, status: ProcessStatus) -> bool:
        return self._away_since_ms is None or self._last_sign_ms(status) > self._away_since_ms

    def _back(self) -> None:
        self.life = Life.SERVING
        self._served = True
        self._was_ready = True
        self._lost = False
        self._away_since_ms = None

    def _away(self, now_ms: int) -> None:
        if self._away_since_ms is None:
            self._away_since_ms = now_ms

    def _condemn(self, now_ms: int) -> bool:
        self.life = Life.CONDEMNED
        self._away(now_ms)
        return True
