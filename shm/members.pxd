# Members: which servers a backend has beside, or without, those of the file.
#
# A backend's slots are neighbours: those of the file, then spare ones. A slot has one word: the
# number of the change that made it what it is, and that state. What an added server is stands in
# the slot's line, which is written before the word says so, and not again before all processes go
# by the word that says that the server is gone. So a word that is the same before and after a line
# was copied vouches for it, and one that is killed between any two steps leaves a whole change, or
# none. The last changes are kept by slot: a reader goes on from where it was, and looks at every
# word only when it is further behind.
#
#   AS_FILE -> DELETED, ADDED -> DELETED      the server is no member: nobody sends sessions there
#   DELETED -> EMPTIED                        no generation has sessions there: workers empty rows
#   EMPTIED -> FREE                           so did all: the slot is as it was at the start
#   AS_FILE (spare), FREE -> ADDED            a server with a new number
#   AS_FILE, ADDED, RENAMED -> RENAMED        the same server has another name
#
# A name that a server got later stands in one of two places of its line, and the word says in
# which: the next one is written into the other, so that nothing is written that a reader looks at.
#
# The first slot of a spare backend has no server: its line is LINE_OF_BACKEND and the name that the
# backend has got, by the same words.
#
# Control is the only writer.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    CHANGES_KEPT = 256
    LINE_BYTES = 2_040
    BACKEND_NAME_BYTES_MAX = 255  # of a name that is given at run time
    LINE_OF_BACKEND = 66  # the first byte of such a line
    SERVER_NAME_BYTES_MAX = 255  # likewise
    STATE_BITS = 8  # of a word; above them, the number of the change

cdef enum:  # MemberState
    MEMBER_AS_FILE = 0
    MEMBER_ADDED = 1
    MEMBER_DELETED = 2
    MEMBER_EMPTIED = 3
    MEMBER_FREE = 4
    MEMBER_RENAMED = 5  # the name is in the first place of the line,
    MEMBER_RENAMED_AGAIN = 6  # or in the second one; `length` is 0 of a server of the file

cdef struct MembersHeader:
    uint64_t changes  # their number
    uint64_t alone[7]
    uint32_t slots[CHANGES_KEPT]  # by number

cdef struct MemberName:
    uint8_t length
    char bytes[SERVER_NAME_BYTES_MAX]

cdef struct MemberLine:
    uint64_t length
    char bytes[LINE_BYTES]  # the server, as proxy/members/table_changes.py encodes it
    MemberName names[2]


cdef inline bint is_of_file(uint64_t word) noexcept nogil:
    """Whether the slot has the server that the file has there, perhaps by another name.

    Only of a slot for which the file has one.
    """
    cdef uint64_t state = word & ((1 << STATE_BITS) - 1)
    return state == MEMBER_AS_FILE or state == MEMBER_RENAMED or state == MEMBER_RENAMED_AGAIN
