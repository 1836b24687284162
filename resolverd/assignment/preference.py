"""Which record a server would rather have: `resolve-prefer` and `resolve-net` (S42, S44). Pure.

Owns the networks in binary form and the score of an address. Knows nothing of who has which record.
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
    """The order in which one server takes addresses; two of the same words are equal."""

    def __init__(self, preferred: Family, networks: tuple[str, ...], allow_dup_ip: bool) -> None:
        """Raises ValueError for a network that is none."""
        self.preferred = preferred
        self.allow_dup_ip = allow_dup_ip
        self._networks: tuple[Network, ...] = tuple(
            ipaddress.ip_network(text, strict=False) for text in networks
        )
        self._key = (preferred, networks, allow_dup_ip)

    def __eq__(self, other: object) -> bool:
        """Whether both are of the same words."""
        return isinstance(other, Preference) and self._key == other._key

    def __hash__(self) -> int:
        """Of the words."""
        return hash(self._key)

    def score(self, address: Address) -> int:
        """How much the server wants this address, more is better."""
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
        """The addresses, the best first, equals in the order in which they come."""
        if self._networks:
            return sorted(addresses, key=self.score, reverse=True)
        preferred = self.preferred
        return sorted(addresses, key=lambda address: address.family != preferred)


@lru_cache(maxsize=1024)
def _preference(preferred: Family, networks: tuple[str, ...], allow_dup_ip: bool) -> Preference:
    return Preference(preferred, networks, allow_dup_ip)


def preference_of(server: ResolvedServer, preferred: Family) -> Preference:
    """What the server's line says; `preferred` where it says nothing about the family."""
    family = preferred if server.preferred is Family.NONE else server.preferred
    return _preference(family, server.networks, server.allow_dup_ip)
