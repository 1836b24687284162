"""Looking into packed lists of patterns."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD = struct.Struct("2H5I4Q")  # as in proxy/lists/layout.pxd


def texts_in(packed: bytes) -> Iterator[bytes]:
    """The texts of a list, in their order."""
    _, _, count, _, _, _, _, _, _, at, _ = HEAD.unpack_from(packed)
    for _ in range(count):
        (length,) = struct.unpack_from("H", packed, at)
        yield packed[at + 2 : at + 2 + length]
        at += 2 + length
