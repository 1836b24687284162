"""Listening sockets on their way between two programs: what `_getsocks` of a stats socket says.

HAProxy 2.6 was observed to speak so (manual of management, section 3, `-x`). The one that asks gets
a count, then messages of some descriptors each (SCM_RIGHTS), and answers each with a count. The
bytes of a message describe its descriptors in turn: network namespace, interface, options. Pure.
"""

from __future__ import annotations

import struct

COMMAND = "_getsocks"
COUNT = struct.Struct("=i")
DESCRIPTORS_MAX = 252  # in one message: the kernel takes 253
DESCRIBED_BYTES_MAX = 2 * 256 + COUNT.size  # of one descriptor


class MessageError(ValueError):
    """Bytes that describe no descriptors."""


def describe_sockets(interfaces: list[str]) -> bytes:
    """The bytes beside descriptors of this namespace, given the interface of each, or ""."""
    return b"".join(
        b"\0" + bytes((len(name),)) + name + COUNT.pack(0)
        for name in (interface.encode() for interface in interfaces)
    )


def read_namespaces(content: bytes, descriptors: int) -> list[str] | None:
    """The network namespace of each descriptor, "" its sender's; None: bytes are missing.

    What else they say the sockets themselves know better. Raises MessageError for too many bytes.
    """
    found = []
    place = 0
    for _ in range(descriptors):
        namespace, place = _text(content, place)
        _interface, place = _text(content, place)
        place += COUNT.size
        found.append(namespace)
    if place < len(content):
        raise MessageError("more is described than was sent")
    return found if place == len(content) else None


def _text(content: bytes, place: int) -> tuple[str, int]:
    """A text behind its length, and where it ends; that may be behind all that there is."""
    end = place + 1 + (content[place] if place < len(content) else 0)
    return content[place + 1 : end].decode("utf-8", "replace"), end
