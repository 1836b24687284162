"""A program takes over from the former one in the same process: the steps of it, as at a reload.

The former services go on until those of this program have loaded; then they fall silent, what they
wrote last is copied, and the gate opens. Whatever is raised on the way ends this program before it
served: the former one goes on (proxy/builds/succession.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from proxy.builds.succession import settle
from proxy.members.table_changes import members_left, members_now, published_again
from proxy.supervisor.build import hand_over
from proxy.supervisor.burial import elders, end_oldest
from proxy.supervisor.dropped import orders_dropped
from proxy.supervisor.former import OTHER_LAYOUT, Former
from proxy.supervisor.generation import Generation
from proxy.supervisor.legacy import settle_legacy
from proxy.supervisor.limits import FIRST_READY_LIMIT_MS, SERVICES_END_LIMIT_MS
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.slices import Sliced
from shm.log_level import LogLevel


class InheritingError(Exception):
    """This program does not come to serve; the text says why."""


class Inheriting:
    """The steps; `turn` says when all are done."""

    def __init__(
        self, former: Former, first: Generation, old: Sequence[Generation | Former]
    ) -> None:
        """The first generation of this program is about to be forked; `old` goes with the time."""
        self.former = former
        self.failed = ""  # why the build that was to take over did not, where this is another
        self._first = first
        first.children.elders.find = partial(elders, old, None, first.number)
        self._asked = False
        self._deadline_ms = 0
        self._copying: Sliced[None] | None = None

    def begin(self, reactor: Reactor, failed: str) -> None:
        """Hear of the former program; `failed`: why another build does not take over."""
        self.failed = failed
        self.former.watched(reactor, self._first.runtime.log)

    def turn(self, now_ms: int) -> bool:
        """Everything that time brings; raises InheritingError and what copying raises."""
        self._deadline_ms = self._deadline_ms or now_ms + FIRST_READY_LIMIT_MS
        first, former = self._first, self.former
        if not self._asked:
            if first.children.workers_ready and first.services.loaded:
                self._asked = True
                self._deadline_ms = now_ms + 2 * SERVICES_END_LIMIT_MS
                former.ask()
            elif first.children.hopeless or first.services.hopeless:
                raise InheritingError("its processes do not become ready")
        elif self._copying is None:
            if former.silent:
                self._copying = Sliced(hand_over(former, first))
        elif self._copying.advance():
            return True
        if now_ms >= self._deadline_ms and self._copying is None:
            raise InheritingError("its processes do not become ready in time")
        return False

    def conclude(self, now_ms: int) -> None:
        """All is here: this program serves, the former one finishes its sessions."""
        first, former = self._first, self.former
        held = first.sockets.held.values()
        kept = [item.socket.fileno() for items in held for item in items]
        first.services.open_gate()
        settle()
        settle_legacy()
        former.dismiss(kept, self.failed)
        if former.carried is not None:
            first.came_by = former.carried.onward
        end_oldest([former], first, now_ms)

    def tell(self) -> None:
        """To the log, that it is done as the last of all."""
        for level, text in self._told():
            self._first.runtime.log(level, text)
        done = f"upgrade done: generation {self._first.number} serves"
        self._first.runtime.log(LogLevel.NOTICE, done)

    def _told(self) -> Iterator[tuple[LogLevel, str]]:
        first, former = self._first, self.former
        if self.failed:
            text = f"the upgrade failed, the former build goes on: {self.failed}"
            yield LogLevel.ALERT, text
        if former.runtime is None:
            yield LogLevel.WARNING, OTHER_LAYOUT
            return
        left = members_now(former.runtime.servers, former.runtime.segment)
        members = members_left(left, first.runtime.servers)
        published = published_again(left, former.runtime.segment, first.runtime.servers)
        for text in (*members, *published, *orders_dropped(former.runtime, first.runtime)):
            yield LogLevel.NOTICE, text
