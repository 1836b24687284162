"""The numbers of all servers of one scrape, and their lines; what a scrape keeps for the next one.

Some fifty metrics for each of thousands of servers: a number is 8 bytes here, and C writes the
lines. What the records of a server say the rows of `show stat` alone decide, in Python; this keeps
it until a record has changed. What changes by itself, counters and times, is put into the kept row
at each scrape. Knows no metric by name.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from libc.math cimport rint
from libc.stdint cimport INT64_MIN, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from proxy.control.rows.cleared cimport Cleared
from shm.latch cimport latch_read
from shm.records cimport AdminRecord, HealthRecord, SlotRecord
from shm.segment cimport Segment

from proxy.control.metrics.families import MISSING

cdef extern from "Python.h":
    char *PyOS_double_to_string(
        double value, char code, int precision, int flags, int *kind) except NULL
    enum:
        Py_DTSF_ADD_DOT_0

cdef enum:
    ROWS_AT_FIRST = 64
    NUMBER_BYTES_MAX = 32  # of an integer, or of the shortest text of a double
    EVERY = -1  # rows: no column says which

cdef int64_t NOTHING = INT64_MIN  # what the row has not


cdef struct Key:  # what a row depends on beside counters and time
    SlotRecord slot
    AdminRecord admin
    HealthRecord health
    uint32_t failures  # when they were cleared
    uint32_t downs


cdef struct Known:
    bint kept
    bint down  # a downtime goes on
    int64_t changed_ms  # of its state, by CLOCK_MONOTONIC
    int64_t downtime_s  # of those that have ended
    Key key


cdef inline char *decimal(char *at, int64_t value) noexcept nogil:
    """Write an integer; returns its end."""
    cdef char digits[24]
    cdef int length = 0
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        at[0] = b"-"
        at += 1
        rest = 0 - rest
    while True:
        digits[length] = <char>(48 + rest % 10)
        length += 1
        rest //= 10
        if rest == 0:
            break
    while length > 0:
        length -= 1
        at[0] = digits[length]
        at += 1
    return at


cdef inline char *copied(char *at, const char *text, Py_ssize_t length) noexcept nogil:
    memcpy(at, text, length)
    return at + length


cdef char *quotient(char *at, int64_t value, int64_t divisor) except NULL:
    """Write value / divisor as Python does; returns its end."""
    cdef char *text
    cdef char *here
    if value % divisor == 0 and -1_000_000_000_000 < value < 1_000_000_000_000:
        at = decimal(at, value // divisor)
        return copied(at, b".0", 2)
    text = PyOS_double_to_string(value / <double>divisor, b"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    here = text
    while here[0] != 0:
        at[0] = here[0]
        at += 1
        here += 1
    PyMem_Free(text)
    return at


cdef class Columns:
    """Numbers by row and position; `width` of them a row."""

    cdef int64_t *numbers
    cdef readonly uint32_t width
    cdef readonly uint32_t count  # of rows
    cdef uint32_t room
    cdef list labels  # of each row: bytes, without braces

    def __cinit__(self, uint32_t width):
        self.width = width
        self.labels = []

    def __dealloc__(self):
        free(self.numbers)

    def __len__(self) -> int:
        return self.count

    cdef int64_t *grow(self, bytes labels) except NULL:
        """One more row."""
        cdef uint32_t room
        cdef int64_t *numbers
        if self.count == self.room:
            room = max(<uint32_t>ROWS_AT_FIRST, self.room * 2)
            numbers = <int64_t *>realloc(
                self.numbers, <size_t>room * self.width * sizeof(int64_t))
            if numbers == NULL:
                raise MemoryError("rows of a scrape")
            self.numbers, self.room = numbers, room
        self.labels.append(labels)
        self.count += 1
        return &self.numbers[<size_t>(self.count - 1) * self.width]

    def append(self, bytes labels, tuple numbers) -> None:
        """One more row; raises ValueError for one of another width."""
        put(self.grow(labels), numbers, self.width)

    def lines(
            self, str name, uint32_t position, int64_t divisor, int gate, uint32_t first,
            uint32_t last, *, bint present) -> bytes:
        """The lines of one metric for rows first..last-1, of those whose `gate` is not negative.

        `present`: nothing for what a row has not, instead of NaN.
        """
        cdef bytes labels, begin = name.encode() + b"{"
        cdef Py_ssize_t head = PyBytes_GET_SIZE(begin)
        cdef const int64_t *numbers
        cdef uint32_t row
        last = min(last, self.count)
        cdef Py_ssize_t most = 0
        for row in range(first, last):
            most += head + PyBytes_GET_SIZE(self.labels[row]) + NUMBER_BYTES_MAX + 3
        if most == 0:
            return b""
        cdef char *text = <char *>malloc(most)
        cdef char *at = text
        if text == NULL:
            raise MemoryError("lines of a scrape")
        try:
            for row in range(first, last):
                numbers = &self.numbers[<size_t>row * self.width]
                if gate != EVERY and numbers[gate] < 0:
                    continue
                if present and numbers[position] == NOTHING:
                    continue
                labels = self.labels[row]
                at = copied(at, PyBytes_AS_STRING(begin), head)
                at = copied(at, PyBytes_AS_STRING(labels), PyBytes_GET_SIZE(labels))
                at = copied(at, b"} ", 2)
                if numbers[position] == NOTHING:
                    at = copied(at, b"NaN", 3)
                elif divisor == 1:
                    at = decimal(at, numbers[position])
                else:
                    at = quotient(at, numbers[position], divisor)
                at[0] = b"\n"
                at += 1
            return PyBytes_FromStringAndSize(text, at - text)
        finally:
            free(text)

    def choices(
            self, str name, uint32_t position, tuple words, int gate, uint32_t first,
            uint32_t last) -> bytes:
        """Lines for each of `words`, pairs of a number and its name: 1 for that of the row."""
        cdef bytes labels, word, begin = name.encode() + b"{"
        cdef Py_ssize_t head = PyBytes_GET_SIZE(begin)
        cdef list named = [(value, f',state="{said}"}} '.encode()) for value, said in words]
        cdef Py_ssize_t most = 0, longest = sum([len(said) + 2 for _, said in named])
        cdef const int64_t *numbers
        cdef int64_t number
        cdef uint32_t row
        last = min(last, self.count)
        for row in range(first, last):
            most += (head + PyBytes_GET_SIZE(self.labels[row])) * len(named) + longest
        if most == 0:
            return b""
        cdef char *text = <char *>malloc(most)
        cdef char *at = text
        if text == NULL:
            raise MemoryError("lines of a scrape")
        try:
            for row in range(first, last):
                numbers = &self.numbers[<size_t>row * self.width]
                if gate != EVERY and numbers[gate] < 0:
                    continue
                labels = self.labels[row]
                for number, word in named:
                    at = copied(at, PyBytes_AS_STRING(begin), head)
                    at = copied(at, PyBytes_AS_STRING(labels), PyBytes_GET_SIZE(labels))
                    at = copied(at, PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word))
                    at[0] = b"1" if numbers[position] == number else b"0"
                    at[1] = b"\n"
                    at += 2
            return PyBytes_FromStringAndSize(text, at - text)
        finally:
            free(text)


cdef int put(int64_t *target, tuple numbers, uint32_t width) except -1:
    """Fill a row; raises ValueError for one of another width."""
    cdef Py_ssize_t at
    if len(numbers) != <Py_ssize_t>width:
        raise ValueError(f"{len(numbers)} numbers of {width}")
    for at in range(len(numbers)):
        value = numbers[at]
        target[at] = NOTHING if value == MISSING else <int64_t>value
    return 0


cdef class KnownServers:
    """What is known of servers since a record of theirs changed last; of one process.

    `describe(proxy, server)` says all of one: its labels, its numbers, whether they hold until a
    record changes, since when its state lasts, whether it is down, and for how many seconds it was
    before. `counted` are the counters that go into a row as they are, by position; `places` has the
    positions of the other numbers that change by themselves, and of what `take` returns.
    """

    cdef Segment segment
    cdef Cleared cleared
    cdef object monitor
    cdef object describe
    cdef list counted
    cdef uint32_t width
    cdef Known *known  # by slot
    cdef int64_t *rows  # by slot: `width` numbers
    cdef list owners  # by slot: the server that is known, or None
    cdef list labels
    cdef readonly uint64_t described  # so far
    cdef int lastsess, rate, rate_max, qtime, ctime, ttime, lastchg, downtime, duration
    cdef int state, status

    def __cinit__(
            self, Segment segment, Cleared cleared, monitor, describe, list counted,
            uint32_t width, dict places):
        cdef uint32_t slots = segment.view.header.slots
        self.segment, self.cleared, self.monitor = segment, cleared, monitor
        self.describe, self.counted, self.width = describe, counted, width
        self.owners, self.labels = [None] * slots, [b""] * slots
        self.lastsess, self.lastchg = places["lastsess"], places["lastchg"]
        self.rate, self.rate_max = places["rate"], places["rate_max"]
        self.qtime, self.ctime, self.ttime = places["qtime"], places["ctime"], places["ttime"]
        self.downtime, self.duration = places["downtime"], places["check_duration"]
        self.state, self.status = places["state"], places["check_status"]
        self.known = <Known *>calloc(slots + 1, sizeof(Known))
        self.rows = <int64_t *>calloc(<size_t>slots * width + 1, sizeof(int64_t))
        if self.known == NULL or self.rows == NULL:
            raise MemoryError("known servers")

    def __dealloc__(self):
        free(self.known)
        free(self.rows)

    def take(self, Columns columns, proxy, server, int64_t now_ms, int unless) -> tuple:
        """Add the row of a server to `columns`, but for one in state `unless`.

        Returns its state, its check status, and whether it had to be described anew. Raises
        BlockingIOError when its records do not hold still.
        """
        cdef uint32_t slot = server.slot
        cdef Key key
        cdef uint32_t duration_us = 0
        cdef Known *known
        cdef int64_t *row
        cdef bint anew
        if slot >= self.segment.view.header.slots:
            raise IndexError(f"slot {slot} of {self.segment.view.header.slots}")
        known = &self.known[slot]
        row = &self.rows[<size_t>slot * self.width]
        anew = not (
            self.read(slot, &key, &duration_us) and known.kept and self.owners[slot] is server
            and memcmp(&key, &known.key, sizeof(key)) == 0)
        if anew:
            self.describe_anew(slot, proxy, server, &key)
        else:
            self.age(slot, row, now_ms, duration_us)
        if columns is not None and row[self.state] != unless:
            memcpy(columns.grow(self.labels[slot]), row, self.width * sizeof(int64_t))
        return row[self.state], row[self.status], anew

    cdef bint read(self, uint32_t slot, Key *key, uint32_t *duration_us) noexcept:
        """Read what a row depends on; False when a record does not hold still.

        What each check changes is taken out of the key: no number depends on it but the duration.
        """
        memset(key, 0, sizeof(key[0]))
        if not latch_read(&self.segment.view.slots[slot], &key.slot):
            return False
        if not latch_read(&self.segment.view.admins[slot], &key.admin):
            return False
        if not latch_read(&self.segment.view.health[slot], &key.health):
            return False
        duration_us[0] = key.health.duration_us
        key.health.duration_us = 0
        key.health.checked_ms = 0
        key.health.check_state = 0
        key.failures = self.cleared.checks[slot].failures
        key.downs = self.cleared.checks[slot].downs
        return True

    cdef int describe_anew(self, uint32_t slot, proxy, server, const Key *before) except -1:
        """Take a row from Python, and keep it if no record has changed meanwhile."""
        cdef Known *known = &self.known[slot]
        cdef uint32_t duration_us = 0
        labels, numbers, holds, changed_ms, down, downtime_s = self.describe(proxy, server)
        put(&self.rows[<size_t>slot * self.width], numbers, self.width)
        self.described += 1
        self.labels[slot] = labels
        self.owners[slot] = server
        known.changed_ms, known.down, known.downtime_s = changed_ms, down, downtime_s
        known.kept = holds and self.read(slot, &known.key, &duration_us) and (
            memcmp(before, &known.key, sizeof(known.key)) == 0)
        return 0

    cdef int age(
            self, uint32_t slot, int64_t *row, int64_t now_ms, uint32_t duration_us) except -1:
        """Put in what changes by itself: counters, rates, averages and times."""
        cdef const Known *known = &self.known[slot]
        cdef dict counters = self.cleared.server(slot)
        reading = self.monitor.meters.server(slot)
        cdef int64_t last_ms = counters["last_session_ms"]
        cdef int64_t lasts_s = age_s(now_ms, known.changed_ms)
        cdef int position
        for position, name in self.counted:
            row[position] = counters[name]
        row[self.lastsess] = age_s(now_ms, last_ms) if last_ms else -1
        row[self.rate], row[self.rate_max] = reading[0], reading[1]
        row[self.qtime] = <int64_t>rint(<double>reading[4])
        row[self.ctime] = <int64_t>rint(<double>reading[5])
        row[self.ttime] = <int64_t>rint(<double>reading[6])
        row[self.lastchg] = lasts_s
        if row[self.downtime] != NOTHING:
            row[self.downtime] = known.downtime_s + (lasts_s if known.down else 0)
        if row[self.duration] != NOTHING:
            row[self.duration] = duration_us // 1000
        return 0


cdef inline int64_t age_s(int64_t now_ms, int64_t moment_ms) noexcept nogil:
    return max(<int64_t>0, now_ms - moment_ms) // 1000
