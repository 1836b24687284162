"""Addresses that no server can have, though an answer gives them. Pure.

Resolvers that block names answer 0.0.0.0 or `::`, and a connect to these reaches a listener on the
proxy's own host: clients would get a service that is not the one of the name. Loopback is allowed:
a zone has it only on purpose.
"""

from __future__ import annotations

THIS_NETWORK = 0  # 0.0.0.0/8 (RFC 1122 section 3.2.1.3): Linux connects 0.0.0.0 to the host itself
MULTICAST = range(224, 240)  # first byte (RFC 5771)
BROADCAST = b"\xff" * 4
UNSPECIFIED = bytes(16)
MULTICAST_IPV6 = 0xFF  # first byte (RFC 4291 section 2.7)
LINK_LOCAL = (0xFE, 0x80)  # its first ten bits: it needs an interface, which AAAA does not have
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
