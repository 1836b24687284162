"""Types of the compiled module; its documentation is in mailbox.pyx."""

from typing import NamedTuple

from shm.segment import Segment

MAIL_BYTES: int
TEXT_BYTES: int

class MailQuestion(NamedTuple):
    number: int
    kind: int
    key: int
    cursor: int
    text: str

class MailSender:
    def __init__(self, segment: Segment) -> None: ...
    def ask(self, kind: int, key: int, cursor: int, text: str) -> int: ...
    def answer(self, number: int) -> bytes | None: ...

class MailReceiver:
    def __init__(self, segment: Segment) -> None: ...
    def question(self) -> MailQuestion | None: ...
    def answer(self, number: int, mail: bytes) -> None: ...
