"""Packs patterns into lists (layout.pxd), and reads files of them at the speed of their bytes.

Owns what a line of a file is, and the usual forms of numbers and addresses. A line of another form
is handed out: what it means, or what is wrong with it, lines/rules/patterns.py says.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memchr, memcpy, memset

from proxy.lists.fill cimport blocks_in, enter_all, has_cells, words_in
from proxy.lists.forms cimport digit_of, network4_of, network6_of, range_of, value_is
from proxy.lists.heap cimport Heap, grown, pooled
from proxy.lists.layout cimport (
    LIST_NETWORKS, LIST_PARTS, LIST_RANGES, LIST_REGEXES, LIST_TEXTS, PREFIX_WORDS, TEXT_BYTES_MAX,
    Cell, ListHead, Network4, Network6, Range, Record, delimits, key_of, lowered, record_after)
from proxy.lists.order cimport networks_apart_4, networks_apart_6, ranges_apart

cdef enum:
    CELLS_MIN = 2

assert sizeof(Record) == KEY_HEAD_BYTES + sizeof(uint32_t), "a record has another size"

KINDS = {
    "int": LIST_RANGES, "len": LIST_RANGES, "ip": LIST_NETWORKS, "sub": LIST_PARTS,
    "reg": LIST_REGEXES,
    "regm": LIST_REGEXES,
    **dict.fromkeys(("str", "bin", "beg", "end", "dir", "dom"), LIST_TEXTS),
}


cdef class Packer:
    """Collects the patterns of one list.

    `method` is how they are compared: the word behind `-m`. In the lines of a map (`gives`: "str",
    "int" or "ip") a value follows the key; it is looked up by itself, so nothing is merged unless
    it is `asked`: whether there is a pattern. With `each` also those that nothing can have are
    kept. Raises KeyError for a method that compares with none, MemoryError.
    """

    def __init__(
            self, method: str, *, bint insensitive=False, str gives="", bint asked=True,
            bint each=False) -> None:
        self.method = method
        self.gives = gives
        self.kind = KINDS[method]
        self.insensitive = insensitive
        self.folds = insensitive and self.kind != LIST_REGEXES
        self.of_names = method == "dom"
        self.from_end = method == "end"
        self.asked = asked
        self.each = each
        self.value = b""

    def __dealloc__(self):
        self.empty()

    def __len__(self) -> int:
        """How many were added."""
        return (
            self.count + self.merged.used
            // (sizeof(Range) if self.kind == LIST_RANGES else sizeof(Network4))
            + self.six.used // sizeof(Network6))

    def add_range(self, long long low, long long high) -> None:
        """Add the numbers from `low` to `high`."""
        cdef Range made
        made.low, made.high = low, high
        if self.asked:
            memcpy(grown(&self.merged, sizeof(Range)), &made, sizeof(Range))
            return
        self.cells += blocks_in(low, high)
        self.take_key(
            <const char *>&made, sizeof(made.low) if low == high else sizeof(made))

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

    cdef int take_key(self, const char *key, size_t length) except -1:
        """Add a record."""
        cdef Record record
        cdef size_t head_bytes = sizeof(Record) if self.gives else KEY_HEAD_BYTES
        cdef char *made
        record.key_length = <uint16_t>length
        record.value = 0
        if self.gives:
            record.value = pooled(&self.values, self.value, <uint16_t>self.value_length)
        if self.records.used + head_bytes + length >= 0xFFFFFFF0:
            raise ValueError("a list has more than 4 GiB of patterns")
        made = grown(&self.records, head_bytes + length)
        memcpy(made, &record, head_bytes)
        memcpy(made + head_bytes, key, length)
        self.count += 1
        return 0

    cdef int take_4(self, uint32_t address, int bits) except -1:
        cdef uint32_t others = 0xFFFFFFFF >> bits if bits < 32 else 0
        cdef Network4 *made
        cdef char key[5]
        cdef int at
        if self.asked:
            made = <Network4 *>grown(&self.merged, sizeof(Network4))
            made.first, made.last = address & ~others, address | others
            return 0
        address &= ~others
        key[0] = <char>bits
        for at in range(4):
            key[1 + at] = <char>(address >> (24 - 8 * at) & 0xFF)
        self.cells += 1
        return self.take_key(key, 5)

    cdef int take_6(self, const uint8_t *address, int bits) except -1:
        cdef Network6 made
        cdef char key[17]
        cdef int at, left
        cdef uint8_t others
        for at in range(16):
            left = min(max(bits - 8 * at, 0), 8)
            others = <uint8_t>(0xFF >> left)
            made.first[at] = address[at] & ~others
            made.last[at] = address[at] | others
        if self.asked:
            memcpy(grown(&self.six, sizeof(Network6)), &made, sizeof(Network6))
            return 0
        key[0] = <char>bits
        memcpy(key + 1, made.first, 16)
        self.cells += 1
        return self.take_key(key, 17)

    cdef int take_text(self, const char *text, size_t length) except -1:
        cdef char folded[TEXT_BYTES_MAX]
        cdef size_t at
        if self.method == "dir" or self.method == "dom":  # delimiters at either end say nothing
            while length and delimits(text[0], self.of_names):
                text += 1
                length -= 1
            while length and delimits(text[length - 1], self.of_names):
                length -= 1
            if length == 0 and not self.each:
                return 0
        if self.folds:
            for at in range(length):
                folded[at] = lowered(text[at])
            text = folded
        self.cells += 1
        return self.take_key(text, length)

    def add_entry(self, bytes key, bytes value) -> None:
        """Add a text with its value; ValueError for one that is too long."""
        if len(value) > TEXT_BYTES_MAX:
            raise ValueError(f"a value has more than {TEXT_BYTES_MAX} bytes")
        self.value, self.value_length = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        self.add_text(key)

    cpdef void empty(self) noexcept:
        """Forget what was added."""
        cdef Heap nothing
        memset(&nothing, 0, sizeof(nothing))
        free(self.merged.bytes)
        free(self.six.bytes)
        free(self.records.bytes)
        free(self.values.heap.bytes)
        free(self.values.cells)
        self.merged = self.six = self.records = self.values.heap = nothing
        self.values.cells = NULL
        self.values.size = self.values.count = self.count = 0
        self.cells = 0
        self.value, self.value_length = b"", 0

    def open(self, bytes content) -> None:
        """Begin a file."""
        self.content = content
        self.at = self.line = 0

    def read(self):
        """Add line after line; the bytes of the next pattern that is of no usual form, or None.

        As HAProxy: a line that begins with `#` is none, spaces before a pattern are none of it, it
        ends with CR, LF or a zero, and an empty one is none. ValueError for a value that is none;
        `line` is the line's number.
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
            while length and blank(start[0]):
                start += 1
                length -= 1
            end = <const char *>memchr(start, c"\r", length) if length else NULL
            if end != NULL:
                length = end - start
            end = <const char *>memchr(start, 0, length) if length else NULL
            if end != NULL:
                length = end - start
            if length == 0:
                continue
            if self.gives:
                length = self.take_value(start, length)
            if not self.take(start, length):
                return PyBytes_FromStringAndSize(start, length)
        return None

    cdef size_t take_value(self, const char *start, size_t length) except 0:
        """Note what stands behind the key of a line; the length of the key."""
        cdef size_t key = 0, at
        while key < length and not blank(start[key]):
            key += 1
        at = key
        while at < length and blank(start[at]):
            at += 1
        while length > at and blank(start[length - 1]):
            length -= 1
        self.value, self.value_length = start + at, length - at
        if self.value_length > TEXT_BYTES_MAX:
            raise ValueError(f"a value has more than {TEXT_BYTES_MAX} bytes")
        if self.gives != "str" and not value_is(
                self.value, self.value_length, self.gives == "ip"):
            said = self.value[:self.value_length].decode(errors="surrogateescape")
            raise ValueError(f"unable to parse '{said}'")
        return key

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
        if length > TEXT_BYTES_MAX or self.kind == LIST_REGEXES:
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
        cdef char *out
        memset(&head, 0, sizeof(head))
        head.kind = self.kind
        head.insensitive = self.insensitive
        if self.kind == LIST_RANGES:
            head.count = <uint32_t>ranges_apart(
                <Range *>self.merged.bytes, self.merged.used // sizeof(Range))
            self.merged.used = head.count * sizeof(Range)
        elif self.kind == LIST_NETWORKS:
            head.count = <uint32_t>networks_apart_4(
                <Network4 *>self.merged.bytes, self.merged.used // sizeof(Network4))
            head.count_6 = <uint32_t>networks_apart_6(
                <Network6 *>self.six.bytes, self.six.used // sizeof(Network6))
            self.merged.used = head.count * sizeof(Network4)
            self.six.used = head.count_6 * sizeof(Network6)
        head.records_count = self.count
        head.record_bytes = sizeof(Record) if self.gives else KEY_HEAD_BYTES
        self.lay_out(&head)
        made = PyBytes_FromStringAndSize(NULL, head.end)
        out = PyBytes_AS_STRING(made)
        memcpy(out, &head, sizeof(head))
        put(out + sizeof(head), &self.merged)
        put(out + sizeof(head) + self.merged.used, &self.six)
        memset(out + head.lengths, 0, head.records - head.lengths)
        put(out + head.records, &self.records)
        put(out + head.values, &self.values.heap)
        if head.cells:
            enter_all(<const ListHead *>out, self.from_end)
        return made

    cdef int lay_out(self, ListHead *head) except -1:
        """Find where the parts lie."""
        head.lengths = head.table = sizeof(head[0]) + self.merged.used + self.six.used
        if self.asked and (self.kind == LIST_RANGES or self.kind == LIST_NETWORKS):
            head.records = head.values = head.end = head.lengths
            return 0
        if self.kind == LIST_RANGES or self.kind == LIST_NETWORKS:
            head.longest = 64 * PREFIX_WORDS - 1
        elif self.kind == LIST_TEXTS:
            self.measure(head)
        if has_cells(self.kind):
            head.table += (head.longest // 64 + 1) * sizeof(uint64_t)
            if self.cells > 0x40000000:
                raise ValueError("a list has more than 1,073,741,824 patterns")
            head.cells = CELLS_MIN
            while 2 * <uint64_t>head.cells < 3 * self.cells:
                head.cells *= 2
        head.records = head.table + head.cells * sizeof(Cell)
        head.values = head.records + self.records.used
        head.end = head.values + self.values.heap.used
        return 0

    cdef int measure(self, ListHead *head) except -1:
        """Find the longest text, and the most words that one has."""
        cdef const Record *record = <const Record *>self.records.bytes
        for _ in range(self.count):
            head.longest = max(head.longest, <uint32_t>record.key_length)
            head.words = max(
                head.words, words_in(key_of(head, record), record.key_length, self.of_names))
            record = record_after(head, record)
        return 0


cdef inline bint blank(char letter) noexcept nogil:
    return letter == c" " or letter == c"\t"


cdef inline int put(char *out, const Heap *heap) noexcept:
    if heap.used:
        memcpy(out, heap.bytes, heap.used)
    return 0
