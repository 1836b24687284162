"""Looking into packed lists of patterns."""

from __future__ import annotations

import struct
from collections.abc import Iterator

HEAD = struct.Struct("2H9I5Q")  # as in proxy/lists/layout.pxd


def texts_in(packed: bytes) -> Iterator[bytes]:
    """The texts of a list, in their order."""
    *_, count, head_bytes, _, _, _, _, at, _, _ = HEAD.unpack_from(packed)
    for _ in range(count):
        (length,) = struct.unpack_from("H", packed, at)
        at += head_bytes
        yield packed[at : at + length]
        at += length
