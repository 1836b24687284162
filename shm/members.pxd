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
#
# The first slot of a spare backend has no server: its line is LINE_OF_BACKEND and the name that the
# backend has got, by the same words.
#
# Control is the only writer.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    CHANGES_KEPT = 256
    LINE_BYTES = 2_040
    BACKEND_NAME_BYTES_MAX = 255  # of a name that is given at run time
    LINE_OF_BACKEND = 66  # the first byte of such a line
    STATE_BITS = 8  # of a word; above them, the number of the change

cdef enum:  # MemberState
    MEMBER_AS_FILE = 0
    MEMBER_ADDED = 1
    MEMBER_DELETED = 2
    MEMBER_EMPTIED = 3
    MEMBER_FREE = 4

cdef struct MembersHeader:
    uint64_t changes  # their number
    uint64_t alone[7]
    uint32_t slots[CHANGES_KEPT]  # by number

cdef struct MemberLine:
    uint64_t length
    char bytes[LINE_BYTES]  # the server, as proxy/members/table_changes.py encodes it
