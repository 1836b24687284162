"""Responses that the configuration gives: `errorfile`, and those of `http-request return|deny`.

Owns the form of a response in a file (RFC 9112, section 2.1), and the arguments of a rule that
makes one (manual section 4.2). Reads the files that lines name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from proxy.config.lines.http import ERROR_CODES
from proxy.config.model.http import WrittenReply
from proxy.config.model.rules import FormatText
from proxy.config.text.messages import ConfigError

ReadFormat = Callable[[str, str], FormatText]  # as written, and the status that it tells
FILE_BYTES_MAX = 16_384  # HAProxy's buffer
STATUS_MIN, STATUS_MAX = 200, 599
BODILESS = (204, 304)  # RFC 9110, sections 15.3.5 and 15.4.5
_STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] +([0-9]{3})(?: +([^\r\n]*))?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})  # ours to say
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def reason_of(status: int) -> str:
    """The usual phrase of a status; "" for an unusual one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def content_of(path: str) -> bytes:
    """The content of a file that a line names; ConfigError."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"'{path}' has more than {FILE_BYTES_MAX} bytes")
    return content


def reply_in(path: str) -> WrittenReply:
    """The response that a file has in whole: status line, headers, an empty line, body."""
    content = content_of(path)
    end = re.search(rb"\r?\n\r?\n", content)
    if end is None:
        raise ConfigError(f"'{path}' is no HTTP response: the headers do not end by an empty line")
    first, *lines = re.split(rb"\r?\n", content[: end.start()])
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise ConfigError(f"'{path}' is no HTTP response: it does not begin with a status line")
    headers = []
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise ConfigError(f"'{path}' is no HTTP response: '{line.decode('latin-1')}'")
        name = header[1].decode("latin-1")
        if name.lower() not in _FRAMING:
            headers.append((name, header[2].decode("latin-1").rstrip()))
    reason = (status[2] or b"").decode("latin-1")
    return WrittenReply(int(status[1]), reason, tuple(headers), content[end.end() :])


class ReplyWords:
    """Reads the arguments of a rule that makes a response, up to its condition."""

    def __init__(
        self,
        words: Sequence[str],
        action: str,
        status: int,
        read: ReadFormat,
        warn: Callable[[str], None],
    ) -> None:
        """`status` is the one without a word that sets it; `read` makes a text of a format."""
        self.status = status
        self.rest = tuple(words)
        self._action = action
        self._read = read
        self._warn = warn
        self._type: str | None = None
        self._source = ""  # the word that gave the body
        self._body = b""
        self._form = ""  # as written: the status is known at the end of the words
        self._whole: WrittenReply | None = None
        self._headers: list[tuple[str, str]] = []
        self._own_page = False

    def reply(self) -> WrittenReply | None:
        """The response; None: the section's own page of the status."""
        while self.rest and self.rest[0] not in ("if", "unless"):
            self._word(self.rest[0])
        if (self._whole is not None or self._own_page) and (self._headers or self._type):
            raise ConfigError(
                f"'{self._action}': 'hdr' and 'content-type' change no '{self._source}'"
            )
        if self._whole is not None:
            return self._whole
        has_body = bool(self._body or self._form)
        if has_body and self._type is None:
            raise ConfigError(
                f"'{self._action}': a content type must be given with '{self._source}'"
            )
        if not self._source and self._type is not None:
            raise ConfigError(
                f"'{self._action}': 'content-type {self._type}' without 'string' or 'file'"
            )
        if has_body and self.status in BODILESS:
            raise ConfigError(f"'{self._action}': no body expected for {self.status} responses")
        bare = not self._source and not self._headers
        has_page = str(self.status) in ERROR_CODES
        if self._own_page and not has_page:
            raise ConfigError(f"'{self._action}': there is no page of status {self.status}")
        if self._own_page or (bare and has_page and self._action.endswith(" deny")):
            return None
        return self._written()

    def _written(self) -> WrittenReply:
        headers = [(name, self._text("hdr", value)) for name, value in self._headers]
        body, form = self._body, self._text(self._source, self._form)
        if isinstance(form, str):
            body, form = body or form.encode(errors="surrogateescape"), ()
        if self._type and (body or form):
            headers.append(("Content-Type", self._type))
        return WrittenReply(self.status, reason_of(self.status), tuple(headers), body, form)

    def _text(self, word: str, text: str) -> FormatText:
        try:
            return self._read(text, str(self.status))
        except ConfigError as error:
            raise ConfigError(f"'{self._action}': '{word}' : {error}") from error

    def _take(self, count: int) -> tuple[str, ...]:
        taken, self.rest = self.rest[1 : count + 1], self.rest[count + 1 :]
        if len(taken) < count or "" in taken:
            raise ConfigError(f"'{self._action}' ends where a value is expected")
        return taken

    def _word(self, word: str) -> None:
        if word in ("status", "deny_status"):
            (text,) = self._take(1)
            if not text.isdecimal() or not STATUS_MIN <= int(text) <= STATUS_MAX:
                raise ConfigError(f"'{self._action}': unexpected status code '{text}'")
            if word == "deny_status" and text not in ERROR_CODES:
                raise ConfigError(
                    f"'{self._action}': unexpected status code '{text}' (one of "
                    f"{', '.join(ERROR_CODES)})"
                )
            self.status = int(text)
        elif word == "content-type":
            self._type = self._take(1)[0]
        elif word == "default-errorfiles":
            self._give(word, b"")
            self._own_page = True
            self._take(0)
        elif word in ("file", "string", "errorfile", "lf-string", "lf-file"):
            self._content(word, self._take(1)[0])
        elif word == "hdr":
            name, value = self._take(2)
            if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
                raise ConfigError(f"'{self._action}': 'hdr {name}' cannot be set")
            if name.lower() == "content-type":
                self._warn("header 'content-type' always ignored by the http reply.")
            else:
                self._headers.append((name, value))
        else:
            raise ConfigError(
                f"'{self._action}' does not know '{word}' here, or it is not supported yet"
            )

    def _content(self, word: str, value: str) -> None:
        self._give(word, b"")
        if word == "errorfile":
            self._whole = reply_in(value)
        elif word == "string":
            self._body = value.encode(errors="surrogateescape")
        elif word == "file":
            self._body = content_of(value)
        elif word == "lf-string":
            self._form = value
        else:
            self._form = content_of(value).decode(errors="surrogateescape")

    def _give(self, word: str, body: bytes) -> None:
        if self._source:
            raise ConfigError(
                f"'{self._action}': unexpected '{word}', '{self._source}' is there already"
            )
        self._source, self._body = word, body
