"""The mailbox: what is asked is read whole and once, what is answered is taken whole, whichever side dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.mailbox import MAIL_BYTES, TEXT_BYTES, MailQuestion, MailReceiver, MailSender
from shm.segment import Segment
from shm.shape import Shape
from tests.support.trace import die_at_each_store, pause

LONG = bytes(range(256)) * (MAIL_BYTES // 256)


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(0, 0, 0, 1, 0, 0, 0))
    yield made
    made.close()


def test_a_question_is_told_once_and_its_answer_belongs_to_it(segment: Segment) -> None:
    sender, receiver = MailSender(segment), MailReceiver(segment)
    assert receiver.question() is None
    number = sender.ask(2, 1 << 40, -7, "a.test")
    assert sender.answer(number) is None
    assert receiver.question() == MailQuestion(number, 2, 1 << 40, -7, "a.test")
    assert receiver.question() is None
    receiver.answer(number, b"yes")
    assert (sender.answer(number), sender.answer(number + 1)) == (b"yes", None)
    following = sender.ask(1, 0, 0, "")
    assert sender.answer(following) is None
    receiver.answer(following, LONG)
    assert sender.answer(following) == LONG


def test_an_answer_to_a_question_that_was_given_up_is_not_taken_for_the_next(
    segment: Segment,
) -> None:
    sender, receiver = MailSender(segment), MailReceiver(segment)
    first = sender.ask(1, 0, 0, "")
    assert receiver.question() is not None
    second = sender.ask(1, 1, 0, "")
    receiver.answer(first, b"late")
    assert sender.answer(second) is None
    question = receiver.question()
    assert question is not None
    assert question.number == second


def test_successors_go_on_where_the_dead_ended(segment: Segment) -> None:
    number = MailSender(segment).ask(1, 0, 0, "")
    assert MailReceiver(segment).question() is not None  # it dies before it answers
    receiver = MailReceiver(segment)
    question = receiver.question()
    assert question is not None
    receiver.answer(question.number, b"yes")
    sender = MailSender(segment)
    assert sender.answer(number) == b"yes"
    assert MailReceiver(segment).question() is None, "it was answered"
    assert sender.ask(1, 0, 0, "") == number + 1


def test_limits(segment: Segment) -> None:
    sender, receiver = MailSender(segment), MailReceiver(segment)
    sender.ask(1, 0, 0, "x" * TEXT_BYTES)
    question = receiver.question()
    assert question is not None
    assert question.text == "x" * TEXT_BYTES
    with pytest.raises(ValueError, match="at most 256"):
        sender.ask(1, 0, 0, "x" * (TEXT_BYTES + 1))
    with pytest.raises(ValueError, match="at most 65536"):
        receiver.answer(1, LONG + b"x")
    receiver.answer(question.number, b"")
    assert sender.answer(question.number) == b""


class PausingText(str):
    """Pauses when it is encoded: after that come the stores."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        encoded = str.encode(self, encoding, errors)
        pause()
        return encoded


class PausingBytes(bytes):
    """Pauses when it is padded: after that come the stores."""

    def ljust(self, width: int, fillchar: bytes = b" ", /) -> bytes:
        padded = bytes(self).ljust(width, fillchar)
        pause()
        return padded


@pytest.mark.slow
def test_a_sender_killed_at_any_store_leaves_the_old_question_or_the_new(segment: Segment) -> None:
    sender = MailSender(segment)
    old = sender.ask(1, 2, 3, "old.test")
    deaths = 0
    for _ in die_at_each_store(segment, lambda: sender.ask(4, 5, 6, PausingText("new.test"))):
        deaths += 1
        question = MailReceiver(segment).question()
        assert question in (
            MailQuestion(old, 1, 2, 3, "old.test"),
            MailQuestion(old + 1, 4, 5, 6, "new.test"),
        )
        successor = MailSender(segment)
        number = successor.ask(7, 8, 9, "next.test")
        assert number in (old + 1, old + 2)
        assert MailReceiver(segment).question() == MailQuestion(number, 7, 8, 9, "next.test")
    assert deaths >= 4


@pytest.mark.slow
def test_a_receiver_killed_at_any_store_leaves_no_half_answer(segment: Segment) -> None:
    sender, receiver = MailSender(segment), MailReceiver(segment)
    first = sender.ask(1, 0, 0, "")
    receiver.answer(first, b"former" * 8)
    number = sender.ask(1, 0, 0, "")
    assert receiver.question() is not None
    whole = b"whole answer " * 5
    deaths = halves = 0
    for _ in die_at_each_store(segment, lambda: receiver.answer(number, PausingBytes(whole))):
        deaths += 1
        found = sender.answer(number)
        assert found in (None, whole)
        halves += found is None
        successor = MailReceiver(segment)
        question = successor.question()
        if found is None:
            assert question is not None, "a successor answers what was left"
            successor.answer(question.number, b"again")
            assert sender.answer(number) == b"again"
        following = sender.ask(1, 0, 0, "")
        question = successor.question()
        assert question is not None
        assert question.number == following
    assert deaths >= 9
    assert halves >= deaths - 1
