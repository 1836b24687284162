# A compiled condition in C, and the sample that its terms compare.
#
# Terms and patterns are arrays that proxy/rules/program.pyx fills once; texts point into memory of
# the same program. Nothing here is written after that.

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from shm.segment cimport View

cdef enum:
    TERM_NUMBERS = 2  # arguments of a fetch that are numbers, at most
    ACCEPTED = -1  # as in proxy/config/model/rules.py
    REJECTED = -2

cdef enum:  # types of a sample
    SAMPLE_NUMBER  # also a truth value
    SAMPLE_ADDRESS
    SAMPLE_TEXT

cdef struct Sample:
    uint8_t type
    uint8_t family  # of an address: 4 or 6
    bint more  # the fetch has another value
    uint8_t address[16]
    int64_t number
    const char *text
    size_t length
    size_t position  # where the fetch goes on for the next value; 0 at first
    size_t line_end  # of the line that the position is in; 0: it is at the beginning of one

cdef struct Pattern:  # one of: a text, a range of numbers, a network
    const char *text
    size_t length
    int64_t low
    int64_t high
    uint8_t address[16]
    uint8_t family
    uint8_t bits

cdef struct Term:
    uint16_t fetch
    uint8_t matcher
    bint insensitive
    int64_t numbers[TERM_NUMBERS]
    const char *text
    size_t length
    uint32_t first_pattern
    uint32_t patterns
    int32_t then
    int32_t otherwise

cdef struct HttpView:  # the head of a request; the texts are the caller's
    const char *method
    size_t method_length
    const char *target  # path and query
    size_t target_length
    const char *headers  # lines, each ended by CR LF or by the end
    size_t headers_length

cdef struct Context:  # what the fetches look at; a part that is not there gives no sample
    const View *view
    const HttpView *http
    uint8_t client_family  # 0: no address
    uint8_t client[16]
    uint16_t client_port
    uint8_t front_family
    uint8_t front[16]
    uint16_t front_port
    uint64_t authorised  # bit N: the answer to the section's question N
