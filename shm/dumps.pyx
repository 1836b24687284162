"""Session dumps as control sees them: questions to the relay of each worker, and their answers.

`SessionDumps` is for control. A question replaces the last one of that worker; an answer belongs
to one question. No function here waits: a worker may be dead, stopped or busy.
"""

import socket
from typing import NamedTuple

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from shm.atomics cimport load_acquire, load_relaxed
from shm.dumps cimport (
    DUMP_ANY, DUMP_END, DUMP_FIRST, DUMP_NEXT, DUMP_RECORDS, QUESTION_WORDS, DumpAddress,
    DumpQuestion, SessionDump, SessionRecord)
from shm.latch cimport copies_read, copies_write
from shm.segment cimport Segment

FIRST = DUMP_FIRST
NEXT = DUMP_NEXT
END = DUMP_END
ANY = <uint32_t>DUMP_ANY
PAGE_RECORDS = DUMP_RECORDS

assert sizeof(DumpQuestion) == QUESTION_WORDS * 8


class DumpedAddress(NamedTuple):
    """An end of a connection; `host` is "" for a Unix socket."""

    family: int
    host: str
    port: int


class DumpedSession(NamedTuple):
    """A session as its relay saw it; dumps.pxd has the fields. An address is None where unknown."""

    place: int
    started_ms: int
    attempt_ms: int
    deadline_ms: int
    client_activity_ms: int
    server_activity_ms: int
    client_bytes: int
    server_bytes: int
    client_waiting: int
    server_waiting: int
    frontend: int
    backend: int
    slot: int
    client_fd: int
    server_fd: int
    client_flags: int
    server_flags: int
    retries: int
    state: int
    flags: int
    error: int
    deadline_kind: int
    bind: int
    source: DumpedAddress | None
    front: DumpedAddress | None
    own: DumpedAddress | None
    server: DumpedAddress | None


class DumpPage(NamedTuple):
    """Records of sessions, whether no page follows, and how many sessions were ended."""

    records: bytes
    last: bool
    ended: int


def sessions_of(bytes records):
    """The sessions of a page, one after the other, as `DumpedSession`."""
    cdef const SessionRecord *first = <const SessionRecord *><const char *>records
    cdef uint64_t index
    for index in range(len(records) // sizeof(SessionRecord)):
        yield session_of(&first[index])


cdef object address_of(const DumpAddress *address):
    cdef bytes packed
    if address.family == 0:
        return None
    if address.family not in (socket.AF_INET, socket.AF_INET6):
        return DumpedAddress(address.family, "", 0)
    packed = (<const char *>address.bytes)[:4 if address.family == socket.AF_INET else 16]
    return DumpedAddress(address.family, socket.inet_ntop(address.family, packed), address.port)


cdef object session_of(const SessionRecord *record):
    return DumpedSession(
        record.object, record.started_ms, record.attempt_ms, record.deadline_ms,
        record.client_activity_ms, record.server_activity_ms, record.client_bytes,
        record.server_bytes, record.client_waiting, record.server_waiting, record.frontend,
        record.backend, record.slot, record.client_fd, record.server_fd, record.client_flags,
        record.server_flags, record.retries, record.state, record.flags, record.error,
        record.deadline_kind, record.bind, address_of(&record.source), address_of(&record.front),
        address_of(&record.own), address_of(&record.server))


cdef class SessionDumps:
    """The dumps of all workers of a segment: control only, which is their one writer."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    cdef SessionDump *dump(self, uint32_t worker) except NULL:
        if worker >= self.segment.view.header.workers:
            raise IndexError(f"worker {worker} of {self.segment.view.header.workers}")
        return &self.segment.view.dumps[worker]

    def ask(
            self, uint32_t worker, uint32_t kind, *, int64_t before_ms=0, uint64_t place=0,
            int64_t started_ms=0, uint32_t frontend=DUMP_ANY, uint32_t backend=DUMP_ANY,
            uint32_t slot=DUMP_ANY) -> int:
        """Replace the worker's last question; returns its number. Ring its relay afterwards."""
        cdef SessionDump *dump = self.dump(worker)
        cdef DumpQuestion question
        # this process is the only writer, so one try is enough; a predecessor's numbers continue
        copies_read(&dump.sequence, dump.copies, QUESTION_WORDS, &question)
        cdef uint64_t number = question.number + 1
        memset(&question, 0, sizeof(question))
        question.number = number
        question.kind = kind
        question.before_ms = before_ms
        question.object = place
        question.started_ms = started_ms
        question.frontend = frontend
        question.backend = backend
        question.slot = slot
        copies_write(&dump.sequence, dump.copies, QUESTION_WORDS, &question)
        return number

    def answer(self, uint32_t worker, uint64_t number):
        """The answer to this question as a `DumpPage`; None while there is none."""
        cdef SessionDump *dump = self.dump(worker)
        cdef uint64_t length
        if load_acquire(&dump.answered) != number:
            return None
        length = min(load_relaxed(&dump.length), <uint64_t>DUMP_RECORDS)
        cdef bytes records = (<const char *>dump.records)[:length * sizeof(SessionRecord)]
        return DumpPage(records, load_relaxed(&dump.last) != 0, load_relaxed(&dump.ended))
