# The history: what the last 15 minutes were like, for the pictures of the page.
#
# One row has a word for each step of HISTORY_STEP_MS, POINTS of them in a ring, so a row costs a
# fixed 1,440 bytes. The step of a moment is the same in all processes and generations: a row is
# carried over a reload as it is, and steps without a look are told from others by the lap
# in each word. A word is stored whole, so a writer may be killed at any instruction.
#
#   1 word                      when control looked last (CLOCK_MONOTONIC, ms); 0: never
#   servers x 2 words           whose row it is: its slot + 1, and when that changed last
#   (1 + backends + servers + names) x POINTS words     the rows; the first is of the process
#   slots x 2 words             the results of the last checks, and the time and number of them
#
# Control is the only writer, and the only reader. At most 4 MB, whatever the configuration.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    HISTORY_STEP_MS = 5_000
    POINTS = 180  # a quarter of an hour
    BACKENDS_KEPT = 768  # the first of the file
    SERVERS_KEPT = 512  # of more servers, those that changed last
    NAMES_KEPT = 256  # the first of the file
    CHECKS_KEPT = 60
    # a word, from the low bits: two numbers of 18 bits, one of 20, the lap, whether it is there
    LOW_BITS = 18
    HIGH_BITS = 20
    LAPS = 128  # 32 hours: no older word survives a control that looks

cdef inline uint32_t kept(uint64_t count, uint64_t most) noexcept nogil:
    return <uint32_t>min(count, most)

cdef inline uint64_t history_rows(
        uint64_t backends, uint64_t slots, uint64_t names) noexcept nogil:
    return 1 + kept(backends, BACKENDS_KEPT) + kept(slots, SERVERS_KEPT) + kept(names, NAMES_KEPT)

cdef inline uint64_t history_words(
        uint64_t backends, uint64_t slots, uint64_t names) noexcept nogil:
    """All words of the area."""
    return (
        1 + 2 * <uint64_t>kept(slots, SERVERS_KEPT)
        + history_rows(backends, slots, names) * POINTS + 2 * slots)
