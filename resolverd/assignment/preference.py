"""The order of records for a server: `resolve-prefer` and `resolve-net` (S42, S44). Pure.

Owns the networks in binary form and the score of an address. Knows no assignment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from resolverd.config import Family, ResolvedServer
from resolverd.dns.answer import Address

FAMILY_SCORE = 8  # HAProxy's weights: the family counts for more than the network
NETWORK_SCORE = 4

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Preference:
    """The order in which one server takes addresses; equal for equal words of the server line."""

    def __init__(self, preferred: Family, networks: tuple[str, ...], allow_dup_ip: bool) -> None:
        """Raises ValueError for a text in `networks` that is no network."""
        self.preferred = preferred
        self.allow_dup_ip = allow_dup_ip
        self._networks: tuple[Network, ...] = tuple(
            ipaddress.ip_network(text, strict=False) for text in networks
        )
        self._key = (preferred, networks, allow_dup_ip)

    def __eq__(self, other: object) -> bool:
        """Whether family, networks and duplicates are the same."""
        return isinstance(other, Preference) and self._key == other._key

    def __hash__(self) -> int:
        """Consistent with `__eq__`."""
        return hash(self._key)

    def score(self, address: Address) -> int:
        """HAProxy's score of an address; a higher one is taken first."""
        score = FAMILY_SCORE if address.family == self.preferred else 0
        if self._networks and self._in_network(address):
            score += NETWORK_SCORE
        return score

    def _in_network(self, address: Address) -> bool:
        parsed = ipaddress.ip_address(address.packed)
        return any(
            parsed.version == network.version and parsed in network for network in self._networks
        )

    def ranked(self, addresses: Iterable[Address]) -> list[Address]:
        """The addresses by falling score, equals in the given order."""
        if self._networks:
            return sorted(addresses, key=self.score, reverse=True)
        preferred = self.preferred
        return sorted(addresses, key=lambda address: address.family != preferred)


@lru_cache(maxsize=1024)
def _preference(preferred: Family, networks: tuple[str, ...], allow_dup_ip: bool) -> Preference:
    return Preference(preferred, networks, allow_dup_ip)


def preference_of(server: ResolvedServer, preferred: Family) -> Preference:
    """The preference of the server's line; `preferred` where it names no family."""
    family = preferred if server.preferred is Family.NONE else server.preferred
    return _preference(family, server.networks, server.allow_dup_ip)
