"""Replies read by dnspython: the oracle that resolverd's own reader is held against.

Owns the same rules as `resolverd/dns/answer.py`, on top of the reference implementation's parser.
Where the two may differ is said in `tests/resolverd/test_wire_oracle.py`.
"""

from __future__ import annotations

import ipaddress
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

from resolverd.dns.answer import (
    HOST_LABELS,
    Address,
    Answer,
    QueryType,
    Question,
    ServiceRecord,
    Status,
    cut,
)

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
        answer = _read_services(message, question)
    else:
        answer = _read_addresses(message, question)
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


def _read_addresses(message: dns.message.Message, question: Question) -> Answer:
    kinds = (dns.rdatatype.CNAME, question.query_type)
    rrsets = [
        each
        for each in message.answer
        if each.rdclass == dns.rdataclass.IN and each.rdtype in kinds
    ]
    chain = _chain(rrsets, dns.name.from_text(question.name))
    if chain is None:
        return Answer(Status.CNAME_ERROR)
    owners = {rrset.name for rrset in rrsets}
    if owners - set(chain):
        return Answer(Status.CNAME_ERROR if owners & set(chain) else Status.INVALID)
    found: dict[Address, None] = {}
    ttls = []
    for rrset in rrsets:
        data = rrset[0]
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            ttls.append(rrset.ttl)
        elif rrset.name == chain[-1]:
            ttls.append(rrset.ttl)
            found[_address(data)] = None
    aliased = len(chain) > 1
    if not found:
        return Answer(_nothing(message, chain[-1], aliased=aliased))
    usable, unusable = _parted(found)
    if not usable:
        return Answer(Status.INVALID, unusable=unusable)
    return Answer(Status.VALID, usable, aliased, ttl_s=min(ttls), unusable=unusable)


def _parted(found: Iterable[Address]) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Those that a server can have, and the others."""
    parsed = [(each, ipaddress.ip_address(each.packed)) for each in found]
    bad = tuple(each for each, address in parsed if not _usable(address))
    return tuple(each for each, _ in parsed if each not in bad), bad


def _usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        broadcast = address == ipaddress.IPv4Address("255.255.255.255")
        here = address in ipaddress.ip_network("0.0.0.0/8")
        return not (broadcast or here or address.is_multicast)
    if address.ipv4_mapped is not None:
        return _usable(address.ipv4_mapped)
    return not (address.is_unspecified or address.is_multicast or address.is_link_local)


def _chain(rrsets: list[dns.rrset.RRset], asked: dns.name.Name) -> list[dns.name.Name] | None:
    """The names from the asked one to the last alias's target; None without such an end."""
    targets: dict[dns.name.Name, set[dns.name.Name]] = {}
    for rrset in rrsets:
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.rdclass == dns.rdataclass.IN:
            targets.setdefault(rrset.name, set()).add(rrset[0].target)
    if any(len(each) > 1 for each in targets.values()):
        return None
    chain = [asked]
    while chain[-1] in targets:
        (target,) = targets[chain[-1]]
        if target in chain:
            return None
        chain.append(target)
    return chain


def _nothing(message: dns.message.Message, name: dns.name.Name, *, aliased: bool) -> Status:
    owners: dict[dns.rdatatype.RdataType, set[dns.name.Name]] = {}
    for rrset in message.authority:
        if rrset.rdclass == dns.rdataclass.IN:
            owners.setdefault(rrset.rdtype, set()).add(rrset.name)
    zones = owners.get(dns.rdatatype.SOA, set())
    if any(name.is_subdomain(zone) for zone in zones):
        return Status.NODATA
    if aliased:
        return Status.CNAME_ERROR
    refers = dns.rdatatype.NS in owners and not zones and not message.flags & dns.flags.AA
    return Status.OTHER if refers else Status.NODATA


def _read_services(message: dns.message.Message, question: Question) -> Answer:
    known, lives_s, unusable = _addresses_of_hosts(message.additional)
    found: dict[tuple[str, int], ServiceRecord] = {}
    ttls = []
    aliased = has_services = False
    for rrset in message.answer:
        data = rrset[0]
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        if isinstance(data, dns.rdtypes.ANY.CNAME.CNAME):
            aliased = True
            ttls.append(rrset.ttl)
        if not isinstance(data, dns.rdtypes.IN.SRV.SRV):
            continue
        has_services = True
        target = _host_name(data.target)
        if target is None or data.port == 0:
            continue
        ttls += [rrset.ttl, *lives_s.get(target, ())]
        former = found.get((target, data.port))
        found[target, data.port] = ServiceRecord(
            target,
            data.port,
            data.weight if former is None else max(data.weight, former.weight),
            data.priority if former is None else min(data.priority, former.priority),
            tuple(known.get(target, ())),
        )
    if not found:
        if has_services:
            return Answer(Status.NODATA)
        chain = _chain(message.answer, dns.name.from_text(question.name))
        if chain is None:
            return Answer(Status.CNAME_ERROR)
        return Answer(_nothing(message, chain[-1], aliased=aliased))
    services = tuple(found.values())
    return Answer(
        Status.VALID, aliased=aliased, services=services, ttl_s=min(ttls), unusable=unusable
    )


def _addresses_of_hosts(
    rrsets: Iterable[dns.rrset.RRset],
) -> tuple[dict[str, dict[Address, None]], dict[str, list[int]], tuple[Address, ...]]:
    found: dict[str, dict[Address, None]] = {}
    lives_s: dict[str, list[int]] = {}
    unusable: dict[Address, None] = {}
    for rrset in rrsets:
        data = rrset[0]
        if isinstance(data, dns.rdtypes.IN.A.A | dns.rdtypes.IN.AAAA.AAAA):
            owner = _host_name(rrset.name)
            if _parted([_address(data)])[1]:
                unusable[_address(data)] = None
            elif owner is not None:
                found.setdefault(owner, {})[_address(data)] = None
                lives_s.setdefault(owner, []).append(rrset.ttl)
    return found, lives_s, tuple(unusable)


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
