"""The head of an HTTP/1.x request: parsed, bounded, judged (RFC 9112). Pure: bytes in.

No body is read: a request with one is answered and its connection closed, so that the body is never
taken for a request.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import NamedTuple

HEAD_END = b"\r\n\r\n"
METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VERSIONS = ("HTTP/1.0", "HTTP/1.1")


class BadRequestError(Exception):
    """What to answer instead, and then close."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """One request: path and query are as sent, header names in lower case.

    `target` and `lines` are what the client sent as such: conditions look at these.
    """

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]
    target: bytes = b""
    lines: bytes = b""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request: only in 1.1, after no body."""
        words = [word.strip() for word in self.headers.get("connection", "").lower().split(",")]
        body = "content-length" in self.headers or "transfer-encoding" in self.headers
        return self.version == "HTTP/1.1" and not body and "close" not in words

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
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def parse_head(head: bytes) -> Request:
    """Request line and headers, without the empty line; raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in VERSIONS or not METHOD.fullmatch(words[0]):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    sent = target.encode("latin-1")
    if target.lower().startswith("http://"):  # absolute-form, which every server must take
        target = "/" + target[len("http://") :].partition("/")[2]
    if not target.startswith("/") and (method, target) != ("OPTIONS", "*"):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = parse_headers(lines[1:])
    if version == "HTTP/1.1" and "host" not in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    path, _, query = target.partition("?")
    return Request(method, path, query, version, headers, sent, head.partition(b"\r\n")[2])
