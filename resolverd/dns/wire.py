"""DNS messages in wire form (RFC 1035): a query out; names and records of a reply in. Pure.

Owns names, compression and record data. Knows no meaning of a reply: that is in `answer.py`.

A name is kept as its uncompressed wire form in lower case, so that equal names are equal bytes
(length bytes are below 64, letters above). The work for a message is bounded by its size: the
target of a compression pointer is read once and cached, a pointer leads only backward, a name has
at most 255 bytes.

Every record is skipped by its length; the data of A, AAAA, CNAME and SRV of class IN is read, and
must be complete. The data of other records is not read, so that a malformed signature or text does
not cost the addresses beside it.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">HHHHHH")  # id, flags, counts of the sections (section 4.1.1)
HEADER_BYTES = HEADER.size
ID_BYTES = 2
TTL_BYTES = 4

QR, OPCODE, AA, TC, RD, RCODE = (
    0x8000,
    0x7800,
    0x0400,
    0x0200,
    0x0100,
    0x000F,
)  # the parts of the flags
CLASS_IN = 1
TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA = 1, 2, 5, 6
TYPE_AAAA, TYPE_SRV, TYPE_OPT = 28, 33, 41
RCODE_NOERROR, RCODE_FORMERR, RCODE_NXDOMAIN, RCODE_NOTIMP, RCODE_REFUSED = 0, 1, 3, 4, 5
RCODE_BADVERS = 16  # RFC 6891 section 9

ROOT = b"\0"
NAME_MAX = 255  # bytes (section 2.3.4)
LABEL_MAX = 63
POINTER = 0xC0  # the two high bits of a pointer's first byte (section 4.1.4)
PLACE = 0x3FFF  # its other bits: the offset
TTL_MAX_S = 0x7FFF_FFFF  # a larger one counts as 0 (RFC 2181 section 8)

_QUESTION_END = struct.Struct(">HH")  # type, class
_RECORD = struct.Struct(">HHIH")  # type, class, TTL, length of the data
_POINTED_RECORD = struct.Struct(">HHHIH")  # the same, with a pointer as owner
_LIFE_AND_LENGTH_BYTES = 6  # TTL and length, at the end of both
_SERVICE = struct.Struct(">HHH")  # priority, weight, port (RFC 2782)
_ADDRESS_BYTES = {TYPE_A: 4, TYPE_AAAA: 16}

WireRecord = tuple[int, bytes, int, bytes]  # type, owner, TTL in s, address or target of the alias
WireService = tuple[bytes, int, int, int, int, bytes]  # owner, TTL, priority, weight, port, target


class BrokenMessageError(ValueError):
    """The bytes are no DNS message."""


def name_to_wire(text: str) -> bytes:
    """The wire form of a host name, with or without its last dot; ValueError if it is none."""
    labels = text.lower().removesuffix(".").encode("ascii").split(b".")
    if not all(0 < len(label) <= LABEL_MAX for label in labels):
        raise ValueError(f"'{text}' has an empty or a long label")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + ROOT
    if len(wire) > NAME_MAX:
        raise ValueError(f"'{text}' is longer than {NAME_MAX} bytes")
    return wire


def labels_of(name: bytes) -> list[bytes]:
    """The labels of a name in wire form, without the root."""
    labels = []
    at = 0
    while size := name[at]:
        labels.append(name[at + 1 : at + 1 + size])
        at += 1 + size
    return labels


def is_within(name: bytes, zone: bytes) -> bool:
    """Whether a name in wire form is the zone's or below it."""
    at = 0
    while name[at:] != zone:
        if not name[at]:
            return False
        at += 1 + name[at]
    return True


def question_to_wire(name: str, query_type: int) -> bytes:
    """The question section of a query for the records of a name in class IN."""
    return name_to_wire(name) + _QUESTION_END.pack(query_type, CLASS_IN)


def name_of(question: bytes) -> bytes:
    """The name in a question section."""
    return question[: -_QUESTION_END.size]


def query_to_wire(question: bytes, payload_size: int | None) -> bytes:
    """A query with id 0: RD, one question, an OPT record (RFC 6891) with `payload_size`.

    Without a size it has no OPT record.
    """
    if payload_size is None:
        return HEADER.pack(0, RD, 1, 0, 0, 0) + question
    header = HEADER.pack(0, RD, 1, 0, 0, 1)
    return header + question + ROOT + _RECORD.pack(TYPE_OPT, payload_size, 0, 0)


class NameCache(dict[int, bytes]):
    """The names of a message by offset, and the ranges that were read by pointers."""

    def __init__(self) -> None:
        super().__init__()
        self.pointed: list[tuple[int, int]] = []  # offsets from and to


class Section:
    """The records of a section in order: `records` are A, AAAA and CNAME, `services` SRV.

    Of SOA and NS records it has the `owners`.
    """

    def __init__(self) -> None:
        self.records: list[WireRecord] = []
        self.services: list[WireService] = []
        self.owners: dict[int, list[bytes]] = {TYPE_SOA: [], TYPE_NS: []}


class WireReply:
    """A message: the constructor reads its header, `read` its records up to an error."""

    def __init__(self, wire: bytes) -> None:
        """Raises struct.error for a message that is shorter than a header."""
        _, self.flags, self.questions, *self._counts = HEADER.unpack_from(wire)
        self.rcode = self.flags & RCODE
        self.answer = Section()
        self.authority = Section()
        self.additional = Section()
        self._wire = wire
        self.life_places: list[int] = []  # the offset of each record's TTL; OPT has none
        self._names = NameCache()
        self._has_extension = False

    def repeats(self, question: bytes) -> bool:
        """Whether the question section is this one, whatever the case of its letters."""
        here = self._wire[HEADER_BYTES : HEADER_BYTES + len(question)]
        return self.questions == 1 and here.lower() == question

    @property
    def pointed(self) -> list[tuple[int, int]]:
        """The ranges of offsets, from and to, that were read by pointers."""
        return self._names.pointed

    def read(self, question: bytes) -> None:
        """Read the sections after the question; raises BrokenMessageError."""
        at = HEADER_BYTES
        if self.questions:
            self._names[at] = name_of(question)
            at += len(question)
        answers, authorities, additionals = self._counts
        try:
            at = self._read_section(at, answers, self.answer)
            at = self._read_section(at, authorities, self.authority)
            self._read_section(at, additionals, self.additional, extension=True)
        except (IndexError, struct.error) as error:
            raise BrokenMessageError("the message ends within a record") from error

    def _read_section(self, at: int, count: int, into: Section, *, extension: bool = False) -> int:
        """Read `count` records from offset `at`; returns the offset behind them."""
        wire, names, places = self._wire, self._names, self.life_places
        for _ in range(count):
            if wire[at] >= POINTER:
                pointer, kind, record_class, ttl, size = _POINTED_RECORD.unpack_from(wire, at)
                owner = names.get(pointer & PLACE) or _pointed(wire, at, names)
                start = at + _POINTED_RECORD.size
            else:
                owner, at = _read_name(wire, at, names)
                kind, record_class, ttl, size = _RECORD.unpack_from(wire, at)
                start = at + _RECORD.size
            at = start + size
            if at > len(wire):
                raise BrokenMessageError("a record ends behind the message")
            if kind == TYPE_OPT:
                self._read_extension(owner, ttl, may_be_here=extension)
            else:
                places.append(start - _LIFE_AND_LENGTH_BYTES)
            if record_class != CLASS_IN:
                continue
            ttl = ttl if ttl <= TTL_MAX_S else 0
            if kind in _ADDRESS_BYTES:
                if size != _ADDRESS_BYTES[kind]:
                    raise BrokenMessageError("an address of another length")
                into.records.append((kind, owner, ttl, wire[start:at]))
            elif kind == TYPE_CNAME:
                into.records.append((kind, owner, ttl, _read_last_name(wire, start, at, names)))
            elif kind == TYPE_SRV:
                priority, weight, port = _SERVICE.unpack_from(wire, start)
                target = _read_last_name(wire, start + _SERVICE.size, at, names)
                into.services.append((owner, ttl, priority, weight, port, target))
            elif kind in into.owners:
                into.owners[kind].append(owner)
        return at

    def _read_extension(self, owner: bytes, fields: int, *, may_be_here: bool) -> None:
        """Read the OPT record; `fields` is its TTL field (RFC 6891 section 6.1.3)."""
        if not may_be_here or self._has_extension or owner != ROOT:
            raise BrokenMessageError("an OPT record out of place")
        self._has_extension = True
        self.rcode |= fields >> 24 << 4  # its upper eight bits


def _read_last_name(wire: bytes, at: int, end: int, names: NameCache) -> bytes:
    """The name at the end of record data."""
    name, behind = _read_name(wire, at, names)
    if behind != end:
        raise BrokenMessageError("a name does not end with its record")
    return name


def _read_name(wire: bytes, at: int, names: NameCache) -> tuple[bytes, int]:
    """The name at this offset, and the offset behind it."""
    start = at
    while 0 < (size := wire[at]) <= LABEL_MAX:
        at += 1 + size
    if size == 0:
        at += 1
        name = wire[start:at].lower()
    else:
        name = wire[start:at].lower() + _pointed(wire, at, names)
        at += 2
    if len(name) > NAME_MAX:
        raise BrokenMessageError("a name is too long")
    names[start] = name
    return name, at


def _pointed(wire: bytes, at: int, names: NameCache) -> bytes:
    """The rest of a name, from the target of the pointer at this offset.

    Each label passed is cached in `names`: no offset is read twice in one message.
    """
    passed: list[tuple[int, bytes]] = []
    length = 0
    place = _place(wire, at)
    while (rest := names.get(place)) is None:
        size = wire[place]
        end = place + 1 + size if size <= LABEL_MAX else place
        names.pointed.append((place, max(end, place + 2)))
        if size == 0:
            rest = ROOT
            break
        passed.append((place, wire[place:end].lower()))
        length += end - place
        if length >= NAME_MAX:  # also a loop of labels and pointers
            raise BrokenMessageError("a name is too long")
        place = _place(wire, place) if end == place else end
    for passed_place, label in reversed(passed):
        rest = label + rest
        if len(rest) > NAME_MAX:
            raise BrokenMessageError("a name is too long")
        names[passed_place] = rest
    return rest


def _place(wire: bytes, at: int) -> int:
    """The target of a pointer; raises BrokenMessageError unless it leads backward."""
    if wire[at] < POINTER:
        raise BrokenMessageError("a label of an unknown kind")
    place = (wire[at] << 8 | wire[at + 1]) & PLACE
    if place >= at:
        raise BrokenMessageError("a pointer that does not lead back")
    return place
