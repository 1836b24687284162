"""What is true in a simulated world, and what its nameservers make of it.

`Zone` is the truth: hosts, SRV records and the domain in which a short name is found. A nameserver
says it late, twice, cut, in part, or something else: an error, what was never true, or for a whole
history a zone of its own (a split view). Knows no time and nothing of resolverd but its answers.
"""

from __future__ import annotations

import random

from resolverd.config import Family
from resolverd.dns.answer import Address, Answer, QueryType, Question, ServiceRecord, Status

HOSTS = ("a.test", "b.test", "h0.test", "h1.test", "h2.test", "o.test", "short")
LABEL = "_s._tcp.test"
DOMAINS = ("x.test", "y.test")  # the search list
PLACES = (*[f"short.{domain}" for domain in DOMAINS], "short")
BASE = {f"{host}.{domain}": host for host in HOSTS for domain in DOMAINS}
UNIVERSE = {
    (host, kind): tuple(
        Address(Family.IPV4, bytes((127, 1, number, n)))
        if kind is QueryType.A
        else Address(Family.IPV6, bytes(14) + bytes((number, n)))
        for n in range(1, 5)
    )
    for number, host in enumerate(HOSTS)
    for kind in (QueryType.A, QueryType.AAAA)
}
TARGETS = ("a.test", "h0.test", "h1.test", "h2.test")
SERVICES = tuple((target, port) for target in TARGETS for port in (80, 81))
ERRORS = (Status.NX, Status.REFUSED, Status.OTHER, Status.INVALID, Status.CNAME_ERROR)
NODATA = Answer(Status.NODATA)
FATES = (
    "true", "true", "true", "other", "part", "cut", "error", "silent", "twice", "unsent", "empty",
)  # fmt: skip
TTLS_S = (0, 1, 2, 5, 300)


def base_of(name: str) -> str:
    """The name without the domain of a search list."""
    return BASE.get(name, name)


class Zone:
    """Hosts, services and where the short name is."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.hosts: dict[tuple[str, QueryType], tuple[Address, ...]] = {}
        self.place = PLACES[0]
        for host in HOSTS:
            self.change_host(host)
        self.services = self.some_services(chance.randrange(1, 6))

    def change_host(self, host: str) -> None:
        chance = self.chance
        for kind in (QueryType.A, QueryType.AAAA):
            known = UNIVERSE[host, kind]
            self.hosts[host, kind] = tuple(chance.sample(known, chance.randrange(4)))
        if not self.hosts[host, QueryType.A]:
            self.hosts[host, QueryType.A] = UNIVERSE[host, QueryType.A][:1]
        if host == "short":
            self.place = chance.choice(PLACES)

    def change_services(self) -> None:
        self.services = self.some_services(self.chance.randrange(1, 6))

    def some_services(self, count: int) -> tuple[ServiceRecord, ...]:
        chance = self.chance
        with_addresses = chance.random() < 0.5
        weights = chance.choice(((0,), (0, 1), (0, 0, 1, 256, 257, 65_535)))
        return tuple(
            ServiceRecord(
                target, port, chance.choice(weights), chance.choice((0, 10, 20)),
                self._additional(target) if with_addresses else (),
            )
            for target, port in chance.sample(SERVICES, count)
        )  # fmt: skip

    def _additional(self, target: str) -> tuple[Address, ...]:
        four, six = self.hosts[target, QueryType.A], self.hosts[target, QueryType.AAAA]
        return four + six if self.chance.random() < 0.5 else four

    def answer(self, question: Question, fate: str) -> Answer:
        """What a nameserver with this zone says, if that is its fate."""
        chance = self.chance
        ttl_s = chance.choice(TTLS_S)
        if fate == "error":
            return Answer(chance.choice(ERRORS))
        if question.query_type is QueryType.SRV:
            return self._answer_service(fate, ttl_s)
        name = base_of(question.name)
        if question.name != (self.place if name == "short" else name):
            return Answer(Status.NX)
        if fate == "empty":
            return NODATA
        found = self.hosts[name, question.query_type]
        if fate in ("other", "cut"):
            universe = UNIVERSE[name, question.query_type]
            found = tuple(chance.sample(universe, chance.randrange(1, 4)))
        elif fate == "part" and found:
            found = tuple(chance.sample(found, chance.randrange(1, len(found) + 1)))
        if fate == "cut":
            return Answer(Status.TRUNCATED, found, partial=True)
        return Answer(Status.VALID, found, ttl_s=ttl_s) if found else NODATA

    def _answer_service(self, fate: str, ttl_s: int) -> Answer:
        if fate == "empty":
            return NODATA
        services, chance = self.services, self.chance
        if fate in ("other", "cut"):
            services = self.some_services(chance.randrange(1, 4))
        elif fate == "part":
            services = tuple(chance.sample(services, chance.randrange(1, len(services) + 1)))
        return Answer(Status.VALID, services=services, partial=fate == "cut", ttl_s=ttl_s)
