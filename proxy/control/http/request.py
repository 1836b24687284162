"""The head of an HTTP/1.x request: parsed, bounded, judged (RFC 9112). Pure: bytes in.

No body is read but that of a form: a request with one is answered and its connection closed, so
that the body is never taken for a request.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

HEAD_END = re.compile(rb"\r?\n\r?\n")  # a line may end without CR, RFC 9112, section 2.2
TARGET = re.compile(r"[!-~]+")  # visible ASCII, RFC 9112, section 3.2
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # that no field may have, RFC 9110, section 5.5
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FORM = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 65_536  # a thousand servers
SINGLE = ("host", "content-length")  # that say one thing, however often
VERSIONS = ("HTTP/1.0", "HTTP/1.1")


class BadRequestError(Exception):
    """What to answer instead, and then close."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """One request: path and query are as sent, header names in lower case.

    `uri` is path and query as they are written, also where the request has the absolute form.
    `target` and `lines` are what the client sent: conditions look at these.
    """

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    uri: str = ""
    target: bytes = b""
    lines: bytes = b""
    body: bytes = b""  # of a form; of nothing else is it read

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request: only in 1.1, after no body."""
        words = [word.strip() for word in self.headers.get("connection", "").lower().split(",")]
        return self.version == "HTTP/1.1" and not self.has_body and "close" not in words

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head that are no other request."""
        length = self.headers.get("content-length", "0")
        return length != "0" or "transfer-encoding" in self.headers

    @property
    def form_bytes(self) -> int:
        """How long the form is that a POST has with it; 0 without one, or with one too long."""
        length = self.headers.get("content-length", "")
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.method != "POST" or kind != FORM or "transfer-encoding" in self.headers:
            return 0
        known = length.isascii() and length.isdecimal() and len(length) <= 6
        return int(length) if known and int(length) <= FORM_BYTES_MAX else 0

    @property
    def head_only(self) -> bool:
        """The answer has no body."""
        return self.method == "HEAD"


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Header fields by lower-case name; raises BadRequestError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        name = name.lower()
        value = value.strip()
        if CONTROLS.search(line):
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        if name in SINGLE:
            lengths = re.split(r"[ \t]*,[ \t]*", value) if name == "content-length" else [value]
            said = {*lengths, headers.get(name, lengths[0])}
            if len(said) != 1 or (name == "content-length" and not _is_length(lengths[0])):
                raise BadRequestError(HTTPStatus.BAD_REQUEST)
            headers[name] = lengths[0]
            continue
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def parse_head(head: bytes) -> Request:
    """Request line and headers, without the empty line; raises BadRequestError.

    Without `Host`, which clients of HTTP/1.1 owe (RFC 9112, section 3.2), it is answered as HAProxy
    does: health checkers often send none, and no answer here depends on it.
    """
    if b"\r" not in head:  # of a head with both ends two readers could make different lines
        head = head.replace(b"\n", b"\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in VERSIONS or not METHOD.fullmatch(words[0]):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    if not TARGET.fullmatch(target) or "#" in target:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    sent = target.encode("latin-1")
    authority = None
    if target.lower().startswith("http://"):  # absolute-form, which every server must take
        authority, _, rest = target[len("http://") :].partition("/")
        target = f"/{rest}"
    if not target.startswith("/") and (method, target) != ("OPTIONS", "*"):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = parse_headers(lines[1:])
    host = headers.get("host")
    if host and not TARGET.fullmatch(host):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if None not in (authority, host) and authority != host:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    path, _, query = target.partition("?")
    lines_sent = head.partition(b"\r\n")[2]
    return Request(method, path, query, version, headers, target, sent, lines_sent)
