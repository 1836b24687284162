# Gauges of the places at servers, which workers of all generations of the program write and read.
#
# The segment of a generation ends with it; this memory is made by the first generation and handed
# on. A worker has a row, a server (backend and name) a column; the supervisor gives both numbers
# (gauges.pyx, columns.pyx). A cell is one word, so each reader reads one statement: so many
# sessions of this worker lead to the address of this tag, so many elsewhere. Eight rows of a
# column lie on one line of the processor: that is one line for a look at eight workers.
#
# The columns lie in sheets. A segment that needs more of them than there are adds a sheet to those
# that were there, so a process maps what its configuration needs, and what it has mapped stays
# where it is. A sheet's mapping has room for all rows; its file grows with the rows that are taken,
# which every process sees that has mapped it. Only what was touched takes memory.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    COLUMNS_MAX = 262_144  # servers of all living generations by name: 2.6 times SLOTS_MAX
    ROWS_MAX = 4_096  # workers of all living generations: 16 times WORKERS_MAX
    LINE_ROWS = 8  # cells of one line
    SHEET_COLUMNS = 512  # a multiple of it: 16 MiB of address space, 32 KiB of file for eight rows
    SHEETS_MAX = 16  # the first for one server, each other half as large as all before it
    PLACE_BITS = 24  # of a server's `column`: the place in its sheet; above them, the sheet
    TAG_BITS = 22
    COUNT_BITS = 21  # of sessions: GAUGED_SESSIONS_MAX in shape.py
    COUNT_MASK = (1 << COUNT_BITS) - 1

cdef struct GaugesHeader:
    uint64_t rows  # those from here on are free; the supervisor's word, as the others
    uint64_t taken  # how many are in use
    uint64_t changes  # +1 after each change of the two
    uint64_t alone[5]  # keeps them on a line of their own

cdef struct Sheet:
    uint64_t *cells
    uint64_t stride  # from the cells of a line to those of the next eight rows
    uint32_t first  # column
    uint32_t columns
    int file  # the supervisor's descriptor


cdef inline uint64_t cell_word(uint32_t tag, uint64_t there, uint64_t elsewhere) noexcept nogil:
    return <uint64_t>tag << 2 * COUNT_BITS | there << COUNT_BITS | elsewhere


cdef inline uint32_t cell_tag(uint64_t word) noexcept nogil:
    """Of which address it says something; 0: of none."""
    return <uint32_t>(word >> 2 * COUNT_BITS)


cdef inline uint64_t cell_sessions(uint64_t word, uint32_t tag) noexcept nogil:
    """How many sessions lead to the address of this tag, or may do so."""
    return (word >> COUNT_BITS if cell_tag(word) == tag else word) & COUNT_MASK


cdef inline uint64_t cell_step(uint64_t word, uint32_t tag) noexcept nogil:
    """What a session to the address of this tag adds to the word."""
    return <uint64_t>1 << COUNT_BITS if cell_tag(word) == tag else 1


cdef class Gauges:
    cdef GaugesHeader *header
    cdef Sheet sheets[SHEETS_MAX]
    cdef uint32_t count  # of sheets
    cdef uint64_t lines  # of eight rows, which the files of all sheets have
    cdef bytearray taken  # rows; the supervisor's
    cdef uint32_t place_of(self, uint32_t column) except? 0xFFFFFFFF
    cdef uint32_t column_at(self, uint32_t place) noexcept
