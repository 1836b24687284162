"""The head of an HTTP/1.x request: parsed, bounded, judged (RFC 9112). Pure: bytes in.

Only what serving statistics needs: GET and HEAD, no body. A request with a body is answered and
its connection closed, so that the body is never taken for a request.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

HEAD_END = b"\r\n\r\n"
METHODS = ("GET", "HEAD")
VERSIONS = ("HTTP/1.0", "HTTP/1.1")


class BadRequestError(Exception):
    """What to answer instead, and then close."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """One request: path and query are as sent, header names in lower case."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str]

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
    if len(words) != 3 or words[2] not in VERSIONS:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    if target.lower().startswith("http://"):  # absolute-form, which every server must take
        target = "/" + target[len("http://") :].partition("/")[2]
    if not target.startswith("/"):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = parse_headers(lines[1:])
    if version == "HTTP/1.1" and "host" not in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if method not in METHODS:
        raise BadRequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    path, _, query = target.partition("?")
    return Request(method, path, query, version, headers)
