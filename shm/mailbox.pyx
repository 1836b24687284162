"""The mailbox: one question of control at a time, and the answer of resolverd.

`MailSender` is for control, `MailReceiver` for resolverd. A question is published through a latch;
an answer is bytes, followed by a store of its question's number. So either side may be killed at
any instruction: a partial question is not visible, a partial answer has no number, and a successor
answers an open question. No function here waits.
"""

from typing import NamedTuple

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from shm.atomics cimport (
    fence_acquire, fence_release, load_acquire, load_relaxed, store_relaxed, store_release)
from shm.latch cimport copies_read, copies_write
from shm.resolution_records cimport INQUIRY_BYTES, INQUIRY_WORDS, MAIL_WORDS, Inquiry, Mailbox
from shm.segment cimport Segment

MAIL_BYTES = MAIL_WORDS * 8  # of one answer
TEXT_BYTES = INQUIRY_BYTES  # of the text of a question


class MailQuestion(NamedTuple):
    """A question of control; resolution_records.pxd has the fields."""

    number: int
    kind: int
    key: int
    cursor: int
    text: str


cdef bint inquiry_of(Mailbox *box, Inquiry *inquiry) noexcept:
    return copies_read(&box.sequence, box.copies, INQUIRY_WORDS, inquiry)


cdef class MailSender:
    """Writes questions and reads answers: control only."""

    cdef Segment segment
    cdef uint64_t number

    def __init__(self, Segment segment):
        cdef Inquiry inquiry
        self.segment = segment
        # this process is the only writer, so one try is enough; the predecessor's numbers continue
        inquiry_of(segment.view.mailbox, &inquiry)
        self.number = inquiry.number

    def ask(self, uint32_t kind, uint64_t key, int64_t cursor, text) -> int:
        """Replace the last question; returns its number. Ring resolverd afterwards.

        Raises ValueError for a text of more than TEXT_BYTES.
        """
        cdef Inquiry inquiry
        cdef bytes encoded = text.encode()
        if len(encoded) > INQUIRY_BYTES:
            raise ValueError(f"a text of {len(encoded)} bytes, at most {INQUIRY_BYTES}")
        memset(&inquiry, 0, sizeof(inquiry))
        self.number += 1
        inquiry.number = self.number
        inquiry.kind = kind
        inquiry.key = key
        inquiry.cursor = cursor
        inquiry.length = <uint32_t>len(encoded)
        memcpy(inquiry.text, <const char *>encoded, len(encoded))
        copies_write(
            &self.segment.view.mailbox.sequence, self.segment.view.mailbox.copies,
            INQUIRY_WORDS, &inquiry)
        return self.number

    def answer(self, uint64_t number):
        """The answer to this question; None while there is none."""
        cdef Mailbox *box = self.segment.view.mailbox
        cdef uint64_t length, word, words
        if load_acquire(&box.answered) != number:
            return None
        length = min(load_relaxed(&box.length), <uint64_t>(MAIL_WORDS * 8))
        words = (length + 7) // 8
        cdef bytearray copied = bytearray(words * 8)
        cdef uint64_t *target = <uint64_t *><char *>copied
        for word in range(words):
            target[word] = load_relaxed(&box.mail[word])
        fence_acquire()
        if load_relaxed(&box.answered) != number:
            return None
        return bytes(copied[:length])


cdef class MailReceiver:
    """Reads questions and writes answers: resolverd only."""

    cdef Segment segment
    cdef uint64_t seen  # sequence of the last question read

    def __init__(self, Segment segment):
        self.segment = segment
        self.seen = 0

    def question(self):
        """The open question as a `MailQuestion`, None without one; each is returned once."""
        cdef Mailbox *box = self.segment.view.mailbox
        cdef Inquiry inquiry
        cdef uint64_t sequence = load_acquire(&box.sequence)
        if sequence == self.seen or not inquiry_of(box, &inquiry):
            return None
        self.seen = sequence
        if inquiry.number == load_relaxed(&box.answered):
            return None
        cdef bytes text = inquiry.text[:inquiry.length]
        return MailQuestion(
            inquiry.number, inquiry.kind, inquiry.key, inquiry.cursor, text.decode())

    def answer(self, uint64_t number, mail) -> None:
        """Write an answer; ring control afterwards. ValueError for more than MAIL_BYTES."""
        cdef Mailbox *box = self.segment.view.mailbox
        cdef uint64_t word, words = (len(mail) + 7) // 8
        if len(mail) > MAIL_WORDS * 8:
            raise ValueError(f"an answer of {len(mail)} bytes, at most {MAIL_WORDS * 8}")
        cdef bytes padded = mail.ljust(words * 8, b"\0")
        cdef const uint64_t *source = <const uint64_t *><const char *>padded
        store_relaxed(&box.answered, 0)
        fence_release()  # a reader of a new word does not find the former number after it
        for word in range(words):
            store_relaxed(&box.mail[word], source[word])
        store_relaxed(&box.length, len(mail))
        store_release(&box.answered, number)
