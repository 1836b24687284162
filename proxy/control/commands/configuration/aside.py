"""Work in a thread of its own: for what takes long and touches nothing that others use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """One piece of work, begun when it is waited for; the rest of control goes on meanwhile."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: Exception | None = None

    async def over(self) -> None:
        """Return when it is done."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def run() -> None:
            try:
                self._results.append(self._work())
            except Exception as error:
                self._error = error
            loop.call_soon_threadsafe(_end, ended)

        Thread(target=run, daemon=True).start()
        await ended

    def result(self) -> T:
        """What it has brought; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():  # the one who waited may have gone
        ended.set_result(None)
