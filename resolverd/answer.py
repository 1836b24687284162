"""One DNS reply, judged: bytes in, an `Answer` (records or an error status) out. Pure.

Owns the wire form of queries and replies. Knows no socket, no clock and no state of a resolution.

A datagram is a reply to a question only if QR, opcode and the question itself match (RFC 5452
section 9.1); the transport has matched source and id before. What does not match is no answer at
all: `read_reply` returns None, the caller counts it `invalid` and goes on waiting, so that a forged
or stray datagram can never end an attempt. What does match becomes exactly one status:

    rcode 3 -> NX, 5 -> REFUSED, other than 0 -> OTHER      (the question may be missing)
    TC set -> TRUNCATED, even with no record in it; SRV records present are VALID (S23)
    body that cannot be parsed, or first record of a foreign owner -> INVALID
    CNAME chain that breaks or ends without an address -> CNAME_ERROR
    no record of the asked type and no alias -> NODATA, else VALID

A chain of aliases is followed inside one reply only and in the order of the records. What a reply
with TC holds is marked `partial`: it may confirm or add, never remove by absence alone.

Of SRV answers every record counts, whatever its owner (S25); each brings the addresses that the
additional section has for its target. A record that nobody can be sent to (no target, port 0, a
name that is no host's) is passed over.
"""

from __future__ import annotations

import enum
import re
import socket
from collections.abc import Iterable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV  # imported by name: dnspython loads types lazily, not after chroot
import dns.rrset
import msgspec

from resolverd.config import Family

HEADER_BYTES = 12  # RFC 1035 section 4.1.1
TTL_MAX_S = 2**31 - 1  # a larger one counts as 0 (RFC 2181 section 8)
HOST_LABEL = re.compile(rb"[A-Za-z0-9_-]+")  # what the labels of a target may consist of


class QueryType(enum.IntEnum):
    """What is asked; the value is the RR type number (RFC 1035 section 3.2.2, 3596, 2782)."""

    A = dns.rdatatype.A
    AAAA = dns.rdatatype.AAAA
    SRV = dns.rdatatype.SRV


class Status(enum.IntEnum):
    """How a reply, or a whole run, came out; 0 in a resolution record means that no run ended."""

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
        """The address as people write it."""
        family = socket.AF_INET if self.family == Family.IPV4 else socket.AF_INET6
        return socket.inet_ntop(family, self.packed)

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address written as `text`; raises OSError where it is none."""
        if ":" in text:
            return cls(Family.IPV6, socket.inet_pton(socket.AF_INET6, text))
        return cls(Family.IPV4, socket.inet_pton(socket.AF_INET, text))


class Question(msgspec.Struct, frozen=True):
    """The question of a query: name without the trailing dot, class IN."""

    name: str
    query_type: QueryType


class Service(msgspec.Struct, frozen=True):
    """One SRV record (RFC 2782); `target` is lower case, without the trailing dot.

    `addresses` are what the additional section says of the target.
    """

    target: str
    port: int
    weight: int
    priority: int = 0
    addresses: tuple[Address, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What a matching reply says; `addresses` or `services` are in its order, without repeats.

    `aliased` tells that a CNAME led to them, `partial` that the reply was cut; `ttl_s` is the
    smallest time to live of the aliases and records that count, 0 without any.
    """

    status: Status
    addresses: tuple[Address, ...] = ()
    aliased: bool = False
    services: tuple[Service, ...] = ()
    partial: bool = False
    ttl_s: int = 0


_RCODE_STATUS = {dns.rcode.NXDOMAIN: Status.NX, dns.rcode.REFUSED: Status.REFUSED}


def build_query(question: Question, query_id: int, payload_size: int) -> bytes:
    """The query in wire form: RD, one question, an OPT record (RFC 6891) with `payload_size`."""
    query = dns.message.make_query(
        absolute(question.name),
        dns.rdatatype.RdataType(question.query_type),
        use_edns=0,
        payload=payload_size,
        id=query_id,
    )
    return query.to_wire()


def absolute(name: str) -> dns.name.Name:
    """The name of a configuration as an absolute DNS name; raises DNSException if it is none."""
    return dns.name.from_text(name, origin=dns.name.root)


def read_reply(wire: bytes, question: Question) -> Answer | None:
    """What `wire` answers to `question`; None if it is no reply to it."""
    try:
        head = dns.message.from_wire(wire, question_only=True, ignore_trailing=True)
    except dns.exception.DNSException:
        return None
    is_reply = head.flags & dns.flags.QR and head.opcode() == dns.opcode.QUERY
    if not is_reply or not _same_question(head, question):
        return None
    truncated = bool(head.flags & dns.flags.TC)
    try:  # a cut message may end inside a record: what was read before counts
        message = dns.message.from_wire(
            wire, ignore_trailing=True, one_rr_per_rrset=True, continue_on_error=truncated
        )
    except dns.exception.DNSException:
        return Answer(_failure(head.rcode()) or Status.INVALID)
    failure = _failure(message.rcode())  # 12 bits, the upper ones in the OPT record
    if failure is not None:
        return Answer(failure)
    if question.query_type is QueryType.SRV:
        answer = _read_services(message)
    else:
        answer = _read_addresses(message.answer, question)
    return cut(answer) if truncated else answer


def cut(answer: Answer) -> Answer:
    """What an answer is worth that has TC set, or that was too large to be accepted."""
    if answer.services:
        return msgspec.structs.replace(answer, partial=True)
    return Answer(Status.TRUNCATED, answer.addresses, partial=True)


def _same_question(head: dns.message.Message, question: Question) -> bool:
    if not head.question:  # FORMERR and the like may come without one
        return head.rcode() != dns.rcode.NOERROR
    if len(head.question) != 1:
        return False
    asked = head.question[0]
    return (
        asked.name == absolute(question.name)  # dnspython compares without regard to case
        and int(asked.rdtype) == question.query_type
        and asked.rdclass == dns.rdataclass.IN
    )


def _failure(rcode: dns.rcode.Rcode) -> Status | None:
    """The error that the header tells, None where the records decide."""
    return None if rcode == dns.rcode.NOERROR else _RCODE_STATUS.get(rcode, Status.OTHER)


def _read_addresses(rrsets: list[dns.rrset.RRset], question: Question) -> Answer:
    """Follow the aliases in order; each owner must be the asked name or the last alias's target."""
    owner = absolute(question.name)
    found: dict[Address, None] = {}
    aliased = ends_in_alias = seen = False
    ttl_s = TTL_MAX_S
    for rrset in rrsets:
        if rrset.rdtype not in (dns.rdatatype.CNAME, question.query_type):
            continue  # signatures and the like say nothing about addresses
        if rrset.name != owner:
            return Answer(Status.CNAME_ERROR if seen else Status.INVALID)
        seen = True
        ttl_s = min(ttl_s, time_to_live_s(rrset))
        data = rrset[0]
        ends_in_alias = isinstance(data, dns.rdtypes.ANY.CNAME.CNAME)
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            owner, aliased = data.target, True
        elif isinstance(data, dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA):
            found[Address.parse(data.address)] = None
    if ends_in_alias:
        return Answer(Status.CNAME_ERROR)
    if not found:
        return Answer(Status.NODATA)
    return Answer(Status.VALID, tuple(found), aliased, ttl_s=ttl_s)


def _read_services(message: dns.message.Message) -> Answer:
    """All SRV records, each once, with what the additional section says of their targets."""
    known, lives_s = _addresses_of_hosts(message.additional)
    found: dict[tuple[str, int], Service] = {}
    aliased = False
    ttl_s = TTL_MAX_S
    for rrset in message.answer:
        data = rrset[0]
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            aliased, ttl_s = True, min(ttl_s, time_to_live_s(rrset))
        if not isinstance(data, dns.rdtypes.IN.SRV.SRV):
            continue
        target = host_name(data.target)
        if target is None or data.port == 0:
            continue
        ttl_s = min(ttl_s, time_to_live_s(rrset), lives_s.get(target, TTL_MAX_S))
        addresses = tuple(known.get(target, ()))
        former = found.get((target, data.port))
        weight, priority = data.weight, data.priority
        if former is not None:  # of repeats one, whatever their order
            weight, priority = max(weight, former.weight), min(priority, former.priority)
        found[target, data.port] = Service(target, data.port, weight, priority, addresses)
    if not found:
        return Answer(Status.CNAME_ERROR if aliased else Status.NODATA)
    return Answer(Status.VALID, aliased=aliased, services=tuple(found.values()), ttl_s=ttl_s)


def _addresses_of_hosts(
    rrsets: Iterable[dns.rrset.RRset],
) -> tuple[dict[str, dict[Address, None]], dict[str, int]]:
    """The addresses in a section, and the smallest of their times to live, both by owner."""
    found: dict[str, dict[Address, None]] = {}
    lives_s: dict[str, int] = {}
    for rrset in rrsets:
        data = rrset[0]
        if isinstance(data, dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA):
            owner = host_name(rrset.name)
            if owner is not None:
                found.setdefault(owner, {})[Address.parse(data.address)] = None
                lives_s[owner] = min(lives_s.get(owner, TTL_MAX_S), time_to_live_s(rrset))
    return found, lives_s


def time_to_live_s(rrset: dns.rrset.RRset) -> int:
    """How long a record may be kept, seconds."""
    return rrset.ttl if rrset.ttl <= TTL_MAX_S else 0


def host_name(name: dns.name.Name) -> str | None:
    """The name as text, lower case, without the trailing dot; None if no host can be called so."""
    labels = name.labels[:-1]
    if not labels or not all(HOST_LABEL.fullmatch(label) for label in labels):
        return None
    return b".".join(labels).decode("ascii").lower()
