"""What a program still does once another build runs in the process that everybody knows.

                  take               silent              done
    SERVING ---------------> GIVING --------> (asked) ----------> LEAVING ----> the end
       ^  ^                    |                 |
       |  +------- back -------+-----------------+
       | stand by: no build took over, signals come as words
    ALONE

It is the former supervisor in a fork: it has all in memory, and replaces what dies until the
successor serves, so that no moment is without a supervisor. What it forks is its own child, what
was there before is the main process's: it hears of ends by pidfd, and takes no status.
"""

from __future__ import annotations

import enum
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

from proxy.builds.succession import WORD_BYTES_MAX, send_word
from proxy.control.pausing import settle_closed
from proxy.supervisor.generation import Generation
from proxy.supervisor.limits import STARTING_TICK_MS, TICK_MS
from proxy.supervisor.reactor import Reactor

MASTER_LEAVES_MS = 1_000  # it has sent the answer to the reload's order by then


class StewardStep(enum.Enum):
    """Where a handing over stands; see the drawing above."""

    SERVING = "serving"
    GIVING = "giving"
    LEAVING = "leaving"
    ALONE = "alone"


class Orders:
    """What the words of the successor mean for the supervisor; it implements them."""

    def __init__(
        self,
        *,
        leave: Callable[[list[int], str, int], None],
        stop: Callable[[int], None],
        renewed: Callable[[int, int, int], None],
        obey: Callable[[signal.Signals], None],
        stand_alone: Callable[[str], None],
    ) -> None:
        self.leave = leave  # with descriptors that the successor keeps, why it is another one, now
        self.stop = stop
        self.renewed = renewed  # the newest generation, how many may be between, now
        self.obey = obey
        self.stand_alone = stand_alone


class Steward:
    """The words between the two, and where they stand."""

    def __init__(self, channel: socket.socket, reactor: Reactor, orders: Orders) -> None:
        """Serve on until something else is said."""
        self.step = StewardStep.SERVING
        self._channel = channel
        self._orders = orders
        self._heard: list[dict[str, object]] = []
        channel.setblocking(False)
        reactor.watch(channel.fileno(), self._receive)

    @property
    def reloads(self) -> bool:
        """Whether a reload is its matter still."""
        return self.step is StewardStep.ALONE

    @property
    def leaves(self) -> bool:
        """Whether a successor serves."""
        return self.step is StewardStep.LEAVING

    def _receive(self, _now_ms: int) -> None:
        with suppress(BlockingIOError):
            content = self._channel.recv(WORD_BYTES_MAX)
            if content:
                self._heard.append(json.loads(content))

    def turn(self, current: Generation, now_ms: int) -> None:
        """Do what was said; say what has come to pass."""
        while self._heard:
            self._obey(self._heard.pop(0), current, now_ms)
        if self.step is StewardStep.GIVING and current.services.silent:
            self.step = StewardStep.SERVING
            send_word(self._channel.fileno(), "silent")

    def _obey(self, said: dict[str, object], current: Generation, now_ms: int) -> None:
        word = said["word"]
        if word == "take" and self.step is StewardStep.SERVING:
            self.step = StewardStep.GIVING
            current.services.give_way(now_ms)
        elif word == "back" and self.step in (StewardStep.SERVING, StewardStep.GIVING):
            self.step = StewardStep.SERVING
            current.services.revive(now_ms)
            settle_closed(current.runtime)  # the successor may have listened on all sockets
        elif word == "done":
            self.step = StewardStep.LEAVING
            kept, failed = said["kept"], str(said["failed"])
            assert isinstance(kept, list)
            self._orders.leave(kept, failed, now_ms)
        elif word == "stand by":
            self.step = StewardStep.ALONE
            self._orders.stand_alone(str(said["failed"]))
        elif word == "stop":
            self._orders.stop(now_ms)
        elif word == "renewed":
            self._orders.renewed(int(str(said["newest"])), int(str(said["limit"])), now_ms)
        elif word == "signal":
            self._orders.obey(signal.Signals(int(str(said["number"]))))

    def timeout_ms(self) -> int:
        """How long nothing will have to be done."""
        return STARTING_TICK_MS if self.step is StewardStep.GIVING or self._heard else TICK_MS
