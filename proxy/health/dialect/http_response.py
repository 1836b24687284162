"""An HTTP/1 response as it comes in, read as strictly as HAProxy 2.6 does (RFC 9112). Pure.

Owns the grammar: start line, header fields, and what bounds the body (its length, chunks, or the
end of the stream). Bytes are given in pieces of any size and looked at once; what is kept of them
is as much as HAProxy's buffer holds. Judges nothing.

    HEAD ──> BODY ──> DONE        a response 1xx but 101 is followed by another one, whose body
      └────────┴────> BROKEN      counts, while status and fields stay those of the first
"""

from __future__ import annotations

import enum
import re

from proxy.health.dialect.seam import RECEIVED_MAX

HEADERS_MAX = 100  # of one response: one less than HAProxy's tune.http.maxhdr
LINES_MAX = 4 * HEADERS_MAX  # of header fields that are not whole yet, folded ones among them
NO_BODY = (204, 304)
STATUS_MODULO = 1 << 16  # HAProxy's field for it
STATUS_DIGITS = 16  # the last ones: those before them are multiples of it
LENGTH_MAX = (1 << 64) - 1
LENGTH_DIGITS = len(str(LENGTH_MAX))
CHUNK_MAX = (1 << 52) - 1
# What HAProxy's buffer takes besides texts: once, for each response, for a header field or a body.
ONCE_BYTES = 48
HEAD_BYTES = 37
PART_BYTES = 8
READ_MAX = RECEIVED_MAX - 64  # bytes that HAProxy reads at once: no head is longer

# Repetitions are possessive (`*+`, `++`): no answer makes a pattern try one line in all ways.
_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = rb"[^\r\n]*+\r?\n"
_WORD = rb"[A-Z0-9.][A-Z0-9./]*+"  # is looked at once the head is whole
_START = re.compile(rb"(?:\r?\n)*+(%b)[ \t]++([0-9]++)(?:[ \t]++([^\r\n]*+))?\r?\n" % _WORD)
_VERSION = re.compile(rb"[A-Z0-9./]{4}/[0-9]\.[0-9]")
_FIELDS = re.compile(rb"((?:%b:%b(?:[ \t]%b)*+)*+)\r?\n" % (_NAME, _LINE, _LINE))
_FIELD = re.compile(rb"(%b):[ \t]*+([^\r\n]*+)\r?\n" % _NAME)
_FOLD = re.compile(rb"(\r?\n)(?=[ \t])")
# Lines that are not whole yet and can still become right.
_PART_OF_START = re.compile(
    rb"(?:\r?\n)*+(?:\r|%b(?:[ \t]++(?:[0-9]++(?:[ \t]++[^\r\n]*+)?\r?)?)?)?" % _WORD
)
_PART_OF_FIELDS = re.compile(
    rb"(?:%b:%b(?:[ \t]%b)*+)*+(?:\r|%b(?::[^\r\n]*+\r?)?)?" % (_NAME, _LINE, _LINE, _NAME)
)
_PART_OF_FOLDED = re.compile(rb"(?:%b:%b(?:[ \t]%b)*+)++[ \t][^\r\n]*+\r?" % (_NAME, _LINE, _LINE))
_CHUNK = re.compile(rb"([0-9A-Fa-f]++)[ \t]*+(?:;[^\r\n]*+)?\r?\n")
_PART_OF_CHUNK = re.compile(rb"[0-9A-Fa-f]*+[ \t]*+(?:;[^\r\n]*+)?\r?")
_LINE_END = re.compile(rb"\r?\n")
LINE_MAX = READ_MAX - PART_BYTES  # of a chunk's size with its extensions


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


# To look up a member of an enumeration takes as long as to match a line.
HEAD, LENGTH, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, UNTIL_END, DONE, BROKEN = Stage
ENDS = (DONE, BROKEN)


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
        "status",
    )

    def __init__(self, *, to_head: bool) -> None:
        """`to_head`: the request was a HEAD, whose answer has no body."""
        self.code: int | None = None  # None: no head has come whole
        self.status = self.reason = b""  # as they were written
        self.fields: list[tuple[bytes, bytes]] = []  # names in small letters
        self.body = bytearray()
        self._to_head = to_head
        self._stage = HEAD
        self._data = b""  # not looked at yet
        self._left = 0
        self._room = RECEIVED_MAX - ONCE_BYTES - PART_BYTES  # for a body

    @property
    def broken(self) -> bool:
        """Whether it is no HTTP, or has more header fields than there is room for."""
        return self._stage is BROKEN

    @property
    def complete(self) -> bool:
        """Whether nothing more belongs to it, or there is no room for more of its body."""
        return self._stage is DONE or (self.code is not None and len(self.body) >= self._room)

    def feed(self, data: bytes) -> None:
        """Take bytes of the stream; what has no room is not even looked at."""
        self._data += data
        while not self._is_over() and self._advance():
            pass
        if self._is_over():
            self._data = b""

    def _is_over(self) -> bool:
        return self._stage in ENDS or (self.code is not None and len(self.body) >= self._room)

    def _advance(self) -> bool:
        """Look at what is at hand; False where more must come first."""
        if self._stage in (HEAD, TRAILER):
            return self._head() if self._stage is HEAD else self._trailer()
        if self._stage is CHUNK_SIZE:
            return self._chunk_size()
        if self._stage is CHUNK_END:
            return self._chunk_end()
        if not self._data:
            return False
        if self._stage is UNTIL_END:
            self._keep(self._data)
            self._data = b""
            return False
        taken = self._data[: self._left]
        self._keep(taken)
        self._data = self._data[len(taken) :]
        self._left -= len(taken)
        if self._left == 0:
            self._stage = CHUNK_END if self._stage is CHUNK else DONE
        return self._left == 0

    def _keep(self, data: bytes) -> None:
        self.body += data[: max(0, self._room - len(self.body))]

    def _break(self) -> bool:
        self._stage = BROKEN
        return False

    def _head(self) -> bool:
        data = self._data
        start = _START.match(data)
        if start is None:
            if _PART_OF_START.fullmatch(data) and len(data) < READ_MAX:
                return False
            return self._break()
        found = self._fields(start.end())
        if found is None:
            return False
        fields, end = found
        version, code, reason = start.groups()
        if not _VERSION.fullmatch(version) or (self.code is None and end > READ_MAX):
            return self._break()
        for name, value in fields:
            self._room -= len(name) + len(value) + PART_BYTES
        self._room -= HEAD_BYTES + len(version) + 3 + len(reason or b"")
        status = int(code[-STATUS_DIGITS:]) % STATUS_MODULO
        if self.code is None:
            if self._room < -PART_BYTES:
                return self._break()
            self.code, self.status, self.reason = status, code, reason or b""
            self.fields = fields
        self._data = data[end:]
        return self._frame(status, fields)

    def _fields(self, at: int) -> tuple[list[tuple[bytes, bytes]], int] | None:
        """The header fields from there on, and where they end; None: not whole, or broken."""
        data = self._data
        found = _FIELDS.match(data, at)
        if found is None:
            part = _PART_OF_FIELDS.fullmatch(data, at) or _PART_OF_FOLDED.fullmatch(data, at)
            if part is None or len(data) >= READ_MAX or data.count(b"\n", at) > LINES_MAX:
                self._break()
            return None
        text = found[1]
        if b"\n " in text or b"\n\t" in text:
            text = _FOLD.sub(lambda line_end: b" " * len(line_end[0]), text)
        fields = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(text)]
        if len(fields) > HEADERS_MAX:
            self._break()
            return None
        return fields, found.end()

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
            self._stage = DONE
        elif chunked and status != 101:
            self._stage = CHUNK_SIZE
        elif length is None or status == 101:
            self._stage = UNTIL_END
        else:
            self._left = length
            self._stage = LENGTH if length else DONE
        return self._stage is not DONE

    def _chunk_size(self) -> bool:
        found = _CHUNK.match(self._data)
        if found is None:
            if len(self._data) < LINE_MAX and _PART_OF_CHUNK.fullmatch(self._data):
                return False
            return self._break()
        size = int(found[1], 16)
        if size > CHUNK_MAX or found.end() > READ_MAX:
            return self._break()
        self._data = self._data[found.end() :]
        self._left = size
        self._stage = CHUNK if size else TRAILER
        return True

    def _chunk_end(self) -> bool:
        found = _LINE_END.match(self._data)
        if found is None:
            return False if self._data in (b"", b"\r") else self._break()
        self._data = self._data[found.end() :]
        self._stage = CHUNK_SIZE
        return True

    def _trailer(self) -> bool:
        if self._fields(0) is not None:
            self._stage = DONE
        return False


def _length(text: bytes) -> int | None:
    """A content length; None where it is none, or too large."""
    digits = text.lstrip(b"0")
    if not text.isdigit() or len(digits) > LENGTH_DIGITS:
        return None
    length = int(digits or b"0")
    return length if length <= LENGTH_MAX else None
