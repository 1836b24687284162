"""Questions to resolverd through the mailbox: one at a time, each with a deadline.

Owns the order of questions and how long an answer is waited for. resolverd may be dead, slow or
busy: then there is no answer, and the asking side tells what the segment says. Knows no command.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TypeVar

import msgspec

from proxy.control.limits import MAIL_LOOK_SECONDS, MAIL_SECONDS_MAX
from proxy.runtime import Runtime, ring
from resolverd.records.schema import Page, QuestionKind
from shm.mailbox import MailSender

T = TypeVar("T")


class Inquiry:
    """What a command yields when it must wait: a question, and later the answer or None."""

    def __init__(
        self, mail: Mail, kind: QuestionKind, *, key: int = 0, cursor: int = 0, text: str = ""
    ) -> None:
        self.mail = mail
        self.question = (kind, key, cursor, text)
        self.answer: bytes | None = None

    async def over(self) -> None:
        """Wait for the answer, MAIL_SECONDS_MAX after the question at the latest."""
        self.answer = await self.mail.ask(*self.question)

    def page(self, rows: type[T]) -> Page[T] | None:
        """The answer read; None without one."""
        if self.answer is None:
            return None
        page: Page[T] = msgspec.json.decode(self.answer, type=Page[rows])  # type: ignore[valid-type]
        return page if not page.error else None


class Mail:
    """The mailbox of this generation; this process is the one that asks."""

    def __init__(self, runtime: Runtime) -> None:
        self.sender = MailSender(runtime.segment)
        self.doorbell = runtime.bells.resolverd
        self.turn = asyncio.Lock()
        self.rung = asyncio.Event()

    def hear(self) -> None:
        """The bell was rung, by resolverd or another process."""
        self.rung.set()

    async def ask(self, kind: QuestionKind, key: int, cursor: int, text: str) -> bytes | None:
        """The answer to one question; None when there was none in time."""
        async with self.turn:
            number = self.sender.ask(kind, key, cursor, text)
            ring((self.doorbell,))
            with suppress(TimeoutError):
                async with asyncio.timeout(MAIL_SECONDS_MAX):
                    return await self.answer(number)
            return None

    async def answer(self, number: int) -> bytes:
        """Look whenever the bell rings, and now and then, should it have been lost."""
        while True:
            self.rung.clear()
            found = self.sender.answer(number)
            if found is not None:
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(MAIL_LOOK_SECONDS):
                    await self.rung.wait()

    def names(self, cursor: int) -> Inquiry:
        """Ask for summaries of names, from this cursor on."""
        return Inquiry(self, QuestionKind.NAMES, cursor=cursor)

    def name(self, text: str, cursor: int) -> Inquiry:
        """Ask for everything about the names that are called so."""
        return Inquiry(self, QuestionKind.NAME, text=text, cursor=cursor)

    def server(self, slot: int) -> Inquiry:
        """Ask for everything about one server."""
        return Inquiry(self, QuestionKind.SERVER, key=slot)
