"""Answers in gzip (RFC 1952), packed in portions by a thread: the loop goes on meanwhile.

zlib lets the interpreter go while it packs. A part of metrics may be 300 KB, which takes it
milliseconds; small ones are joined, so that the way to the thread and back is worth it.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

LEVEL = 1  # metrics are alike: the best makes them half as large again, for ten times the time
GZIP = 16 + zlib.MAX_WBITS  # what zlib takes for the format of gzip
PACKED_AT_ONCE_BYTES = 65_536
HEADERS = (("Content-Encoding", "gzip"),)
VARIES = (("Vary", "Accept-Encoding"),)
_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header has gzip (RFC 9110, section 12.5.3)."""
    for each in accepted.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return _REFUSED.fullmatch(weight) is None
    return False


class Packing:
    """Packs all answers of the process, one portion at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "gzip")  # starts with the first portion

    async def packed(self, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The parts as one stream of gzip; raises what they raise, and is cut off there."""
        packer = zlib.compressobj(LEVEL, wbits=GZIP)
        waiting: list[bytes] = []
        size = 0
        async with aclosing(parts):
            async for part in parts:
                waiting.append(part)
                size += len(part)
                if size >= PACKED_AT_ONCE_BYTES:
                    yield await self._aside(packer.compress, b"".join(waiting))
                    waiting, size = [], 0
        packed = await self._aside(packer.compress, b"".join(waiting))
        yield packed + packer.flush()

    async def _aside(self, pack: Callable[[bytes], bytes], content: bytes) -> bytes:
        """Done by the thread, or here where memory is too short for one."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, pack, content)
        except RuntimeError:
            return pack(content)
