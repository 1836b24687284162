# Variables of the program: read and set by any process, without locks.
#
# A value is wider than a word. Each writer has two copies of each variable in a row of its own, and
# the variable's cell has one shared word, which names the writer and the stamp of the copy in
# force. A setter fills a copy of its own that is not in force, then swaps the word, if it is still
# what the setter's conditions were judged by: so a value is set whole or not at all, wherever the
# setter is killed, and no two setters overtake one another unseen. Stamps of a variable only grow.
#
# Rows: 2 N for the relay of worker N, 2 N + 1 for its main thread, then control (the supervisor
# before the first fork), then the runner, then control where it does what an operator orders: so
# the word tells whether a value comes of an order.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from shm.atomics cimport (
    fence_acquire, fence_release, load_acquire, load_relaxed, store_relaxed, store_release,
    swap_word)
from shm.segment cimport View
from shm.variable_records cimport (
    VARIABLE_TEXT_BYTES, VARIABLE_VALUE_WORDS, ProcessValue, VariableCell, VariableCopy)

cdef enum:
    VARIABLE_TRIES = 64  # others would have to set it so often meanwhile
    WRITER_BITS = 16
    WRITER_MASK = 0xFFFF


cdef inline uint32_t control_row(const View *view) noexcept nogil:
    return 2 * view.header.workers


cdef inline uint32_t runner_row(const View *view) noexcept nogil:
    return 2 * view.header.workers + 1


cdef inline uint32_t orders_row(const View *view) noexcept nogil:
    return 2 * view.header.workers + 2


cdef inline VariableCopy *copies_of(
        const View *view, uint32_t row, uint32_t number) noexcept nogil:
    """The two copies of a writer."""
    cdef uint64_t place = <uint64_t>row * view.header.variables + number
    return view.variable_copies + 2 * place


cdef inline uint32_t text_words(uint32_t length) noexcept nogil:
    return (length + 7) // 8


cdef inline bint copy_read(
        const VariableCopy *copy, uint64_t stamp, ProcessValue *value,
        char *text) noexcept nogil:
    """Copy a value out; False: it is another one by now."""
    cdef uint64_t words[VARIABLE_VALUE_WORDS]
    cdef uint64_t read
    cdef uint32_t at
    if load_acquire(&copy.stamp) != stamp:
        return False
    for at in range(VARIABLE_VALUE_WORDS):
        words[at] = load_relaxed(&copy.value[at])
    memcpy(value, words, sizeof(words))
    value.length = min(value.length, <uint32_t>VARIABLE_TEXT_BYTES)
    if text != NULL:
        for at in range(text_words(value.length)):
            read = load_relaxed(&copy.text[at])
            memcpy(text + 8 * at, &read, 8)
    fence_acquire()
    return load_relaxed(&copy.stamp) == stamp


cdef inline bint process_value(
        const View *view, uint32_t number, ProcessValue *value, char *text,
        uint64_t *seen) noexcept nogil:
    """The value of a variable, and the word that names it; False: it has never been set.

    `text`: room for VARIABLE_TEXT_BYTES; NULL: only the length of a text is wanted.
    """
    cdef const VariableCopy *copies
    cdef uint64_t current
    cdef int attempt
    for attempt in range(VARIABLE_TRIES):
        current = load_acquire(&view.variable_cells[number].current)
        seen[0] = current
        if current == 0:
            return False
        copies = copies_of(view, <uint32_t>(current & WRITER_MASK), number)
        if copy_read(&copies[0], current >> WRITER_BITS, value, text) or copy_read(
                &copies[1], current >> WRITER_BITS, value, text):
            return True
    return False


cdef inline bint process_value_set(
        const View *view, uint32_t row, uint32_t number, uint64_t seen,
        const ProcessValue *value, const char *text) noexcept nogil:
    """Set a variable whose word is still `seen`; False: another has set it meanwhile.

    Precondition: the caller is the one writer of the row; the text has its limit.
    """
    cdef VariableCell *cell = &view.variable_cells[number]
    cdef VariableCopy *copy = copies_of(view, row, number)
    cdef uint64_t words[VARIABLE_VALUE_WORDS]
    cdef uint64_t stamp = (seen >> WRITER_BITS) + 1, word
    cdef uint32_t at, left = value.length
    if seen & WRITER_MASK == row and load_relaxed(&copy.stamp) == seen >> WRITER_BITS:
        copy += 1
    store_relaxed(&copy.stamp, 0)
    fence_release()
    memcpy(words, value, sizeof(words))
    for at in range(VARIABLE_VALUE_WORDS):
        store_relaxed(&copy.value[at], words[at])
    for at in range(text_words(value.length)):
        word = 0
        memcpy(&word, text + 8 * at, min(left, <uint32_t>8))
        store_relaxed(&copy.text[at], word)
        left -= min(left, <uint32_t>8)
    store_release(&copy.stamp, stamp)
    return swap_word(&cell.current, seen, stamp << WRITER_BITS | row)
