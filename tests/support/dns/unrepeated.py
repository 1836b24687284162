"""The part of an asker without sockets, which repeats no run: the core begins and ends each."""

from __future__ import annotations

from resolverd.resolution.repetition import Repeatable, Repeated


class Unrepeated:
    """For askers of tests that are about the core alone."""

    def repeat(self, key: int, run: Repeatable, now_ms: int) -> bool:
        return False

    def read(self) -> None:
        pass

    def next_repeat_ms(self) -> int | None:
        return None

    def serve_repeats(self, now_ms: int) -> None:
        pass

    def take_back(self, key: int) -> Repeated:
        raise KeyError(key)
