"""The bytes of a check's HTTP request (manual: option httpchk, http-check send). Pure.

As HAProxy writes it: names in small letters, the server's state and then the length behind the
other header fields, the connection last.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.config.model.checks import HttpRequest
from proxy.config.model.rules import FormatText

Write = Callable[[FormatText], bytes]

# What a request may have, counted as HAProxy counts it: so much beside the texts of the first line
# and of each header field, and for the end of these.
ROOM, LINE_BYTES, FIELD_BYTES, END_BYTES = 16_305, 20, 8, 9
METHOD, URI, VERSION = "OPTIONS", "/", "HTTP/1.0"
NO_BODY_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))  # that need no length
_HTTP = re.compile(r"HTTP/([0-9])\.([0-9])", re.IGNORECASE)
_ABSOLUTE = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?)[^/?#]*(.*)", re.DOTALL)


class RequestSizeError(ValueError):
    """The formats of a request say more than there is room for."""


def method_of(request: HttpRequest) -> str:
    """The method that is sent."""
    return request.method or METHOD


def has_formats(request: HttpRequest) -> bool:
    """Whether something of the request is made for each check."""
    texts = (request.uri, request.body, *(value for _, value in request.headers))
    return any(isinstance(text, tuple) for text in texts)


def literal(text: FormatText) -> bytes:
    """The bytes of a text without formats."""
    assert isinstance(text, str), text
    return text.encode(errors="surrogateescape")


def request_bytes(request: HttpRequest, state: str = "", write: Write = literal) -> bytes:
    """The whole request; a header `Host` is also the authority of an absolute URI.

    `state`: what is said of the server itself, by `http-check send-state`; `write`: makes bytes
    of what may be a format. Raises RequestSizeError.
    """
    method, uri = method_of(request), _text(write(request.uri or "")) or URI
    said = request.version or VERSION
    number = _HTTP.fullmatch(said)
    newer = number is not None and (int(number[1]), int(number[2])) >= (1, 1)
    version = "HTTP/1.1" if newer else said
    fields = []
    said_of_connection: set[str] = set()
    for name, form in request.headers:
        value = _text(write(form))
        small, text = name.lower(), value
        if small == "connection":
            text, words = _connection(value)
            said_of_connection |= words
        elif small == "host":
            uri = _with_authority(method, uri, value)
        if text:
            fields.append(f"{small}: {text}\r\n")
    if state:
        fields.append(f"x-haproxy-server-state: {state}\r\n")
    body = write(request.body)
    if body or method not in NO_BODY_METHODS:
        fields.append(f"content-length: {len(body)}\r\n")
    if not _has_room(f"{method}{uri}{version}", fields, body):
        raise RequestSizeError(len(body))
    if newer and (not said_of_connection or "close" in said_of_connection):
        fields.append("connection: close\r\n")
    elif not newer and "keep-alive" in said_of_connection:
        fields.append("connection: keep-alive\r\n")
    head = f"{method} {uri} {version}\r\n{''.join(fields)}\r\n"
    return head.encode(errors="surrogateescape") + body


def _has_room(line: str, fields: list[str], body: bytes) -> bool:
    """Whether a request fits, but for what is said of the connection."""
    used = LINE_BYTES + len(line.encode(errors="surrogateescape")) + END_BYTES
    for field in fields:
        used += len(field.encode(errors="surrogateescape")) - len(": \r\n") + FIELD_BYTES
    return used + (len(body) + FIELD_BYTES if body else 0) <= ROOM


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _with_authority(method: str, uri: str, host: str) -> str:
    absolute = _ABSOLUTE.fullmatch(uri)
    if absolute is not None:
        return f"{absolute[1]}{host}{absolute[2]}"
    return host if method == "CONNECT" or uri[0] not in "/*?" else uri


def _connection(value: str) -> tuple[str, set[str]]:
    """What a header field `connection` says beside how long it lasts, and all of its words."""
    tokens = [token.strip() for token in value.split(",")]
    kept = [token for token in tokens if token.lower() not in ("", "close", "keep-alive")]
    return ", ".join(kept), {token.lower() for token in tokens}
