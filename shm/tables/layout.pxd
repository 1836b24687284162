# The memory of one stick table, and what a process knows of it.
#
# A table is two sealed memfds, made by the supervisor, which every process has mapped by fork and
# generations of the program hand on while the table is the same (memory.pyx):
#
#   cells   TableHeader, on a page of its own      shared words, but for the one it names
#           buckets x (16 metas, 16 cells)         shared words, see below
#   holds   writers x (TableWriter + u32 per cell) the writer; what a dead one has left is cleared
#                                                  by the supervisor
#
# A cell is expiry, key and data, all words; its meta lies with those of its bucket, so that a
# look-up reads few lines. An entry may lie in either of two buckets, which the hash of its key
# names; nothing is chained, linked or locked. Meta says in one word what the cell is:
#
#   FREE     no entry
#   FILLING  one writer, which it names, writes key and zeros
#   READY    an entry; only now key and data mean anything
#   GOING    an entry that one writer, which it names, wants to take the cell from
#
#          claim              written                         wanted            no holds
#   FREE -------> FILLING ------------> READY <----------> GOING -----------> FILLING
#     ^______________|  there is one already |  it is held, or looked up         (version + 1)
#
# The words of a cell, and those of the header, are shared words as layout.pxd of shm has them: each
# is right without repair when a writer dies at any instruction. Counters are added to atomically,
# tags and expiry are one word each and the last one counts, of a server name and id are; a rate is
# two words (rates.pxd).

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    BUCKET_CELLS = 16
    CANDIDATES = 2 * BUCKET_CELLS  # cells in which a key may lie
    WRITER_BITS = 14
    TAG_BITS = 16
    STATE_BITS = 2
    WRITERS_MAX = 4_097  # control, and a worker for each row of the gauges
    CONTROL_WRITER = 0
    BRIEF_HOLD = 1 << 24  # above the sessions that a writer has at an entry
    SESSION_HOLD = 1
    SESSIONS_MASK = BRIEF_HOLD - 1
    TABLE_DATA = 24  # types of data: TableData in shape.py
    NO_CELL = 0xFFFFFFFF
    INCARNATION_MASK = (1 << 24) - 1  # in the word of a server, below the hash of its name

cdef enum KeyKind:  # KeyType of shape.py, in its order
    KEY_IP = 0
    KEY_IPV6 = 1
    KEY_INTEGER = 2
    KEY_STRING = 3
    KEY_BINARY = 4

cdef enum CellState:
    CELL_FREE = 0
    CELL_FILLING = 1
    CELL_READY = 2
    CELL_GOING = 3

cdef enum DataNumber:  # TableData.number; those of requests by HTTP stay 0
    DATA_SERVER = 0
    DATA_GPT0 = 1
    DATA_GPC0 = 2
    DATA_GPC0_RATE = 3
    DATA_CONN_CNT = 4
    DATA_CONN_RATE = 5
    DATA_CONN_CUR = 6
    DATA_SESS_CNT = 7
    DATA_SESS_RATE = 8
    DATA_BYTES_IN_CNT = 13
    DATA_BYTES_IN_RATE = 14
    DATA_BYTES_OUT_CNT = 15
    DATA_BYTES_OUT_RATE = 16
    DATA_GPC1 = 17
    DATA_GPC1_RATE = 18
    DATA_GPT = 21
    DATA_GPC = 22
    DATA_GPC_RATE = 23

cdef struct TableHeader:
    uint64_t evicted  # entries that made room for others before their time
    uint64_t refused  # entries that found no room: all was held, or nopurge
    uint64_t writers  # those from here on have no holds; the supervisor's word
    uint64_t alone[5]

cdef struct TableWriter:
    uint64_t claimed  # the cell that it fills or wants, + 1: what a dead one was about to do
    uint64_t alone[7]

cdef struct Cell:
    uint64_t expires_ms  # CLOCK_MONOTONIC; without `expire` when it was last touched
    uint64_t words[0]  # key, data

cdef struct StoredWords:
    uint32_t at  # words from the beginning of the data
    uint32_t elements  # 0: not stored
    uint32_t period_ms

cdef struct TableCount:  # what one process has counted
    uint64_t entries
    int64_t again_ms  # not before

cdef struct Table:
    TableHeader *header
    char *buckets
    char *holds
    uint64_t holds_stride  # bytes from one writer's to the next one's
    uint64_t seed[2]
    uint64_t bucket_bytes
    uint32_t bucket_count
    uint32_t cell_bytes
    uint32_t key_words
    uint32_t key_bytes
    int kind  # KeyKind
    bint nopurge
    bint by_address  # entries name the address of their server (srvkey addr)
    int64_t expire_ms
    uint64_t most_entries  # `size`
    int file  # of the cells
    TableCount counted
    StoredWords stored[TABLE_DATA]


cdef inline uint64_t meta_of(
        uint64_t state, uint64_t writer, uint64_t tag, uint64_t version) noexcept nogil:
    return state | writer << STATE_BITS | tag << STATE_BITS + WRITER_BITS | (
        version << STATE_BITS + WRITER_BITS + TAG_BITS)


cdef inline uint64_t meta_state(uint64_t meta) noexcept nogil:
    return meta & (1 << STATE_BITS) - 1


cdef inline uint64_t meta_writer(uint64_t meta) noexcept nogil:
    return meta >> STATE_BITS & (1 << WRITER_BITS) - 1


cdef inline uint64_t meta_tag(uint64_t meta) noexcept nogil:
    return meta >> STATE_BITS + WRITER_BITS & (1 << TAG_BITS) - 1


cdef inline uint64_t meta_version(uint64_t meta) noexcept nogil:
    return meta >> STATE_BITS + WRITER_BITS + TAG_BITS


cdef inline uint64_t *meta_at(const Table *table, uint32_t number) noexcept nogil:
    return <uint64_t *>(
        table.buckets + number // BUCKET_CELLS * table.bucket_bytes) + number % BUCKET_CELLS


cdef inline Cell *cell_at(const Table *table, uint32_t number) noexcept nogil:
    return <Cell *>(
        table.buckets + number // BUCKET_CELLS * table.bucket_bytes + (
            BUCKET_CELLS * sizeof(uint64_t) + number % BUCKET_CELLS * table.cell_bytes))


cdef inline TableWriter *writer_of(const Table *table, uint32_t writer) noexcept nogil:
    return <TableWriter *>(table.holds + writer * table.holds_stride)


cdef inline uint32_t *hold_of(
        const Table *table, uint32_t writer, uint32_t number) noexcept nogil:
    return <uint32_t *>(writer_of(table, writer) + 1) + number


cdef inline uint64_t *data_of(
        const Table *table, uint32_t number, int data) noexcept nogil:
    """The first word of a type of data that is stored."""
    return cell_at(table, number).words + table.key_words + table.stored[data].at
