"""Addresses that no server can have, though an answer gives them. Pure.

Resolvers that block names answer 0.0.0.0 or `::`, and a connect there reaches a service of the
proxy's own host: who asks for one name would be served by whatever listens here. Loopback stays
allowed: who writes it in a zone means it.
"""

from __future__ import annotations

THIS_NETWORK = 0  # 0.0.0.0/8 (RFC 1122 section 3.2.1.3): Linux takes 0.0.0.0 for the own host
MULTICAST = range(224, 240)  # first byte (RFC 5771)
BROADCAST = b"\xff" * 4
UNSPECIFIED = bytes(16)
MULTICAST_IPV6 = 0xFF  # first byte (RFC 4291 section 2.7)
LINK_LOCAL = (0xFE, 0x80)  # its first ten bits: an interface belongs to it, which DNS cannot name
LINK_LOCAL_MASK = 0xC0
MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address follows (RFC 4291 section 2.5.5.2)


def is_usable(packed: bytes) -> bool:
    """Whether a server may have this address, 4 or 16 bytes in network order."""
    first = packed[0]
    if len(packed) == len(BROADCAST):
        return first != THIS_NETWORK and first not in MULTICAST and packed != BROADCAST
    if first == MULTICAST_IPV6 or packed == UNSPECIFIED:
        return False
    if (first, packed[1] & LINK_LOCAL_MASK) == LINK_LOCAL:
        return False
    return not packed.startswith(MAPPED) or is_usable(packed[len(MAPPED) :])
