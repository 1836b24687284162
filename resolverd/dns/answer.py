"""What one DNS reply means: bytes in, an `Answer` (records or an error status) out. Pure.

Owns the wire form of queries and replies. Knows no socket, no clock and no state of a resolution.

A datagram is a reply to a question only if QR, opcode and the question itself match (RFC 5452
section 9.1); the transport has matched source and id before. For any other `read_reply` returns
None, the caller counts it `invalid` and goes on waiting, so that a forged or stray datagram can
never end an attempt. A matching reply has exactly one status:

    rcode 3 -> NX, 5 -> REFUSED, other than 0 -> OTHER      (the question may be missing)
    TC set -> TRUNCATED, even with no record in it; SRV records present are VALID (S23)
    body that cannot be parsed, or only records of foreign owners -> INVALID
    only addresses that no server can have     -> INVALID
    CNAME chain without an end or without data -> CNAME_ERROR
    a referral: only other nameservers' names  -> OTHER
    no record of the asked type -> NODATA, else VALID

A chain of aliases is followed inside one reply only, by the owners of its records, in any order. It
may end with NODATA, with the SOA record of the last name's zone (RFC 2308 section 2.2). A reply
with TC gives a `partial` answer: its records are confirmed or added, none is removed by absence
alone.

In SRV answers every record counts, whatever its owner (S25), with the addresses that the additional
section has for its target. A record with target ".", port 0, or a target that is no host name is
skipped.
"""

from __future__ import annotations

import enum
import functools
import re
import socket

import msgspec

from resolverd.config import Family
from resolverd.dns.unusable import is_usable
from resolverd.dns.wire import (
    AA,
    HEADER_BYTES,
    OPCODE,
    QR,
    RCODE_BADVERS,
    RCODE_FORMERR,
    RCODE_NOERROR,
    RCODE_NOTIMP,
    RCODE_NXDOMAIN,
    RCODE_REFUSED,
    TC,
    TTL_MAX_S,
    TYPE_A,
    TYPE_AAAA,
    TYPE_CNAME,
    TYPE_NS,
    TYPE_SOA,
    TYPE_SRV,
    BrokenMessageError,
    WireRecord,
    WireReply,
    is_within,
    labels_of,
    name_of,
    query_to_wire,
    question_to_wire,
)

QUESTIONS_MAX = 512  # kept in wire form: of the runs that are open, in both families
HOST_LABELS = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")  # the labels of a target


class QueryType(enum.IntEnum):
    """The type of a query; the value is the RR type number (RFC 1035 section 3.2.2, 3596, 2782)."""

    A = TYPE_A
    AAAA = TYPE_AAAA
    SRV = TYPE_SRV


class Status(enum.IntEnum):
    """The result of a reply or of a run; 0 in a resolution record: no run has ended."""

    VALID = 1
    NX = 2
    REFUSED = 3
    TIMEOUT = 4
    NODATA = 5
    TRUNCATED = 6
    CNAME_ERROR = 7
    INVALID = 8
    OTHER = 9

    @property
    def counter(self) -> str:
        """The nameserver counter that counts such a reply."""
        return "any_err" if self is Status.NODATA else self.name.lower()


class Address(msgspec.Struct, frozen=True, order=True):
    """An IP address as the segment stores it: family and 4 or 16 bytes in network order."""

    family: Family
    packed: bytes

    @property
    def text(self) -> str:
        """The address in its usual text form (inet_ntop)."""
        family = socket.AF_INET if self.family == Family.IPV4 else socket.AF_INET6
        return socket.inet_ntop(family, self.packed)

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address of `text`; raises OSError if that is none."""
        if ":" in text:
            return cls(Family.IPV6, socket.inet_pton(socket.AF_INET6, text))
        return cls(Family.IPV4, socket.inet_pton(socket.AF_INET, text))


_FAMILY_TYPE = {Family.IPV4: QueryType.A, Family.IPV6: QueryType.AAAA}


def query_types(preferred: Family, families: tuple[Family, ...]) -> tuple[QueryType, ...]:
    """The types to ask for addresses: a single accepted family wins over `resolve-prefer`."""
    if len(families) == 1:
        return (_FAMILY_TYPE[families[0]],)
    if preferred == Family.IPV4:
        return (QueryType.A, QueryType.AAAA)
    return (QueryType.AAAA, QueryType.A)


class Question(msgspec.Struct, frozen=True):
    """The question of a query: name without the trailing dot, class IN."""

    name: str
    query_type: QueryType


class ServiceRecord(msgspec.Struct, frozen=True):
    """One SRV record (RFC 2782); `target` is lower case, without the trailing dot.

    `addresses` are those of the target in the additional section.
    """

    target: str
    port: int
    weight: int
    priority: int = 0
    addresses: tuple[Address, ...] = ()

    @property
    def text(self) -> str:
        """`target:port (addresses)` for log lines; equal for equal sets of addresses."""
        found = ", ".join(sorted(each.text for each in self.addresses))
        return f"{self.target}:{self.port}" + (f" ({found})" if found else "")


class Answer(msgspec.Struct, frozen=True):
    """The content of a matching reply; `addresses` or `services` in its order, without repeats.

    `aliased`: a CNAME led to them; `partial`: the reply was cut; `ttl_s` is the smallest time to
    live of the aliases and records that count, 0 without any. `extension_refused`: an error of a
    nameserver without EDNS; `unusable` are addresses that no server can have (unusable.py), which
    do not count.
    """

    status: Status
    addresses: tuple[Address, ...] = ()
    aliased: bool = False
    services: tuple[ServiceRecord, ...] = ()
    partial: bool = False
    ttl_s: int = 0
    extension_refused: bool = False
    unusable: tuple[Address, ...] = ()


# The rcodes of nameservers without EDNS for an OPT record (RFC 6891 sections 6.1.3 and 7)
EXTENSION_REFUSED = (RCODE_FORMERR, RCODE_NOTIMP, RCODE_BADVERS)
_RCODE_STATUS = {RCODE_NXDOMAIN: Status.NX, RCODE_REFUSED: Status.REFUSED}
_FAMILIES = {TYPE_A: Family.IPV4, TYPE_AAAA: Family.IPV6}


@functools.lru_cache(QUESTIONS_MAX)
def build_query(question: Question, payload_size: int | None) -> bytes:
    """The query in wire form, its id 0; cached. Raises ValueError if the name is none.

    Without a payload size it has no OPT record.
    """
    return query_to_wire(_question_section(question), payload_size)


@functools.lru_cache(QUESTIONS_MAX)
def _question_section(question: Question) -> bytes:
    return question_to_wire(question.name, question.query_type)


def read_reply(wire: bytes, question: Question) -> Answer | None:
    """The answer of `wire` to `question`; None if it is no reply to it."""
    reply = match(wire, question)
    return None if reply is None else judge(reply, question)


def match(wire: bytes, question: Question) -> WireReply | None:
    """The message with its header and question read; None if it is no reply to `question`."""
    if len(wire) < HEADER_BYTES:
        return None
    reply = WireReply(wire)
    asked = _question_section(question)
    if reply.flags & (QR | OPCODE) != QR:
        return None
    # an error may come without the question
    if reply.repeats(asked) or (reply.rcode and not reply.questions):
        return reply
    return None


def judge(reply: WireReply, question: Question) -> Answer:
    """The answer of a reply that matches the question."""
    asked = _question_section(question)
    truncated = bool(reply.flags & TC)
    broken = False
    try:
        reply.read(asked)
    except BrokenMessageError:  # a cut message may end inside a record: those before it count
        broken = not truncated
    if reply.rcode != RCODE_NOERROR:
        status = _RCODE_STATUS.get(reply.rcode, Status.OTHER)
        return Answer(status, extension_refused=reply.rcode in EXTENSION_REFUSED)
    if broken:
        return Answer(Status.INVALID)
    if question.query_type is QueryType.SRV:
        answer = _read_services(reply, name_of(asked))
    else:
        answer = _read_addresses(reply, question.query_type, name_of(asked))
    return cut(answer) if truncated else answer


def cut(answer: Answer) -> Answer:
    """The answer of a reply with TC, or larger than the accepted payload."""
    if answer.services:
        return msgspec.structs.replace(answer, partial=True)
    return Answer(Status.TRUNCATED, answer.addresses, partial=True, unusable=answer.unusable)


def _read_addresses(reply: WireReply, query_type: QueryType, asked: bytes) -> Answer:
    """Follow the aliases by owner; the addresses are those of the name that they lead to."""
    records = [each for each in reply.answer.records if each[0] in (TYPE_CNAME, query_type)]
    chain = _chain(records, asked)
    if chain is None:
        return Answer(Status.CNAME_ERROR)
    if not all(owner in chain for _, owner, _, _ in records):
        known = any(owner in chain for _, owner, _, _ in records)
        return Answer(Status.CNAME_ERROR if known else Status.INVALID)
    *passed, last = chain
    found: dict[bytes, None] = {}
    ttl_s = TTL_MAX_S
    for kind, owner, life_s, data in records:
        if kind == TYPE_CNAME:
            ttl_s = min(ttl_s, life_s)
        elif owner == last:
            ttl_s = min(ttl_s, life_s)
            found[data] = None
    if not found:
        return Answer(_nothing(reply, last, aliased=bool(passed)))
    family = _FAMILIES[query_type]
    addresses = tuple([Address(family, packed) for packed in found])
    unusable: tuple[Address, ...] = ()
    if not all(map(is_usable, found)):
        unusable = tuple(each for each in addresses if not is_usable(each.packed))
        addresses = tuple(each for each in addresses if is_usable(each.packed))
        if not addresses:
            return Answer(Status.INVALID, unusable=unusable)
    return Answer(Status.VALID, addresses, bool(passed), ttl_s=ttl_s, unusable=unusable)


def _chain(records: list[WireRecord], asked: bytes) -> dict[bytes, None] | None:
    """The asked name and its aliases in order; None for a loop or an alias of two names."""
    targets: dict[bytes, bytes] = {}
    for kind, owner, _, data in records:
        if kind == TYPE_CNAME and targets.setdefault(owner, data) != data:
            return None  # an alias of two names
    chain = {asked: None}
    name = asked
    while name in targets:
        name = targets[name]
        if name in chain:
            return None
        chain[name] = None
    return chain


def _nothing(reply: WireReply, name: bytes, *, aliased: bool) -> Status:
    """The status of a reply without a record of the asked type (RFC 2308 section 2.2).

    With the SOA record of the name's zone: NODATA. Without it, behind an alias: CNAME_ERROR. A
    referral to other nameservers: OTHER.
    """
    owners = reply.authority.owners
    if any(is_within(name, zone) for zone in owners[TYPE_SOA]):
        return Status.NODATA
    if aliased:
        return Status.CNAME_ERROR
    is_referral = owners[TYPE_NS] and not owners[TYPE_SOA] and not reply.flags & AA
    return Status.OTHER if is_referral else Status.NODATA


def _read_services(reply: WireReply, asked: bytes) -> Answer:
    """All SRV records, each once, with the addresses of their targets in the additional section."""
    known, unusable, lives_s = _addresses_of_hosts(reply.additional.records)
    found: dict[tuple[bytes, int], ServiceRecord] = {}
    alias_lives_s = [life_s for kind, _, life_s, _ in reply.answer.records if kind == TYPE_CNAME]
    aliased = bool(alias_lives_s)
    ttl_s = min(alias_lives_s, default=TTL_MAX_S)
    targets: dict[bytes, str | None] = {}
    for _, life_s, priority, weight, port, name in reply.answer.services:
        if name not in targets:
            targets[name] = host_name(name)
        target = targets[name]
        if target is None or port == 0:
            continue
        ttl_s = min(ttl_s, life_s, lives_s.get(name, TTL_MAX_S))
        service = ServiceRecord(target, port, weight, priority, known.get(name, ()))
        former = found.setdefault((name, port), service)
        if former is not service:  # repeats become one, the same in any order
            found[name, port] = msgspec.structs.replace(
                former,
                weight=max(weight, former.weight),
                priority=min(priority, former.priority),
            )
    if not found:
        if reply.answer.services:  # only targets "." (RFC 2782): no such service
            return Answer(Status.NODATA)
        aliases = [each for each in reply.answer.records if each[0] == TYPE_CNAME]
        chain = _chain(aliases, asked)
        if chain is None:
            return Answer(Status.CNAME_ERROR)
        return Answer(_nothing(reply, next(reversed(chain)), aliased=aliased))
    return Answer(
        Status.VALID,
        aliased=aliased,
        services=tuple(found.values()),
        ttl_s=ttl_s,
        unusable=unusable,
    )


def _addresses_of_hosts(
    records: list[WireRecord],
) -> tuple[dict[bytes, tuple[Address, ...]], tuple[Address, ...], dict[bytes, int]]:
    """The addresses in a section by owner, the unusable ones, and each owner's smallest TTL."""
    found: dict[bytes, dict[Address, None]] = {}
    unusable: dict[Address, None] = {}
    lives_s: dict[bytes, int] = {}
    for kind, owner, life_s, data in records:
        if kind == TYPE_CNAME:
            continue
        if not is_usable(data):
            unusable[Address(_FAMILIES[kind], data)] = None
        else:
            found.setdefault(owner, {})[Address(_FAMILIES[kind], data)] = None
            lives_s[owner] = min(lives_s.get(owner, TTL_MAX_S), life_s)
    by_owner = {owner: tuple(addresses) for owner, addresses in found.items()}
    return by_owner, tuple(unusable), lives_s


def host_name(name: bytes) -> str | None:
    """A name in wire form as text, without the trailing dot; None if it is no host name."""
    labels = labels_of(name)
    text = b".".join(labels)
    if not HOST_LABELS.fullmatch(text) or text.count(b".") >= len(labels):
        return None  # the second: a dot inside a label
    return text.decode("ascii")
