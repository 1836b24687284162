"""`wait <delay> [srv-removable <b>/<s>|be-removable <b>]` (management manual of 3.4, section 9.3).

It orders nothing: a client that leaves ends it, and one that waits gives up its place where others
want one and none is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_time_ms
from proxy.control.command import Command, CommandError, Level, Piece, Vigil
from proxy.control.limits import CONDITION_LOOK_SECONDS

DONE = "Done.\n"
EXPIRED = "Wait delay expired."
REMOVABLE = "srv-removable"
BACKEND_REMOVABLE = "be-removable"
USAGE = f"""\
Usage: wait {{-h|<delay>}} [<condition> [<arguments>]]
  <delay> is in milliseconds, or has a unit (us, ms, s, m, h, d). Conditions, which end it earlier:
  - {REMOVABLE} <backend>/<server> : 'del server' would delete the server
  - {BACKEND_REMOVABLE} <backend> : 'del backend' would delete the backend
"""
Look = Callable[[], str]  # why not yet, empty: now; raises CommandError: never


class Waiting(Vigil):
    """The wait for a moment, or for a condition until then; `reason`: why that is not met."""

    idle = True

    def __init__(self, seconds: float, look: Look | None) -> None:
        self._seconds = seconds
        self._look = look
        self._error: CommandError | None = None
        self.reason = ""

    async def over(self) -> None:
        """Return when the time is over, or the condition is met or will never be."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while not self._decided() and (left := until - loop.time()) > 0:
            await asyncio.sleep(left if self._look is None else min(CONDITION_LOOK_SECONDS, left))

    def _decided(self) -> bool:
        if self._look is None:
            return False
        try:
            self.reason = self._look()
        except CommandError as error:
            self._error = error
        return self._error is not None or not self.reason

    def check(self) -> None:
        """Raises CommandError: the condition will never be met."""
        if self._error is not None:
            raise self._error


class WaitCommand:
    """One command, which looks at servers and backends by their names."""

    def __init__(
        self, server_removable: Callable[[str], str], backend_removable: Callable[[str], str]
    ) -> None:
        self._removable = {
            REMOVABLE: (server_removable, "<backend>/<server>"),
            BACKEND_REMOVABLE: (backend_removable, "<backend>"),
        }

    def commands(self) -> list[Command]:
        """What this family answers to."""
        usage, text = "{-h|<delay>} [<condition>]", "wait for some time, or until a condition holds"
        return [Command(("wait",), usage, text, Level.USER, self.wait)]

    def wait(self, words: list[str], _level: Level) -> Iterator[Piece]:
        """`wait {-h|<delay>} [<condition> [<arguments>]]`."""
        if not words or "-h" in words[:2]:
            yield USAGE
            return
        try:
            seconds = parse_time_ms(words[0], lambda _text: None, "ms") / 1_000
        except ConfigError as error:
            raise CommandError(f"Invalid delay: {error}") from error
        waiting = Waiting(seconds, self._condition(words[1:]))
        yield waiting
        waiting.check()
        yield f"{EXPIRED} {waiting.reason}\n" if waiting.reason else DONE

    def _condition(self, words: list[str]) -> Look | None:
        if not words:
            return None
        if words[0] not in self._removable:
            known = f"'{REMOVABLE}' and '{BACKEND_REMOVABLE}'"
            raise CommandError(f"Unknown condition '{words[0]}': there are {known}.")
        removable, what = self._removable[words[0]]
        if len(words) != 2:
            raise CommandError(f"'{words[0]}' expects {what}.")
        return lambda: removable(words[1])
