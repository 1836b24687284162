"""Packs patterns into lists (layout.pxd), and reads files of them at the speed of their bytes.

Owns what a line of a file is, and the usual forms of numbers and addresses. A line of another form
is handed out: what it means, or what is wrong with it, lines/rules/patterns.py says.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from proxy.lists.forms cimport digit_of, network4_of, network6_of, range_of
from proxy.lists.layout cimport (
    HASH_START, LIST_NETWORKS, LIST_PARTS, LIST_RANGES, LIST_REGEXES, LIST_TEXTS, TEXT_BYTES_MAX,
    TEXT_HEAD_BYTES, Cell, ListHead, Network4, Network6, Range, delimits, hash_end, hash_on,
    lowered, text_length)
from proxy.lists.order cimport networks_apart_4, networks_apart_6, ranges_apart

cdef enum:
    GROWTH_MIN = 4096  # bytes
    CELLS_MIN = 2

KINDS = {
    "int": LIST_RANGES, "len": LIST_RANGES, "ip": LIST_NETWORKS, "sub": LIST_PARTS,
    "reg": LIST_REGEXES,
    **dict.fromkeys(("str", "bin", "beg", "end", "dir", "dom"), LIST_TEXTS),
}


cdef struct Heap:  # records of one size, or texts
    char *bytes
    size_t used
    size_t room


cdef char *grown(Heap *heap, size_t more) except NULL:
    """Room for so many bytes at the end."""
    cdef size_t room
    cdef char *bytes
    if heap.used + more > heap.room:
        room = max(2 * heap.room, heap.used + more, <size_t>GROWTH_MIN)
        bytes = <char *>realloc(heap.bytes, room)
        if bytes == NULL:
            raise MemoryError("list of patterns")
        heap.bytes = bytes
        heap.room = room
    heap.used += more
    return heap.bytes + heap.used - more


cdef class Packer:
    """Collects the patterns of one list.

    `method` is how they are compared: the word behind `-m`. Raises KeyError for one that compares
    with none, MemoryError.
    """

    cdef str method
    cdef uint16_t kind
    cdef bint insensitive
    cdef bint folds  # texts are kept in lower case
    cdef bint of_names  # delimiters are those of host names
    cdef bint from_end
    cdef Heap heap  # ranges, networks of IPv4, or texts
    cdef Heap six  # networks of IPv6
    cdef size_t count  # of texts
    cdef bytes content  # of the file that is read
    cdef size_t at
    cdef size_t line

    def __init__(self, method: str, *, bint insensitive=False) -> None:
        self.method = method
        self.kind = KINDS[method]
        self.insensitive = insensitive
        self.folds = insensitive and self.kind != LIST_REGEXES
        self.of_names = method == "dom"
        self.from_end = method == "end"

    def __dealloc__(self):
        free(self.heap.bytes)
        free(self.six.bytes)

    def __len__(self) -> int:
        """How many were added."""
        if self.kind == LIST_RANGES:
            return self.heap.used // sizeof(Range)
        if self.kind == LIST_NETWORKS:
            return self.heap.used // sizeof(Network4) + self.six.used // sizeof(Network6)
        return self.count

    def add_range(self, long long low, long long high) -> None:
        """Add the numbers from `low` to `high`."""
        cdef Range *made = <Range *>grown(&self.heap, sizeof(Range))
        made.low, made.high = low, high

    def add_network(self, bytes address, int bits) -> None:
        """Add the addresses whose first bits are those of an address of 4 or 16 bytes."""
        cdef uint32_t number
        if len(address) == 4:
            number = int.from_bytes(address)
            self.take_4(number, bits)
        else:
            self.take_6(<const uint8_t *>PyBytes_AS_STRING(address), bits)

    def add_text(self, bytes text) -> None:
        """Add a text; ValueError for one that is too long."""
        if len(text) > TEXT_BYTES_MAX:
            raise ValueError(f"a pattern has more than {TEXT_BYTES_MAX} bytes")
        self.take_text(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef int take_4(self, uint32_t address, int bits) except -1:
        cdef Network4 *made = <Network4 *>grown(&self.heap, sizeof(Network4))
        cdef uint32_t others = 0xFFFFFFFF >> bits if bits < 32 else 0
        made.first, made.last = address & ~others, address | others
        return 0

    cdef int take_6(self, const uint8_t *address, int bits) except -1:
        cdef Network6 *made = <Network6 *>grown(&self.six, sizeof(Network6))
        cdef int at, left
        cdef uint8_t others
        for at in range(16):
            left = min(max(bits - 8 * at, 0), 8)
            others = <uint8_t>(0xFF >> left)
            made.first[at] = address[at] & ~others
            made.last[at] = address[at] | others
        return 0

    cdef int take_text(self, const char *text, size_t length) except -1:
        cdef char *made
        cdef uint16_t size
        cdef size_t at
        if self.method == "dir" or self.method == "dom":  # delimiters at either end say nothing
            while length and delimits(text[0], self.of_names):
                text += 1
                length -= 1
            while length and delimits(text[length - 1], self.of_names):
                length -= 1
            if length == 0:
                return 0
        made = grown(&self.heap, TEXT_HEAD_BYTES + length)
        size = <uint16_t>length
        memcpy(made, &size, TEXT_HEAD_BYTES)
        made += TEXT_HEAD_BYTES
        for at in range(length):
            made[at] = lowered(text[at]) if self.folds else text[at]
        self.count += 1
        return 0

    def open(self, bytes content) -> None:
        """Begin a file."""
        self.content = content
        self.at = self.line = 0

    def read(self):
        """Add line after line; the number and bytes of the next that is of no usual form, or None.

        As HAProxy: a line that begins with `#` is none, spaces before a pattern are none of it, it
        ends with CR, LF or a zero, and an empty one is none.
        """
        cdef const char *bytes = PyBytes_AS_STRING(self.content)
        cdef size_t size = PyBytes_GET_SIZE(self.content), length
        cdef const char *start
        cdef const char *end
        while self.at < size:
            start = bytes + self.at
            end = <const char *>memchr(start, c"\n", size - self.at)
            length = size - self.at if end == NULL else end - start
            self.at += length + 1
            self.line += 1
            if length and start[0] == c"#":
                continue
            while length and (start[0] == c" " or start[0] == c"\t"):
                start += 1
                length -= 1
            end = <const char *>memchr(start, c"\r", length) if length else NULL
            if end != NULL:
                length = end - start
            end = <const char *>memchr(start, 0, length) if length else NULL
            if end != NULL:
                length = end - start
            if length and not self.take(start, length):
                return self.line, PyBytes_FromStringAndSize(start, length)
        self.content = None
        return None

    cdef bint take(self, const char *text, size_t length) except -1:
        """Add the pattern of a line; False for one of no usual form."""
        cdef long long low, high
        cdef uint32_t address
        cdef uint8_t address_6[16]
        cdef int bits
        if self.kind == LIST_RANGES:
            if not range_of(text, length, &low, &high):
                return False
            self.add_range(low, high)
            return True
        if self.kind == LIST_NETWORKS:
            if network4_of(text, length, &address, &bits):
                self.take_4(address, bits)
                return True
            if network6_of(text, length, address_6, &bits):
                self.take_6(address_6, bits)
                return True
            return False
        if self.method == "bin":
            return self.take_digits(text, length)
        if length > TEXT_BYTES_MAX or self.method == "reg":
            return False
        self.take_text(text, length)
        return True

    cdef bint take_digits(self, const char *text, size_t length) except -1:
        cdef bytes made = PyBytes_FromStringAndSize(NULL, length // 2)
        cdef char *out = PyBytes_AS_STRING(made)
        cdef size_t at
        if length % 2 != 0 or length // 2 > TEXT_BYTES_MAX:
            return False
        for at in range(length // 2):
            if digit_of(text[2 * at]) < 0 or digit_of(text[2 * at + 1]) < 0:
                return False
            out[at] = <char>(digit_of(text[2 * at]) << 4 | digit_of(text[2 * at + 1]))
        self.take_text(out, length // 2)
        return True

    def packed(self) -> bytes:
        """The list; nothing may be added after that."""
        cdef ListHead head
        memset(&head, 0, sizeof(head))
        head.kind = self.kind
        head.insensitive = self.insensitive
        if self.kind == LIST_RANGES:
            head.count = <uint32_t>ranges_apart(
                <Range *>self.heap.bytes, self.heap.used // sizeof(Range))
            self.heap.used = head.count * sizeof(Range)
        elif self.kind == LIST_NETWORKS:
            head.count = <uint32_t>networks_apart_4(
                <Network4 *>self.heap.bytes, self.heap.used // sizeof(Network4))
            head.count_6 = <uint32_t>networks_apart_6(
                <Network6 *>self.six.bytes, self.six.used // sizeof(Network6))
            self.heap.used = head.count * sizeof(Network4)
            self.six.used = head.count_6 * sizeof(Network6)
        else:
            return self.packed_texts(&head)
        head.end = sizeof(head) + self.heap.used + self.six.used
        made = PyBytes_FromStringAndSize(NULL, head.end)
        self.put(PyBytes_AS_STRING(made), &head, sizeof(head))
        return made

    cdef int put(self, char *out, const ListHead *head, size_t at) except -1:
        memcpy(out, head, sizeof(head[0]))
        if self.heap.used:
            memcpy(out + at, self.heap.bytes, self.heap.used)
        if self.six.used:
            memcpy(out + at + self.heap.used, self.six.bytes, self.six.used)
        return 0

    cdef bytes packed_texts(self, ListHead *head):
        cdef bytes made
        head.count = <uint32_t>self.count
        head.lengths = head.table = head.texts = sizeof(head[0])
        if self.kind == LIST_TEXTS:
            self.measure(head)
            head.cells = CELLS_MIN
            while head.cells < 2 * self.count:
                head.cells *= 2
            head.table = head.lengths + (head.longest // 64 + 1) * sizeof(uint64_t)
            head.texts = head.table + head.cells * sizeof(Cell)
        head.end = head.texts + self.heap.used
        if self.heap.used >= 0xFFFFFFFF:
            raise ValueError("a list has more than 4 GiB of texts")
        made = PyBytes_FromStringAndSize(NULL, head.end)
        self.put(PyBytes_AS_STRING(made), head, head.texts)
        if self.kind == LIST_TEXTS:
            self.fill(PyBytes_AS_STRING(made), head)
        return made

    cdef int measure(self, ListHead *head) except -1:
        """Find the longest text, and the most words that one has."""
        cdef const char *text = self.heap.bytes
        cdef size_t at, length
        cdef uint32_t words
        for _ in range(self.count):
            length = text_length(text)
            text += TEXT_HEAD_BYTES
            words = 1
            for at in range(length):
                words += delimits(text[at], self.of_names)
            head.longest = max(head.longest, <uint32_t>length)
            head.words = max(head.words, words)
            text += length
        return 0

    cdef int fill(self, char *out, const ListHead *head) except -1:
        """Enter each text into the table, equal ones once."""
        cdef uint64_t *lengths = <uint64_t *>(out + head.lengths)
        cdef Cell *cells = <Cell *>(out + head.table)
        cdef const char *texts = out + head.texts
        cdef const char *text = texts
        cdef const char *other
        cdef uint64_t hashed
        cdef uint32_t wanted, cell
        cdef size_t at, length
        memset(lengths, 0, (head.longest // 64 + 1) * sizeof(uint64_t))
        memset(cells, 0, head.cells * sizeof(Cell))
        for _ in range(self.count):
            length = text_length(text)
            lengths[length // 64] |= <uint64_t>1 << (length % 64)
            hashed = HASH_START
            for at in range(length):
                hashed = hash_on(
                    hashed, text[TEXT_HEAD_BYTES + (length - 1 - at if self.from_end else at)])
            wanted = hash_end(hashed)
            cell = wanted & (head.cells - 1)
            while cells[cell].place != 0:
                other = texts + cells[cell].place - 1
                if cells[cell].hash == wanted and memcmp(
                        other, text, TEXT_HEAD_BYTES + length) == 0:
                    break
                cell = cell + 1 & (head.cells - 1)
            if cells[cell].place == 0:
                cells[cell].hash = wanted
                cells[cell].place = <uint32_t>(text - texts) + 1
            text += TEXT_HEAD_BYTES + length
        return 0
