"""Replies read by dnspython: the oracle that resolverd's own reader is held against.

Owns the same rules as `resolverd/answer.py`, on top of the reference implementation's parser. Where
the two may differ is said in `tests/resolverd/test_wire_oracle.py`.
"""

from __future__ import annotations

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
import dns.rdtypes.IN.SRV
import dns.rrset

from resolverd.answer import HOST_LABELS, Address, Answer, QueryType, Question, Service, Status, cut

WITHOUT_EXTENSION = (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS)
STATUS = {dns.rcode.NXDOMAIN: Status.NX, dns.rcode.REFUSED: Status.REFUSED}


def read_by_oracle(wire: bytes, question: Question) -> Answer | None:
    """What dnspython makes of a reply; None if it is no reply to the question."""
    try:
        head = dns.message.from_wire(wire, question_only=True, ignore_trailing=True)
    except dns.exception.DNSException:
        return None
    if not head.flags & dns.flags.QR or head.opcode() != dns.opcode.QUERY:
        return None
    if not _same_question(head, question):
        return None
    truncated = bool(head.flags & dns.flags.TC)
    try:
        message = dns.message.from_wire(
            wire, ignore_trailing=True, one_rr_per_rrset=True, continue_on_error=truncated
        )
    except dns.exception.DNSException:
        refused = head.rcode() in WITHOUT_EXTENSION
        return Answer(_failure(head.rcode()) or Status.INVALID, extension_refused=refused)
    failure = _failure(message.rcode())
    if failure is not None:
        return Answer(failure, extension_refused=message.rcode() in WITHOUT_EXTENSION)
    if question.query_type is QueryType.SRV:
        answer = _read_services(message)
    else:
        answer = _read_addresses(message.answer, question)
    return cut(answer) if truncated else answer


def _same_question(head: dns.message.Message, question: Question) -> bool:
    if not head.question:
        return head.rcode() != dns.rcode.NOERROR
    if len(head.question) != 1:
        return False
    asked = head.question[0]
    return (
        asked.name == dns.name.from_text(question.name)
        and int(asked.rdtype) == question.query_type
        and asked.rdclass == dns.rdataclass.IN
    )


def _failure(rcode: dns.rcode.Rcode) -> Status | None:
    return None if rcode == dns.rcode.NOERROR else STATUS.get(rcode, Status.OTHER)


def _read_addresses(rrsets: list[dns.rrset.RRset], question: Question) -> Answer:
    owner = dns.name.from_text(question.name)
    found: dict[Address, None] = {}
    ttls = []
    aliased = ends_in_alias = seen = False
    for rrset in rrsets:
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        if rrset.rdtype not in (dns.rdatatype.CNAME, question.query_type):
            continue
        if rrset.name != owner:
            return Answer(Status.CNAME_ERROR if seen else Status.INVALID)
        seen = True
        ttls.append(rrset.ttl)
        data = rrset[0]
        ends_in_alias = isinstance(data, dns.rdtypes.ANY.CNAME.CNAME)
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            owner, aliased = data.target, True
        else:
            found[_address(data)] = None
    if ends_in_alias:
        return Answer(Status.CNAME_ERROR)
    if not found:
        return Answer(Status.NODATA)
    return Answer(Status.VALID, tuple(found), aliased, ttl_s=min(ttls))


def _read_services(message: dns.message.Message) -> Answer:
    known, lives_s = _addresses_of_hosts(message.additional)
    found: dict[tuple[str, int], Service] = {}
    ttls = []
    aliased = False
    for rrset in message.answer:
        data = rrset[0]
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            aliased = True
            ttls.append(rrset.ttl)
        if not isinstance(data, dns.rdtypes.IN.SRV.SRV):
            continue
        target = _host_name(data.target)
        if target is None or data.port == 0:
            continue
        ttls += [rrset.ttl, *lives_s.get(target, ())]
        former = found.get((target, data.port))
        found[target, data.port] = Service(
            target,
            data.port,
            data.weight if former is None else max(data.weight, former.weight),
            data.priority if former is None else min(data.priority, former.priority),
            tuple(known.get(target, ())),
        )
    if not found:
        return Answer(Status.CNAME_ERROR if aliased else Status.NODATA)
    services = tuple(found.values())
    return Answer(Status.VALID, aliased=aliased, services=services, ttl_s=min(ttls))


def _addresses_of_hosts(
    rrsets: Iterable[dns.rrset.RRset],
) -> tuple[dict[str, dict[Address, None]], dict[str, list[int]]]:
    found: dict[str, dict[Address, None]] = {}
    lives_s: dict[str, list[int]] = {}
    for rrset in rrsets:
        data = rrset[0]
        if isinstance(data, dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA):
            owner = _host_name(rrset.name)
            if owner is not None:
                found.setdefault(owner, {})[_address(data)] = None
                lives_s.setdefault(owner, []).append(rrset.ttl)
    return found, lives_s


def _address(data: dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA) -> Address:
    found = Address.parse(data.address)
    kind = socket.AF_INET6 if ":" in data.address else socket.AF_INET
    assert socket.inet_ntop(kind, found.packed) == data.address
    return found


def _host_name(name: dns.name.Name) -> str | None:
    labels = [label.lower() for label in name.labels[:-1]]
    text = b".".join(labels)
    if not labels or not all(
        HOST_LABELS.fullmatch(label) and b"." not in label for label in labels
    ):
        return None
    return text.decode("ascii")
