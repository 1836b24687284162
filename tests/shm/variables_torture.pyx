# cython: language_level=3, boundscheck=False
"""Loops over variable 0 of the program: the product's own reads and sets.

Value n is the number n and a text of a length and of bytes that follow from n.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from shm.segment cimport Segment
from shm.variable_records cimport VARIABLE_TEXT_BYTES, ProcessValue
from shm.variables cimport process_value, process_value_set


cdef inline uint32_t length_of(uint64_t number) noexcept nogil:
    return <uint32_t>(number * 7919 % (VARIABLE_TEXT_BYTES + 1))


cdef inline char letter_of(uint64_t number) noexcept nogil:
    return <char>(33 + number % 89)


def add(Segment segment, uint32_t row, uint64_t times) -> None:
    """Make it one more, so often: each time by the value that it has then."""
    cdef char text[VARIABLE_TEXT_BYTES + 8]
    cdef ProcessValue value
    cdef uint64_t seen, done = 0
    with nogil:
        while done < times:
            if not process_value(&segment.view, 0, &value, NULL, &seen):
                memset(&value, 0, sizeof(value))
                if seen != 0:
                    continue
            value.number += 1
            value.length = length_of(value.number)
            memset(text, letter_of(value.number), value.length)
            done += process_value_set(&segment.view, row, 0, seen, &value, text)


def read(Segment segment, uint64_t reads) -> tuple:
    """Read that often: (whole, refused, torn, backwards, last number)."""
    cdef char text[VARIABLE_TEXT_BYTES + 8]
    cdef ProcessValue value
    cdef uint64_t seen, at, last = 0, whole = 0, refused = 0, torn = 0, backwards = 0
    cdef uint32_t place
    with nogil:
        for at in range(reads):
            if not process_value(&segment.view, 0, &value, text, &seen):
                refused += seen != 0
                continue
            whole += 1
            torn += value.length != length_of(value.number)
            for place in range(value.length):
                if text[place] != letter_of(value.number):
                    torn += 1
                    break
            backwards += <uint64_t>value.number < last
            last = value.number
    return whole, refused, torn, backwards, last
