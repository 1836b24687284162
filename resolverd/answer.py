"""One DNS reply, judged: bytes in, an `Answer` (addresses or an error status) out. Pure.

Owns the wire form of queries and replies. Knows no socket, no clock and no state of a resolution.

A datagram is a reply to a question only if QR, opcode and the question itself match (RFC 5452
section 9.1); the transport has matched source and id before. What does not match is no answer at
all: `read_reply` returns None, the caller counts it `invalid` and goes on waiting, so that a forged
or stray datagram can never end an attempt. What does match becomes exactly one status:

    rcode 3 -> NX, 5 -> REFUSED, other than 0 -> OTHER      (the question may be missing)
    TC set -> TRUNCATED, even with no record in it
    body that cannot be parsed, or first record of a foreign owner -> INVALID
    CNAME chain that breaks or ends without an address -> CNAME_ERROR
    no record of the asked type and no alias -> NODATA, else VALID

A chain of aliases is followed inside one reply only and in the order of the records.
"""

from __future__ import annotations

import enum
import socket

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
import dns.rdtypes.IN.AAAA  # imported by name: dnspython loads types lazily, not after chroot
import dns.rrset
import msgspec

from resolverd.config import Family

HEADER_BYTES = 12  # RFC 1035 section 4.1.1


class QueryType(enum.IntEnum):
    """What is asked; the value is the RR type number (RFC 1035 section 3.2.2, RFC 3596)."""

    A = dns.rdatatype.A
    AAAA = dns.rdatatype.AAAA


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


class Answer(msgspec.Struct, frozen=True):
    """What a matching reply says; `addresses` are in its order, without repeats.

    `aliased` tells that a CNAME led to them.
    """

    status: Status
    addresses: tuple[Address, ...] = ()
    aliased: bool = False


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
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True, one_rr_per_rrset=True)
    except dns.exception.DNSException:  # a cut message may end inside a record
        return Answer(_status(head.rcode(), truncated) or Status.INVALID)
    # the response code has 12 bits, the upper ones in the OPT record
    status = _status(message.rcode(), truncated)
    return _read_answers(message.answer, question) if status is None else Answer(status)


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


def _status(rcode: dns.rcode.Rcode, truncated: bool) -> Status | None:
    """The error that the header tells, None where the records decide."""
    if rcode != dns.rcode.NOERROR:
        return _RCODE_STATUS.get(rcode, Status.OTHER)
    return Status.TRUNCATED if truncated else None


def _read_answers(rrsets: list[dns.rrset.RRset], question: Question) -> Answer:
    """Follow the aliases in order; each owner must be the asked name or the last alias's target."""
    owner = absolute(question.name)
    found: dict[Address, None] = {}
    aliased = ends_in_alias = seen = False
    for rrset in rrsets:
        if rrset.rdtype not in (dns.rdatatype.CNAME, question.query_type):
            continue  # signatures and the like say nothing about addresses
        if rrset.name != owner:
            return Answer(Status.CNAME_ERROR if seen else Status.INVALID)
        seen = True
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
    return Answer(Status.VALID, tuple(found), aliased)
