"""The address of a name that an operator gives where an address is wanted: by libc, once.

Control goes on meanwhile: only this answer waits.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from proxy.control.limits import LOOKUP_SECONDS_MAX


class Lookup:
    """One question; once it is over `address` is the first one, or None."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.address: str | None = None

    async def over(self) -> None:
        """Return with an answer, or without one after LOOKUP_SECONDS_MAX."""
        loop = asyncio.get_running_loop()
        with suppress(OSError, UnicodeError, TimeoutError):
            async with asyncio.timeout(LOOKUP_SECONDS_MAX):
                found = await loop.getaddrinfo(self._name, None, type=socket.SOCK_STREAM)
            self.address = str(found[0][4][0])
