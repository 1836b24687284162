"""Runs that change nothing, repeated for the names of one section without their state machine.

Owns a row for each name whose last run changed nothing: its question, the forms of the replies
that say the same (reply_form.pxd), and when it is due. A row asks at every nameserver of the
section, compares the first reply, notes the times, and rests until the next run. It decides
nothing: whether runs may begin is asked of the receiver, a batch at a time; the bounds of the pause
after a run come with the name; and all that is not the same gives the name back, with its attempts
open: another reply, none within `timeout retry`, a question that could not be sent, other
nameservers, a nameserver that is to be asked without EDNS. What is in doubt is not the same.

A name that was given back leaves its row here: answers that say the same as before add a form.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp

from resolverd.pace.durations import RUN_BOUNDS_MS
from resolverd.resolution.repetition import Repeated

from resolverd.pace.jitter cimport Jitter, monotonic_ms
from resolverd.transport.reply_form cimport ReplyForm, make_form
from resolverd.transport.udp cimport NameserverSockets, OpenQuery, Repetition

cdef int64_t FOREVER_MS = <int64_t>1 << 62

cdef enum:
    NAMESERVERS_MAX = 8  # of a section whose runs are repeated
    FORMS_MAX = 4  # of the replies to one question
    BEGUN_MAX = 8  # runs begun in one call, so that waiting replies are read soon
    BOUNDS_MAX = 16  # buckets of a histogram, at most
    RESTS = 0  # the state of a row: until its run is due
    ASKS = 1  # until an answer comes
    AWAY = 2  # the name was given back


def form_of(bytes reply):
    """The form of a reply (reply_form.pxd), None without one."""
    cdef ReplyForm form
    make_form(<const uint8_t *>PyBytes_AS_STRING(reply), <int>PyBytes_GET_SIZE(reply), &form)
    return PyBytes_FromStringAndSize(<char *>form.bytes, form.size) if form.size else None


cdef class Batch:
    """Runs that have begun together; the run limit knows them by their number."""

    cdef int64_t number
    cdef int left  # of its runs: those without an answer


cdef class Row(Repetition):
    """One name."""

    cdef Repeats repeats
    cdef object key
    cdef object question
    cdef object answer
    cdef int family
    cdef Batch batch  # while it asks
    cdef int64_t shortest_ms  # the bounds of the pause after a run, and of its jitter
    cdef int64_t least_ms
    cdef int64_t most_ms
    cdef tuple nameservers  # of the section when it came
    cdef tuple wires  # the question, for each of them
    cdef list forms
    cdef list queries  # while it asks: the open ones
    cdef list unsent
    cdef int64_t due_ms  # when its run begins; while it asks: when that has failed
    cdef int64_t until_ms  # then a nameserver is asked in another way
    cdef int64_t asked_ms
    cdef int64_t begun_ms
    cdef int64_t ended_ms
    cdef int64_t heard_ms[NAMESERVERS_MAX]
    cdef int64_t runs
    cdef int64_t epoch
    cdef Py_ssize_t place  # in the heap
    cdef int state
    cdef int winner
    cdef uint32_t ttl_s

    cdef bint heard(self, OpenQuery query, const uint8_t *wire, Py_ssize_t size) except -1:
        return self.repeats.hear(self, query, wire, size)

    cdef int give_back(self) except -1:
        self.repeats.receiver.returned(self.key)
        return 0

    cdef bint knows(self, ReplyForm *form):
        cdef bytes each
        for each in self.forms:
            if PyBytes_GET_SIZE(each) == form.size and (
                    memcmp(PyBytes_AS_STRING(each), form.bytes, form.size) == 0):
                return True
        return False


cdef class Repeats:
    """The rows of one section.

    `receiver` is asked and told, `count` counts for a nameserver, `note` writes what a run leaves
    in the segment. `quiet` are nameservers whose next answer is told.
    """

    cdef object receiver
    cdef object count
    cdef object note
    cdef object section
    cdef Jitter jitter
    cdef readonly set quiet
    cdef int64_t bounds_ms[BOUNDS_MAX]
    cdef int bounds
    cdef int64_t batches
    cdef int64_t armed_ms  # `next_ms` at its last call
    cdef list sockets  # of the nameservers, in their order
    cdef tuple nameservers
    cdef dict rows  # by key
    cdef list heap  # of the rows that rest or ask: the least `due_ms` first
    cdef int64_t retry_ms
    cdef int64_t epoch
    cdef bint moved  # a name was given back since `settles`

    def __init__(self, str section, receiver, count, note, Jitter jitter):
        """No name is kept before `follow`."""
        self.section = section
        self.receiver, self.jitter = receiver, jitter
        self.count, self.note = count, note
        self.quiet = set()
        self.bounds = <int>len(RUN_BOUNDS_MS)
        for at in range(self.bounds):
            self.bounds_ms[at] = RUN_BOUNDS_MS[at]
        self.batches, self.armed_ms = 0, 0
        self.sockets, self.nameservers = [], ()
        self.rows, self.heap = {}, []
        self.epoch = 0

    def follow(self, list sockets, tuple nameservers, int64_t retry_ms):
        """Other nameservers: names come back when they are due; `release` comes before."""
        self.sockets, self.nameservers, self.retry_ms = sockets, nameservers, retry_ms
        self.epoch += 1

    def release(self):
        """Give back the names that are being asked for."""
        cdef Row row
        for row in [row for row in self.heap if (<Row>row).state == ASKS]:
            row.give_back()

    def change(self):
        """A nameserver is asked in another way from now on: names come back when they are due."""
        self.epoch += 1

    def answer(self, key):
        """The answer of the last run that was repeated for this key, None without one."""
        cdef Row row = self.rows.get(key)
        return None if row is None else row.answer

    def keep(self, key, run, bytes reply, tuple wires, int64_t until_ms, *, bint same):
        """Repeat this run, whose answer was this reply; False if it cannot be compared.

        `same`: its answer says the same as that of the last run kept for this key.
        """
        cdef ReplyForm form
        cdef Row row = self.rows.get(key)
        answer = run.answer
        make_form(<const uint8_t *>PyBytes_AS_STRING(reply), <int>PyBytes_GET_SIZE(reply), &form)
        if form.size == 0 or form.ttl_s != answer.ttl_s or (
                form.addresses != len(answer.addresses)):
            return False
        if not 0 < len(self.sockets) <= NAMESERVERS_MAX:
            return False
        if row is None:
            row = self.rows[key] = Row.__new__(Row)
            row.repeats, row.key, row.state = self, key, AWAY
        if row.state != AWAY:
            raise ValueError(f"name {key} is kept already")
        if not same:
            row.forms = []
        if not row.knows(&form):
            row.forms = [
                *row.forms[1 - FORMS_MAX:],
                PyBytes_FromStringAndSize(<char *>form.bytes, form.size),
            ]
        row.question, row.answer, row.family = run.question, answer, run.family
        row.shortest_ms, row.least_ms, row.most_ms = run.shortest_ms, run.least_ms, run.most_ms
        row.nameservers, row.wires, row.epoch = self.nameservers, wires, self.epoch
        row.until_ms, row.due_ms = until_ms, run.due_ms
        row.queries = row.unsent = row.batch = None
        row.runs = 0
        for at in range(NAMESERVERS_MAX):
            row.heard_ms[at] = 0
        row.state = RESTS
        self.push(row)
        return True

    def next_ms(self):
        """When `serve` has something to do; None without a name."""
        self.armed_ms = (<Row>self.heap[0]).due_ms if self.heap else FOREVER_MS
        return self.armed_ms if self.heap else None

    def settle(self):
        """Tell the receiver if names were given back, or `next_ms` is earlier than it was."""
        moved, self.moved = self.moved, False
        if moved or (len(self.heap) > 0 and (<Row>self.heap[0]).due_ms < self.armed_ms):
            self.receiver.settled()

    def serve(self, int64_t now_ms):
        """Begin runs that are due, and give back names whose runs have failed."""
        cdef Row row
        cdef bint has_read = False
        cdef list begins = []
        cdef int served = 0
        while self.heap and served < BEGUN_MAX:
            row = self.heap[0]
            if row.due_ms > now_ms:
                break
            if row.state == ASKS and not has_read:
                has_read = True  # its answer may be in the socket, unread
                for sockets in self.sockets:
                    sockets.read()
                continue
            served += 1
            if row.state == ASKS or row.epoch != self.epoch or now_ms >= row.until_ms:
                row.give_back()
            else:
                row.due_ms = now_ms + self.retry_ms
                self.sink(row)
                begins.append(row)
        if begins:
            self.begin(begins, now_ms)

    cdef int begin(self, list rows, int64_t now_ms) except -1:
        """Ask for these together, if there are places for all; else each waits for its own."""
        cdef Row row
        cdef Batch batch = Batch.__new__(Batch)
        self.batches += 1
        batch.number, batch.left = -self.batches, <int>len(rows)  # no key of a name
        if self.receiver.begins(self.section, batch.number, batch.left, now_ms):
            for row in rows:
                row.batch = batch
                self.ask(row, now_ms)
            return 0
        for row in rows:
            row.due_ms = now_ms
            row.give_back()
        return 0

    def take(self, key):
        """Give a name back: what happened since `keep`, and its open queries.

        Each query has its nameserver and the message that was sent. The caller gives
        them another owner. KeyError for a name that is not kept.
        """
        cdef Row row = self.rows[key]
        cdef int at
        if row.state == AWAY:
            raise KeyError(key)
        self.remove(row)
        asks = row.state == ASKS
        queries = row.queries if asks else []
        unsent = tuple(row.unsent) if asks and row.unsent else ()
        batch, row.batch = row.batch, None
        if asks:
            (<Batch>batch).left -= 1
        row.state, row.queries, row.unsent = AWAY, None, None
        self.moved = True
        return Repeated(
            row.question,
            row.answer,
            row.runs,
            row.begun_ms,
            row.ended_ms,
            row.nameservers[row.winner].name if row.runs else "",
            row.ttl_s,
            tuple([
                (row.nameservers[at].name, row.heard_ms[at])
                for at in range(<int>len(row.nameservers)) if row.heard_ms[at]
            ]),
            row.due_ms,
            row.asked_ms if asks else None,
            unsent,
            (<Batch>batch).number if asks else 0,
            asks and (<Batch>batch).left == 0,
        ), queries

    cdef int ask(self, Row row, int64_t now_ms) except -1:
        cdef int at
        cdef NameserverSockets sockets
        row.queries, row.unsent = [], []
        for at in range(<int>len(self.sockets)):
            nameserver = row.nameservers[at]
            sockets = self.sockets[at]
            try:
                query = sockets.send(row.wires[at], row, now_ms)
                row.queries.append((query, nameserver, row.wires[at]))
            except OSError:
                self.count(nameserver.index, "snd_error")
                row.unsent.append(nameserver.name)
            else:
                self.count(nameserver.index, "sent")
        row.state, row.asked_ms = ASKS, now_ms
        if row.unsent:
            row.give_back()
        return 0

    cdef bint hear(
            self, Row row, OpenQuery query, const uint8_t *wire, Py_ssize_t size) except -1:
        """Whether the reply ends the run as the last one did; if not, the name is given back."""
        cdef ReplyForm form
        cdef OpenQuery each
        cdef int64_t now_ms, longest_ms
        cdef Batch batch
        if make_form(wire, <int>size, &form) == 0 or not row.knows(&form):
            row.give_back()
            return False
        nameserver = None
        for each, asked, _ in row.queries:
            if each is query:
                nameserver = asked
            else:
                each.close()
        now_ms = monotonic_ms()
        row.queries = row.unsent = None
        row.state, row.runs, row.winner = RESTS, row.runs + 1, row.nameservers.index(nameserver)
        row.begun_ms, row.ended_ms, row.ttl_s = row.asked_ms, now_ms, form.ttl_s
        row.heard_ms[row.winner] = now_ms
        self.count(nameserver.index, "valid")
        if row.answer.aliased:
            self.count(nameserver.index, "cname")
        self.note(
            row.key, row.family, now_ms, self.bucket(now_ms - row.begun_ms), now_ms - row.begun_ms)
        if self.quiet and nameserver.name in self.quiet:
            self.quiet.discard(nameserver.name)
            self.receiver.heard(self.section, nameserver.name, now_ms)
        longest_ms = max(row.least_ms, min(1_000 * <int64_t>form.ttl_s, row.most_ms))
        row.due_ms = now_ms + max(
            row.shortest_ms, longest_ms - self.jitter.early_ms(longest_ms))
        self.rise(row)
        self.sink(row)
        batch, row.batch = row.batch, None
        batch.left -= 1
        if batch.left == 0:
            self.receiver.ended(self.section, batch.number, now_ms)
        return True

    cdef int bucket(self, int64_t milliseconds):
        """The bucket of a run's duration."""
        cdef int at = 0
        while at < self.bounds and self.bounds_ms[at] < milliseconds:
            at += 1
        return at

    # A binary heap: each row knows its place, so that a name can be taken from the middle.

    cdef int push(self, Row row) except -1:
        row.place = len(self.heap)
        self.heap.append(row)
        self.rise(row)
        return 0

    cdef int remove(self, Row row) except -1:
        cdef Row last = self.heap.pop()
        if last is not row:
            last.place = row.place
            self.heap[row.place] = last
            self.rise(last)
            self.sink(last)
        return 0

    cdef int rise(self, Row row) except -1:
        cdef Row above
        while row.place > 0:
            above = self.heap[(row.place - 1) // 2]
            if above.due_ms <= row.due_ms:
                break
            self.swap(row, above)
        return 0

    cdef int sink(self, Row row) except -1:
        cdef Row least, other
        cdef Py_ssize_t below
        while True:
            below = 2 * row.place + 1
            if below >= len(self.heap):
                return 0
            least = self.heap[below]
            if below + 1 < len(self.heap):
                other = self.heap[below + 1]
                least = other if other.due_ms < least.due_ms else least
            if least.due_ms >= row.due_ms:
                return 0
            self.swap(row, least)

    cdef int swap(self, Row one, Row other) except -1:
        one.place, other.place = other.place, one.place
        self.heap[one.place] = one
        self.heap[other.place] = other
        return 0

