# What sessions and servers are to stick tables. Private memory of one relay thread.

from libc.stdint cimport uint32_t, uint64_t, uint8_t

cdef enum:
    STORES_MAX = 8  # keys that one session stores, as HAProxy's

cdef struct Sticky:  # a server
    uint64_t name  # its hash, above the bits of the incarnation
    uint32_t number  # its id
    uint8_t excluded  # non-stick: no entry is made to name it

cdef struct Stores:  # keys that wait for the session's server; the allocation ends with them
    uint32_t count
    uint32_t tables[STORES_MAX]
    uint32_t ends[STORES_MAX]  # of each key in the bytes
    char bytes[1]
