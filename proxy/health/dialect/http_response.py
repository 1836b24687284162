"""An HTTP/1 response as it comes in, read as strictly as HAProxy 2.6 does (RFC 9112). Pure.

Owns the grammar: start line, header fields, and what bounds the body (its length, chunks, or the
end of the stream). Bytes are given in pieces of any size and looked at once; what is kept of them
is as much as HAProxy's buffer holds. Judges nothing.

    HEAD ──> BODY ──> DONE        a response 1xx but 101 is followed by another one, whose header
      └────────┴────> BROKEN      fields and body count, while the status stays that of the first
"""

from __future__ import annotations

import enum
import re

from proxy.health.dialect.seam import RECEIVED_MAX

HEADERS_MAX = 100  # of one response: one less than HAProxy's tune.http.maxhdr
NO_BODY = (204, 304)
STATUS_MODULO = 1 << 16  # HAProxy's field for it
STATUS_DIGITS = 16  # the last ones: those before them are multiples of it
LENGTH_MAX = (1 << 64) - 1
CHUNK_MAX = (1 << 52) - 1
# What HAProxy's buffer takes besides bodies: for a response, and for each of its header fields.
HEAD_BYTES = 93
FIELD_BYTES = 8

_EMPTY_LINES = re.compile(rb"(?:\r?\n)+")
_START = re.compile(rb"([A-Z0-9./]{4}/[0-9]\.[0-9])[ \t]+([0-9]+)(?:[ \t]+([^\r\n]*))?\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*)(\r?\n)")
_FOLDED = re.compile(rb"([ \t]+[^\r\n]*)(\r?\n)")
_BLANK = re.compile(rb"\r?\n")
# Lines that are not whole yet and can still become right.
_PART_OF_START = re.compile(rb"[A-Z0-9./]*(?:[ \t]+[0-9]*(?:[ \t]+[^\r\n]*)?)?\r?")
_PART_OF_FIELD = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[^\r\n]*)?)?\r?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n]*)?\r?\n")
_PART_OF_CHUNK = re.compile(rb"[0-9A-Fa-f]*[ \t]*(?:;[^\r\n]*)?\r?")
_LINE_END = re.compile(rb"\r?\n")
LINE_MAX = 1_024  # of a chunk's size with its extensions


class Stage(enum.Enum):
    """How far a response is."""

    HEAD = enum.auto()
    LENGTH = enum.auto()  # a body of `_left` more bytes
    CHUNK_SIZE = enum.auto()
    CHUNK = enum.auto()  # `_left` more bytes of a chunk
    CHUNK_END = enum.auto()
    TRAILER = enum.auto()
    UNTIL_END = enum.auto()  # of the stream
    DONE = enum.auto()
    BROKEN = enum.auto()


class HttpReply:
    """The answer to one request."""

    __slots__ = (
        "_data",
        "_left",
        "_room",
        "_stage",
        "_to_head",
        "body",
        "code",
        "fields",
        "reason",
    )

    def __init__(self, *, to_head: bool) -> None:
        """`to_head`: the request was a HEAD, whose answer has no body."""
        self.code: int | None = None  # None: no head has come whole
        self.reason = b""
        self.fields: list[tuple[bytes, bytes]] = []  # names in small letters
        self.body = bytearray()
        self._to_head = to_head
        self._stage = Stage.HEAD
        self._data = b""  # not looked at yet
        self._left = 0
        self._room = RECEIVED_MAX

    @property
    def broken(self) -> bool:
        """Whether it is no HTTP, or has more header fields than there is room for."""
        return self._stage is Stage.BROKEN

    @property
    def complete(self) -> bool:
        """Whether nothing more belongs to it, or there is no room for more of its body."""
        return self._stage is Stage.DONE or (self.code is not None and len(self.body) >= self._room)

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream."""
        self._data += data
        while self._stage not in (Stage.DONE, Stage.BROKEN) and self._advance():
            pass
        if self._stage in (Stage.DONE, Stage.BROKEN):
            self._data = b""

    def _advance(self) -> bool:
        """Look at what is at hand; False where more must come first."""
        if self._stage in (Stage.HEAD, Stage.TRAILER):
            return self._head() if self._stage is Stage.HEAD else self._trailer()
        if self._stage is Stage.CHUNK_SIZE:
            return self._chunk_size()
        if self._stage is Stage.CHUNK_END:
            return self._chunk_end()
        if not self._data:
            return False
        if self._stage is Stage.UNTIL_END:
            self._keep(self._data)
            self._data = b""
            return False
        taken = self._data[: self._left]
        self._keep(taken)
        self._data = self._data[len(taken) :]
        self._left -= len(taken)
        if self._left == 0:
            self._stage = Stage.CHUNK_END if self._stage is Stage.CHUNK else Stage.DONE
        return self._left == 0

    def _keep(self, data: bytes) -> None:
        self.body += data[: max(0, self._room - len(self.body))]

    def _break(self) -> bool:
        self._stage = Stage.BROKEN
        return False

    def _head(self) -> bool:
        data = self._data
        empty = _EMPTY_LINES.match(data)
        begin = empty.end() if empty else 0
        start = _START.match(data, begin)
        if start is None:
            if _PART_OF_START.fullmatch(data, begin) and len(data) < RECEIVED_MAX:
                return False
            return self._break()
        fields, end = self._fields(start.end())
        if end is None:
            return False
        version, code, reason = start.groups()
        for name, value in fields:
            self._room -= len(name) + len(value) + FIELD_BYTES
        self._room -= HEAD_BYTES + len(version) + 3 + len(reason or b"")
        status = int(code[-STATUS_DIGITS:]) % STATUS_MODULO
        self.fields += fields
        if self.code is None:
            self.code, self.reason = status, reason or b""
        self._data = data[end:]
        return self._frame(status, fields)

    def _fields(self, at: int) -> tuple[list[tuple[bytes, bytes]], int | None]:
        """The header fields from there on, and where they end; None: not here, or broken."""
        data = self._data
        fields: list[tuple[bytes, bytes]] = []
        while True:
            found = _FIELD.match(data, at)
            if found is not None:
                name, value, line_end = found.groups()
                at = found.end()
                while folded := _FOLDED.match(data, at):
                    value += b" " * len(line_end) + folded[1]
                    line_end, at = folded[2], folded.end()
                fields.append((name.lower(), value.rstrip(b" \t")))
                continue
            blank = _BLANK.match(data, at)
            if len(fields) > HEADERS_MAX:
                self._break()
            elif blank is not None:
                return fields, blank.end()
            elif not self._may_go_on(at, bool(fields)):
                self._break()
            return fields, None

    def _may_go_on(self, at: int, behind_field: bool) -> bool:
        """Whether a line that is not whole can still be a header field."""
        if len(self._data) >= RECEIVED_MAX:
            return False
        if behind_field and self._data[at : at + 1] in (b" ", b"\t"):
            return re.fullmatch(rb"[^\r\n]*\r?", self._data[at:]) is not None
        return _PART_OF_FIELD.fullmatch(self._data, at) is not None

    def _frame(self, status: int, fields: list[tuple[bytes, bytes]]) -> bool:
        """What bounds the body, if there is one (RFC 9112, section 6.3)."""
        length: int | None = None
        chunked = False
        for name, value in fields:
            if name == b"content-length":
                for part in value.split(b","):
                    given = _length(part.strip(b" \t"))
                    if given is None or length not in (None, given):
                        return self._break()
                    length = given
            elif name == b"transfer-encoding":
                for coding in filter(None, (part.strip(b" \t") for part in value.split(b","))):
                    if chunked or coding.lower() != b"chunked":
                        return self._break()
                    chunked = True
        if 100 <= status < 200 and status != 101:
            return True
        if status in NO_BODY or self._to_head:
            self._stage = Stage.DONE
        elif chunked and status != 101:
            self._stage = Stage.CHUNK_SIZE
        elif length is None or status == 101:
            self._stage = Stage.UNTIL_END
        else:
            self._left = length
            self._stage = Stage.LENGTH if length else Stage.DONE
        return self._stage is not Stage.DONE

    def _chunk_size(self) -> bool:
        found = _CHUNK.match(self._data)
        if found is None:
            if len(self._data) < LINE_MAX and _PART_OF_CHUNK.fullmatch(self._data):
                return False
            return self._break()
        size = int(found[1], 16)
        if size > CHUNK_MAX:
            return self._break()
        self._data = self._data[found.end() :]
        self._left = size
        self._stage = Stage.CHUNK if size else Stage.TRAILER
        return True

    def _chunk_end(self) -> bool:
        found = _LINE_END.match(self._data)
        if found is None:
            return False if self._data in (b"", b"\r") else self._break()
        self._data = self._data[found.end() :]
        self._stage = Stage.CHUNK_SIZE
        return True

    def _trailer(self) -> bool:
        _, end = self._fields(0)
        if end is not None:
            self._stage = Stage.DONE
        return False


def _length(text: bytes) -> int | None:
    """A content length; None where it is none, or too large."""
    digits = text.lstrip(b"0")
    if not text.isdigit() or len(digits) > len(str(LENGTH_MAX)):
        return None
    length = int(digits or b"0")
    return length if length <= LENGTH_MAX else None
