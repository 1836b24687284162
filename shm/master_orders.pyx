"""What the master CLI orders of the supervisor, and what came of the last start or reload.

One memfd of the program, which no generation owns: the order (writer: the master), the outcome
(writer: the supervisor), and the master's state and heartbeat. Order and outcome are published
through a latch, so each side may be killed at any instruction: a successor of the master reads what
its predecessor was to hear, and an order that was not published was never given. An order is the
number of all reloads that were ordered so far; the outcome names the last one that it answers.
Nothing here waits, and no bell is rung.
"""

import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from shm.atomics cimport load_acquire, store_release
from shm.latch cimport copies_read, copies_write

from typing import NamedTuple

cdef extern from "<sys/mman.h>" nogil:
    void *mmap(void *address, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void *address, size_t length)
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void *MAP_FAILED

cdef enum:
    ORDER_WORDS = 2
    MESSAGE_WORDS = 8_192
    OUTCOME_WORDS = 3 + 8_192

MESSAGES_BYTES_MAX = MESSAGE_WORDS * 8  # of one start or reload: some hundred lines


cdef struct Order:
    uint64_t number  # reloads that were ordered so far
    uint64_t hard  # the last of them that ends all sessions of former generations


cdef struct Shown:
    uint64_t answered  # the last order that this outcome answers
    uint64_t succeeded
    uint64_t length  # of the messages, in bytes
    uint64_t messages[MESSAGE_WORDS]


cdef struct Shared:
    uint64_t state  # a ProcessState
    uint64_t beat_ms
    uint64_t order_sequence
    uint64_t orders[2 * ORDER_WORDS]
    uint64_t outcome_sequence
    uint64_t outcomes[2 * OUTCOME_WORDS]


class MasterOrder(NamedTuple):
    """All reloads that were ordered."""

    number: int
    hard: int


class ReloadOutcome(NamedTuple):
    """The last start or reload; `answered`: the last order of which it was the answer."""

    answered: int
    succeeded: bool
    messages: str


cdef class MasterRecords:
    """The records, made and mapped by the supervisor; children inherit the mapping.

    Raises OSError: the kernel refuses the memory.
    """

    cdef Shared *shared

    def __cinit__(self):
        cdef void *found
        descriptor = os.memfd_create("master", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, sizeof(Shared))
            found = mmap(
                NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            if found == MAP_FAILED:
                raise OSError(errno, "cannot map the records of the master CLI")
        finally:
            os.close(descriptor)
        self.shared = <Shared *>found

    def __dealloc__(self):
        if self.shared != NULL:
            munmap(self.shared, sizeof(Shared))

    def order(self) -> MasterOrder:
        """What was ordered; BlockingIOError when the record does not hold still."""
        cdef Order order
        if not copies_read(
                &self.shared.order_sequence, self.shared.orders, ORDER_WORDS, &order):
            raise BlockingIOError("orders of the master CLI")
        return MasterOrder(order.number, order.hard)

    def order_reload(self, *, bint hard) -> int:
        """Order one more reload; its number. The master only; ring the supervisor afterwards."""
        cdef Order order
        copies_read(&self.shared.order_sequence, self.shared.orders, ORDER_WORDS, &order)
        order.number += 1
        if hard:
            order.hard = order.number
        copies_write(&self.shared.order_sequence, self.shared.orders, ORDER_WORDS, &order)
        return order.number

    def outcome(self) -> ReloadOutcome:
        """What came of the last start or reload; BlockingIOError when it does not hold still."""
        cdef Shown shown
        if not copies_read(
                &self.shared.outcome_sequence, self.shared.outcomes, OUTCOME_WORDS, &shown):
            raise BlockingIOError("outcome of the last reload")
        cdef uint64_t length = min(shown.length, <uint64_t>(MESSAGE_WORDS * 8))
        cdef bytes messages = (<uint8_t *>shown.messages)[:length]
        return ReloadOutcome(
            shown.answered, bool(shown.succeeded), messages.decode(errors="replace"))

    def publish(self, outcome: ReloadOutcome) -> None:
        """Replace the outcome: the supervisor only. Ring the master afterwards.

        ValueError for messages of more than MESSAGES_BYTES_MAX.
        """
        cdef Shown shown
        cdef bytes messages = outcome.messages.encode(errors="replace")
        if len(messages) > MESSAGE_WORDS * 8:
            raise ValueError(f"messages of {len(messages)} bytes, at most {MESSAGE_WORDS * 8}")
        shown.answered = outcome.answered
        shown.succeeded = outcome.succeeded
        shown.length = len(messages)
        memcpy(shown.messages, <const char *>messages, len(messages))
        copies_write(
            &self.shared.outcome_sequence, self.shared.outcomes, OUTCOME_WORDS, &shown)

    def live(self, uint64_t state, uint64_t beat_ms) -> None:
        """State and heartbeat: the master, and the supervisor, with zeros, once that has ended."""
        store_release(&self.shared.state, state)
        store_release(&self.shared.beat_ms, beat_ms)

    @property
    def life(self) -> tuple[int, int]:
        """State and heartbeat."""
        return load_acquire(&self.shared.state), load_acquire(&self.shared.beat_ms)
